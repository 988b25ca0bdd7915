"""Every wording for "too long" of wire.md §10.2 and of the providers in the field, in the three forms the client acts on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.dialects.limits import retold
from sayings import words

PROMPT = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")
BOTH = re.compile(r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)\b")
OUTPUT = re.compile(r"max_tokens: (\d+) > (\d+), which is the maximum allowed number of output tokens")

# What is said, and the numbers of prompt and window that it tells; none where it does not tell both.
PROMPTS: list[tuple[str, str, tuple[int, int] | None]] = [
    ("OpenAI", "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens. Please reduce the length of the messages.", (150000, 128000)),
    ("OpenAI with tools", "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens (149000 in the messages, 1000 in the functions). Please reduce the length of the messages or functions.", (150000, 128000)),
    ("OpenAI, newer", "Your input exceeds the context window of this model. Please adjust your input and try again.", None),
    ("OpenAI, configured", "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 280000 tokens. Please reduce the length of the messages.", (280000, 272000)),
    ("Azure's code alone", "context_length_exceeded", None),
    ("OpenRouter", "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens (40000 of text input). Please reduce the length of either one.", (40000, 32768)),
    ("OpenRouter, the prompt alone is too long", "This endpoint's maximum context length is 32768 tokens. However, you requested about 44000 tokens (38000 of text input, 2000 of tool input, 4000 in the output). Please reduce the length of either one.", (40000, 32768)),
    ("OpenRouter, quoting Anthropic", 'Provider returned error: {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}', (210000, 200000)),
    ("Anthropic", "prompt is too long: 210000 tokens > 200000 maximum", (210000, 200000)),
    ("vLLM", "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. Please reduce the length of the input messages.", (5000, 4096)),
    ("vLLM, the decoder", "The decoder prompt (length 9001) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no smaller than the number of text tokens.", (9001, 8192)),
    ("vLLM, the prompt alone is too long", "This model's maximum context length is 4096 tokens. However, you requested 100 output tokens and your prompt contains at least 5000 input tokens, for a total of at least 5100 tokens. Please reduce the length of the input prompt or the number of requested output tokens.", (5000, 4096)),
    ("vLLM, no output asked for", "This model's maximum context length is 32768 tokens. However, you requested 0 output tokens and your prompt contains at least 32769 input tokens, for a total of at least 32769 tokens.", (32769, 32768)),
    ("SGLang", "The input (9000 tokens) is longer than the model's context length (8192 tokens).", (9000, 8192)),
    ("SGLang, the prompt alone is too long", "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 17100 tokens: 9100 tokens from the input messages and 8000 tokens for the completion.", (9100, 8192)),
    ("llama.cpp", "the request exceeds the available context size, try increasing it", None),
    ("llama.cpp, newer", "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it", (9000, 4096)),
    ("TGI", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`", (5000, 4096)),
    ("TGI, inputs alone", "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000", (5000, 4096)),
    ("Gemini", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", (1200000, 1048576)),
    ("Vertex", "Unable to submit request because the input token count is 1300000 but the model only supports up to 1048576. Reduce the input token count and try again.", (1300000, 1048576)),
    ("Bedrock", "Input is too long for requested model.", None),
    ("Bedrock, counted", "Input tokens exceeded: 210000 tokens, limit 200000", (210000, 200000)),
    ("Cerebras", "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192", (9000, 8192)),
    ("Groq", "Please reduce the length of the messages or completion.", None),
    ("Mistral", "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", (40000, 32768)),
    ("Mistral, code 3051", "Too many tokens in the prompt: 40000, the limit is 32768", (40000, 32768)),
    ("Cohere", "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs. The limit for this model is 128000 tokens.", None),
    ("DashScope", "Range of input length should be [1, 129024]", None),
    ("Z.ai", "Prompt exceeds max length", None),
    ("Kimi", "Invalid request: Your request exceeded model token limit: 131072", None),
    ("Kimi, newer", "Invalid request: Your request exceeded model token limit: 262144 (requested: 290000)", (290000, 262144)),
    ("MiniMax", "invalid params, context window exceeds limit (2013)", None),
    ("Ollama", "the input length exceeds the context length", None),
    ("Ollama, newer", "prompt too long; exceeded max context length by 4096 tokens", None),
    ("LM Studio", "Trying to keep the first 5546 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input", (5546, 4096)),
    ("LM Studio, older", "The number of tokens to keep from the initial prompt is greater than the context length. Try to load the model with a larger context length, or provide a shorter input", None),
    ("Copilot", "prompt token count of 140000 exceeds the limit of 128000", (140000, 128000)),
    ("GitHub Models", "Request body too large for gpt-4o model. Max size: 8000 tokens.", None),
    ("xAI", "This model's maximum prompt length is 131072 but the request contains 140000 tokens.", (140000, 131072)),
    ("Fireworks", "The prompt is too long: 140000, model maximum context length: 131071", (140000, 131071)),
    ("Databricks", "input too long: 9000 input tokens, limit is 8192", (9000, 8192)),
    ("a local server", "Prompt has 300,000 tokens, but the configured context size is 131,072 tokens", (300000, 131072)),
    ("commas in numbers", "maximum context length is 128,000 tokens, you sent 150,001 tokens", (150001, 128000)),
    ("in capitals", "PROMPT IS TOO LONG", None),
    ("over several lines", "This model's maximum context length is 4096 tokens.\nHowever, your request has\n5000 input tokens.", (5000, 4096)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "numbers"), [row[1:] for row in PROMPTS], ids=[row[0] for row in PROMPTS])
def test_a_prompt_that_is_too_long(message: str, numbers: tuple[int, int] | None) -> None:
    made = retold(message, "", 4000)
    assert made
    assert made.lower().startswith("prompt is too long")
    found = PROMPT.match(made)
    assert (found and (int(found[1]), int(found[2]))) == numbers


CODES = ["context_length_exceeded", "exceed_context_size_error", "400 context_length_exceeded"]


@pytest.mark.parametrize("code", CODES)
def test_the_code_alone_tells_that_a_prompt_is_too_long(code: str) -> None:
    made = retold("words that nobody knows", code, 0)
    assert made
    assert made.startswith("prompt is too long: ")


# What is said, and its numbers of prompt, output and window.
BOTHS: list[tuple[str, str, tuple[int, int, int]]] = [
    ("Anthropic", "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease input length or `max_tokens` and try again", (199000, 8192, 200000)),
    ("Bedrock, quoting Anthropic", "The model returned the following errors: input length and `max_tokens` exceed context limit: 193212 + 8192 > 200000, decrease input length or `max_tokens` and try again", (193212, 8192, 200000)),
    ("OpenAI", "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.", (5000, 4000, 8192)),
    ("OpenRouter", "This endpoint's maximum context length is 32768 tokens. However, you requested about 36000 tokens (4000 of text input, 32000 in the output). Please reduce the length of either one.", (4000, 32000, 32768)),
    ("OpenRouter with tools", "This endpoint's maximum context length is 163840 tokens. However, you requested about 177553 tokens (95349 of text input, 18204 of tool input, 64000 in the output). Please reduce the length of either one.", (113553, 64000, 163840)),
    ("vLLM", "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 tokens and your request has 5000 input tokens (32000 > 32768 - 5000).", (5000, 32000, 32768)),
    ("vLLM, newer", "This model's maximum context length is 131072 tokens. However, you requested 64000 output tokens and your prompt contains at least 67073 input tokens, for a total of at least 131073 tokens. Please reduce the length of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=67073)", (67073, 64000, 131072)),
    ("SGLang", "Requested token count exceeds the model's maximum context length of 262144 tokens. You requested a total of 337844 tokens: 206772 tokens from the input messages and 131072 tokens for the completion. Please reduce the number of tokens in the input messages or the completion to fit within the limit.", (206772, 131072, 262144)),
    ("TGI", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1000 `inputs` tokens and 4000 `max_new_tokens`", (1000, 4000, 4096)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "numbers"), [row[1:] for row in BOTHS], ids=[row[0] for row in BOTHS])
def test_prompt_and_output_that_are_too_long_together(message: str, numbers: tuple[int, int, int]) -> None:
    made = retold(message, "", numbers[1])
    assert made
    assert made.endswith("decrease input length or `max_tokens` and try again")
    found = BOTH.match(made)
    assert found
    assert tuple(map(int, found.groups())) == numbers


# What is said, and the output limit of the model that it tells.
OUTPUTS: list[tuple[str, str, int]] = [
    ("Anthropic", "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens for claude-x", 32000),
    ("OpenAI", "max_tokens is too large: 64000. This model supports at most 16384 completion tokens, whereas you provided 64000.", 16384),
    ("DeepSeek", "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
    ("Groq", "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the `context_window` for this model", 8192),
    ("Groq, newer", "`max_completion_tokens` must be less than or equal to `32768`, the maximum value for `max_completion_tokens` is less than the `context_window` for this model", 32768),
    ("DashScope", "Range of max_tokens should be [1, 8192]", 8192),
    ("DashScope, in full", "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 32768]", 32768),
    ("Vertex", "Unable to submit request because it has a maxOutputTokens value of 64000 but the supported range is from 1 (inclusive) to 8193 (exclusive). Update the value and try again.", 8192),
    ("Gemini, compatible", "Unable to submit request because it has a max_output_tokens value of 64000 but the supported range is from 1 (inclusive) to 8193 (exclusive).", 8192),
    ("an unnamed server", "max_tokens must be at most 4096", 4096),
]  # fmt: skip


@pytest.mark.parametrize(("message", "most"), [row[1:] for row in OUTPUTS], ids=[row[0] for row in OUTPUTS])
@pytest.mark.parametrize("asked", [64000, 0])
def test_an_output_limit_that_is_too_large(message: str, most: int, asked: int) -> None:
    made = retold(message, "invalid_request_error", asked)
    if made is None:  # it says so in the very words already
        made = message
    found = OUTPUT.match(made)
    assert found
    assert int(found[2]) == most
    assert int(found[1]) == (asked or int(found[1])) > most


OTHERS: list[tuple[str, str]] = [
    (
        "Invalid 'metadata.user_id': string too long. Expected a string with maximum length 64.",
        "string_above_max_length",
    ),
    (
        "Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, but got a string with length 70 instead.",
        "",
    ),
    (
        "Invalid 'messages[3].tool_calls[0].id': string too long. Expected a string with maximum length 40, but got a string with length 41 instead.",
        "",
    ),
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "unsupported_parameter",
    ),
    ("max_tokens must be greater than or equal to 16", ""),
    ("`max_tokens` must be greater than `thinking.budget_tokens`", ""),
    (
        "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 200 instead.",
        "array_above_max_length",
    ),
    ("image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes", ""),
    ("temperature: must be less than or equal to 1", ""),
    ("An assistant message with 'tool_calls' must be followed by tool messages.", ""),
    ("", ""),
]


@pytest.mark.parametrize(("message", "code"), OTHERS)
def test_what_is_about_something_else_is_not_retold(message: str, code: str) -> None:
    assert retold(message, code, 4000) is None


@given(
    st.lists(
        st.sampled_from([row[1] for row in PROMPTS + BOTHS]) | words | st.integers(0, 10**30).map(str), max_size=4
    ),
    st.integers(0, 2**53),
)
def test_any_message_raises_nothing_and_takes_one_of_the_forms(parts: list[str], asked: int) -> None:
    made = retold(" ".join(parts), "", asked)
    assert made is None or made.lower().startswith(
        ("prompt is too long", "input length and `max_tokens`", "max_tokens: ")
    )
    if made and (found := PROMPT.match(made)):
        assert int(found[1]) > int(found[2]) > 0


@given(st.integers(4000, 10**7), st.integers(1, 10**6))
def test_the_numbers_are_those_that_were_said(limit: int, over: int) -> None:
    message = f"This model's maximum context length is {limit} tokens. However, your messages resulted in {limit + over} tokens."
    assert retold(message, "", 0) == f"prompt is too long: {limit + over} tokens > {limit} maximum"
