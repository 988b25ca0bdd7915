"""A request that is too large, in every provider's words: Claude Code compacts, or asks for less, and goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Call, Chat, Http, Raw

from .http_client import CHAT, HELLO, send
from .tool_loop import answered, text_of

if TYPE_CHECKING:
    from upstreams import Recorded

    from .claude import Claude
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = ("--model", "house-model-7b")
SUMMARY = "<analysis>Short.</analysis>\n<summary>\n1. The word was plover.\n</summary>"
ANSWER = "All three rounds are done."
ASKED = 32_000
"""The output limit that the client asks for with a model it does not know."""


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "messages", "code": code}}


def vllm(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}}


def vllm_before(message: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


IN_ALL = "This model's maximum context length is {limit} tokens. However, "
REQUESTED = (
    IN_ALL + "you requested {total} tokens ({prompt} in the messages, {output} in the completion). Please reduce "
)
REQUESTED += "the length of the messages or completion."
OPENROUTER = (
    "This endpoint's maximum context length is {limit} tokens. However, you requested about {total} tokens ({prompt} "
    "of text input, {output} in the output). Please reduce the length of either one."
)
WITH_TOOLS = OPENROUTER.replace("text input,", "text input, {tools} of tool input,")
TOO_LARGE = (
    "'max_tokens' or 'max_completion_tokens' is too large: {output}. This model's maximum context length is {limit} "
    "tokens and your request has {prompt} input tokens ({output} > {limit} - {prompt})."
)
TGI = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= {limit}. Given: {prompt} `inputs` tokens "
    "and {output} `max_new_tokens`"
)
SGLANG = (
    "Requested token count exceeds the model's maximum context length of {limit} tokens. You requested a total of "
    "{total} tokens: {prompt} tokens from the input messages and {output} tokens for the completion. Please reduce the "
    "number of tokens in the input messages or the completion to fit within the limit."
)


def over(form: str, *, limit: int, prompt: int, output: int, tools: int = 0) -> str:
    """Fill in one of those above."""
    return form.format(limit=limit, prompt=prompt, output=output, tools=tools, total=prompt + output + tools)


P, L = 210_000, 131_072  # prompt and limit
BOTH = {"limit": L, "prompt": P, "output": ASKED}
NUMBERS = f"prompt is too long: {P} tokens > {L} maximum"
WORDS = "prompt is too long: "

# body of the 400, and what the client must be told
PROMPTS: dict[str, tuple[Any, str]] = {
    "OpenAI": (
        openai(
            f"This model's maximum context length is {L} tokens. However, your messages resulted in {P} tokens. Please "
            "reduce the length of the messages.",
            "context_length_exceeded",
        ),
        NUMBERS,
    ),
    "OpenAI without numbers": (
        openai("Your input exceeds the context window of this model. Please adjust it.", "context_length_exceeded"),
        WORDS,
    ),
    "OpenAI with tools": (
        openai(
            f"This model's maximum context length is {L} tokens. However, your messages resulted in {P} tokens "
            "(190000 in the messages, 20000 in the functions). Please reduce the length of the messages or functions.",
            "context_length_exceeded",
        ),
        NUMBERS,
    ),
    "OpenRouter": ({"error": {"message": over(OPENROUTER, **BOTH), "code": 400}}, NUMBERS),
    "OpenRouter with the provider's words": (
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": json.dumps(openai(over(REQUESTED, **BOTH))), "provider_name": "X"},
            }
        },
        NUMBERS,
    ),
    "vLLM": (vllm(over(REQUESTED, **BOTH)), NUMBERS),
    "vLLM as before": (vllm_before(over(REQUESTED, **BOTH)), NUMBERS),
    "vLLM of input alone": (
        vllm(IN_ALL.format(limit=L) + f"your request has {P} input tokens. Please reduce the length of the input."),
        NUMBERS,
    ),
    "vLLM's decoder": (
        vllm_before(
            f"The decoder prompt (length {P}) is longer than the maximum model length of {L}. Make sure that "
            "`max_model_len` is no smaller than the number of text tokens."
        ),
        NUMBERS,
    ),
    "llama.cpp": (
        {
            "error": {
                "code": 400,
                "message": f"request ({P} tokens) exceeds the available context size ({L} tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": P,
                "n_ctx": L,
            }
        },
        NUMBERS,
    ),
    "Gemini": (
        [
            {
                "error": {
                    "code": 400,
                    "message": f"The input token count ({P}) exceeds the maximum number of tokens allowed ({L}).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        NUMBERS,
    ),
    "Mistral": (
        {
            "object": "error",
            "message": f"Prompt contains {P} tokens and 0 draft tokens, too large for model with {L} maximum context "
            "length",
            "type": "invalid_request_prompt",
            "param": None,
            "code": "3051",
        },
        NUMBERS,
    ),
    "DeepSeek": (openai(over(REQUESTED, **BOTH)), NUMBERS),
    "SGLang": (vllm_before(over(SGLANG, **BOTH)), NUMBERS),
    "SGLang of input alone": (
        vllm_before(f"The input ({P} tokens) is longer than the model's context length ({L} tokens)."),
        NUMBERS,
    ),
    "TGI": ({"error": over(TGI, **BOTH), "error_type": "validation"}, NUMBERS),
    "Cerebras": (
        openai(f"Please reduce the length of the messages or completion. Current length is {P} while limit is {L}"),
        NUMBERS,
    ),
    "Groq": (openai("Please reduce the length of the messages or completion.", "context_length_exceeded"), WORDS),
    "xAI": (
        {
            "code": "Client specified an invalid argument",
            "error": f"This model's maximum prompt length is {L} but the request contains {P} tokens.",
        },
        NUMBERS,
    ),
    "Bedrock": ({"message": "Input is too long for requested model."}, WORDS),
    "DashScope": (
        openai(f"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, {L}]", "invalid_value"),
        WORDS,
    ),
    "Z.ai": ({"error": {"code": "1261", "message": "Prompt exceeds max length"}}, WORDS),
    "Kimi": (openai(f"Invalid request: Your request exceeded model token limit: {L}"), WORDS),
    "MiniMax": (openai("invalid params, context window exceeds limit (2013)"), WORDS),
    "Ollama": (openai("the input length exceeds the context length"), WORDS),
    "a maximum input length": (openai(f"maximum input length is {L} tokens, got {P}"), NUMBERS),
    "an input with a limit": (openai(f"input too long: {P} input tokens, limit is {L}"), NUMBERS),
    "numbers with commas": (openai("prompt is longer than the context window: 210,000 tokens > 131,072"), WORDS),
}
BY_CLI = ("OpenAI", "OpenAI without numbers", "OpenRouter", "vLLM", "vLLM as before", "llama.cpp", "Gemini", "Mistral")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", PROMPTS)
async def test_a_prompt_that_is_too_long_is_told_in_the_clients_words(
    world: World, provider: str, *, stream: bool
) -> None:
    body, words = PROMPTS[provider]
    world.chat.use(Http(400, body))
    answer = await send(world.url, CHAT, HELLO | {"stream": stream})
    error = answer.error()
    assert (answer.status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith(words)


@pytest.mark.parametrize("status", [413, 422])
async def test_the_words_count_under_every_status_for_size(world: World, status: int) -> None:
    world.chat.use(Http(status, PROMPTS["OpenAI"][0]))
    answer = await send(world.url, CHAT, HELLO)
    assert (answer.status, answer.error()["message"][: len(NUMBERS)]) == (400, NUMBERS)


INSIDE = {
    "a code in words": openai(f"This model's maximum context length is {L} tokens. However, it has {P} tokens.", "x"),
    "the code for it": openai("Too much.", "context_length_exceeded"),
    "a number": PROMPTS["vLLM"][0],
    "OpenRouter's type": {
        "error": {
            "code": 400,
            "message": over(OPENROUTER, **BOTH),
            "metadata": {"error_type": "context_length_exceeded"},
        },
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
    },
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", INSIDE)
async def test_it_is_told_the_same_way_when_it_comes_with_status_200(world: World, case: str, *, stream: bool) -> None:
    data = json.dumps(INSIDE[case]).encode()
    world.chat.use(Raw([("raw", b"data: " + data + b"\n\n")]) if stream else Http(200, INSIDE[case]))
    answer = await send(world.url, CHAT, HELLO | {"stream": stream})
    assert answer.status == 400, answer.body
    assert answer.error()["message"].startswith(WORDS)


@dataclass
class Rounds:
    """A model that runs three commands, and whose server refuses what comes then until it is less."""

    refusal: Http | Raw
    compactions: int = 0
    refuse_compactions: int = 0
    full: bool = False
    rounds: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, rec: Recorded) -> Chat | Http | Raw:
        self.bodies.append(rec.json)
        tail = "".join(text_of(message["content"]) for message in rec.json["messages"][-2:])
        if "summary of the conversation" in tail or "<analysis>" in tail:
            self.compactions += 1
            if self.compactions <= self.refuse_compactions:
                return self.refusal
            self.full = False
            return Chat(SUMMARY)
        if self.full:
            return self.refusal
        if self.rounds == 3:
            return Chat(ANSWER)
        self.rounds += 1
        self.full = self.rounds == 3
        return Chat(
            tool_calls=[Call("Bash", {"command": f"echo round-$(({self.rounds} + 40))", "description": "Echo"})]
        )


async def assert_compacts(claude: Claude, world: World, rounds: Rounds) -> None:
    """The client asked for a summary once it was refused, and went on with that."""
    world.chat.use(by=rounds)
    run = await claude.run(world.url, *MODEL)
    assert run.answer == ANSWER
    assert rounds.compactions == 1 + rounds.refuse_compactions
    assert any(line.get("subtype") == "compact_boundary" for line in run.lines)
    *_, last = world.only(world.chat)
    assert "The word was plover." in "".join(text_of(message["content"]) for message in last["messages"])
    results = [call.result for call in answered(last)]
    assert results[-1:] == ["round-43"]
    assert len(results) < 3  # the rest is in the summary


@pytest.mark.parametrize("provider", BY_CLI)
async def test_the_client_compacts_and_goes_on(claude: Claude, world: World, provider: str) -> None:
    await assert_compacts(claude, world, Rounds(Http(400, PROMPTS[provider][0])))


async def test_the_client_compacts_on_an_error_inside_a_stream(claude: Claude, world: World) -> None:
    data = json.dumps(INSIDE["the code for it"]).encode()
    await assert_compacts(claude, world, Rounds(Raw([("raw", b"data: " + data + b"\n\n")])))


async def test_the_client_compacts_less_when_that_is_too_long_too(claude: Claude, world: World) -> None:
    rounds = Rounds(Http(400, PROMPTS["OpenAI"][0]), refuse_compactions=1)
    world.chat.use(by=rounds)
    run = await claude.run(world.url, *MODEL)
    assert run.answer == ANSWER
    assert rounds.compactions == 2


# The server's own words for an output limit of more than 8192, and the model's limit in them.
OUTPUTS: dict[str, Any] = {
    "OpenAI": openai(
        f"max_tokens is too large: {ASKED}. This model supports at most 8192 completion tokens, whereas you provided "
        f"{ASKED}.",
        "invalid_value",
    ),
    "DeepSeek": openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", "invalid_request_error"),
    "Groq": openai(
        "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
        "`context_window` for this model"
    ),
    "Groq, the newer field": openai("`max_completion_tokens` must be less than or equal to `8192`, the maximum value"),
    "DashScope": openai("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]"),
    "Gemini": [
        {
            "error": {
                "code": 400,
                "message": "Unable to submit request because it has a maxOutputTokens value of 32000 but the supported "
                "range is from 1 (inclusive) to 8193 (exclusive). Update the value and try again.",
                "status": "INVALID_ARGUMENT",
            }
        }
    ],
}


def limits(world: World) -> list[int]:
    """Give the output limits that the upstream was asked for."""
    return [body["max_completion_tokens"] for body in world.only(world.chat)]


@pytest.mark.parametrize("provider", OUTPUTS)
async def test_the_client_asks_for_as_much_output_as_there_is(claude: Claude, world: World, provider: str) -> None:
    refusal = Http(400, OUTPUTS[provider])
    world.chat.use(by=lambda rec: refusal if rec.json["max_completion_tokens"] > 8192 else Chat("It fits."))
    run = await claude.run(world.url, *MODEL)
    assert run.answer == "It fits."
    assert limits(world) == [ASKED, 8192]


# Prompt and output together are too much: (form, a prompt that fits by itself, of which are tools, limit).
TOGETHER: dict[str, tuple[str, int, int, int]] = {
    "DeepSeek": (REQUESTED, 20_000, 0, 40_000),
    "OpenRouter": (OPENROUTER, 20_000, 0, 40_000),
    "OpenRouter with tools": (WITH_TOOLS, 20_000, 12_000, 40_000),
    "vLLM": (TOO_LARGE, 20_000, 0, 40_000),
    "TGI": (TGI, 20_000, 0, 40_000),
    "SGLang": (SGLANG, 20_000, 0, 40_000),
}


@pytest.mark.parametrize("provider", TOGETHER)
async def test_the_client_asks_for_less_output_when_the_prompt_leaves_no_more(
    claude: Claude, world: World, provider: str
) -> None:
    form, prompt, tools, limit = TOGETHER[provider]

    def script(rec: Recorded) -> Chat | Http:
        output = rec.json["max_completion_tokens"]
        if prompt + output <= limit:
            return Chat("It fits.")
        words = over(form, limit=limit, prompt=prompt - tools, tools=tools, output=output)
        return Http(400, {"error": words} if form is TGI else vllm(words))

    world.chat.use(by=script)
    run = await claude.run(world.url, *MODEL)
    assert run.answer == "It fits."
    first, *_, last = limits(world)
    assert first == ASKED
    assert 0 < last <= limit - prompt
    assert len(limits(world)) == 2
