from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import body, call
from claude_code_proxy.dialects import errors
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.wire.failure import STATUS, Failed
from sayings import inputs


def told(status: int, answer: Any, headers: dict[str, str] | None = None, *, asked: int = 1000) -> Failed:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return errors.failure(call(body(max_tokens=asked)), Answer(status, headers or {}), raw)


def openai(message: str, code: Any = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


TOO_LONG: list[tuple[str, Any, tuple[int, int] | None]] = [
    (
        "OpenAI",
        openai(
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens. Please reduce the length of the messages.",
            "context_length_exceeded",
        ),
        (150000, 128000),
    ),
    (
        "OpenAI, code only",
        openai(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "context_length_exceeded",
        ),
        None,
    ),
    (
        "OpenRouter",
        openai(
            "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens (40000 of text input). Please reduce the length of either one.",
            400,
        ),
        (40000, 32768),
    ),
    (
        "vLLM",
        {
            "object": "error",
            "message": "The decoder prompt (length 9001) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no smaller.",
            "type": "BadRequestError",
        },
        (9001, 8192),
    ),
    (
        "llama.cpp",
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9000,
                "n_ctx": 4096,
            }
        },
        None,
    ),
    (
        "llama.cpp with numbers",
        openai("request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"),
        (9000, 4096),
    ),
    (
        "Gemini",
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        (1200000, 1048576),
    ),
    (
        "Cerebras",
        {
            "message": "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
        },
        (9000, 8192),
    ),
    (
        "TGI",
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
            "error_type": "validation",
        },
        (5000, 4096),
    ),
    ("Bedrock", {"message": "Input is too long for requested model."}, None),
    (
        "SGLang",
        {
            "object": "error",
            "message": "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 9100 tokens.",
        },
        (9100, 8192),
    ),
    ("DashScope", openai("Range of input length should be [1, 129024]", "invalid_parameter_error"), None),
    ("Z.ai", openai("Prompt exceeds max length", "1261"), None),
    (
        "Kimi",
        openai("Invalid request: Your request exceeded model token limit: 131072", None, "invalid_request_error"),
        None,
    ),
    (
        "MiniMax",
        {
            "type": "error",
            "error": {"type": "bad_request_error", "message": "invalid params, context window exceeds limit (2013)"},
        },
        None,
    ),
    ("Ollama", {"error": "the input length exceeds the context length"}, None),
    (
        "xAI",
        openai("This model's maximum prompt length is 131072 but the request contains 140000 tokens."),
        (140000, 131072),
    ),
    (
        "commas in numbers",
        openai("maximum context length is 128,000 tokens, you sent 150,001 tokens"),
        (150001, 128000),
    ),
    ("Anthropic", openai("prompt is too long: 210000 tokens > 200000 maximum"), (210000, 200000)),
    ("plain text", b"prompt is too long", None),
]


@pytest.mark.parametrize(("answer", "numbers"), [row[1:] for row in TOO_LONG], ids=[row[0] for row in TOO_LONG])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_the_client_acts_on(
    answer: object, numbers: tuple[int, int] | None, status: int
) -> None:
    failure = told(status, answer)
    assert (failure.status, failure.type) == (400, "invalid_request_error")
    expected = f"prompt is too long: {numbers[0]} tokens > {numbers[1]} maximum" if numbers else "prompt is too long"
    assert failure.message.startswith(expected)
    if not numbers:
        assert " tokens > " not in failure.message


@pytest.mark.parametrize(("status", "kind"), [(429, "rate_limit_error"), (500, "api_error"), (404, "not_found_error")])
def test_such_words_mean_something_else_with_another_status(status: int, kind: str) -> None:
    assert told(status, openai("maximum context length is 8192 tokens")).type == kind


def test_a_field_that_is_too_long_is_no_prompt_that_is() -> None:
    answer = openai(
        "Invalid 'metadata.user_id': string too long. Expected a string with maximum length 64, maximum context length",
        "string_above_max_length",
    )
    assert not told(400, answer).message.startswith("prompt is too long")


SIZES: list[tuple[str, str, int, str]] = [
    ("prompt and output", "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.", 4000,
     "input length and `max_tokens` exceed context limit: 5000 + 4000 > 8192"),
    ("the prompt alone", "This model's maximum context length is 8192 tokens. However, you requested 13000 tokens (9000 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.", 4000,
     "prompt is too long: 9000 tokens > 8192 maximum"),
    ("the output", "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.", 32000,
     "max_tokens: 32000 > 16384, which is the maximum allowed number of output tokens"),
    ("TGI", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1000 `inputs` tokens and 4000 `max_new_tokens`", 4000,
     "input length and `max_tokens` exceed context limit: 1000 + 4000 > 4096"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "asked", "expected"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_what_is_too_large_decides_what_the_client_is_told(message: str, asked: int, expected: str) -> None:
    failure = told(400, openai(message), asked=asked)
    assert failure.message.startswith(expected)
    assert (failure.status, failure.type) == (400, "invalid_request_error")


KINDS: list[tuple[int, Any, str, int]] = [
    (400, openai("bad"), "invalid_request_error", 400),
    (401, openai("bad key"), "authentication_error", 401),
    (402, openai("pay"), "billing_error", 402),
    (403, openai("no"), "permission_error", 403),
    (404, openai("no model"), "not_found_error", 404),
    (408, openai("late"), "timeout_error", 504),
    (409, openai("twice"), "conflict_error", 409),
    (413, openai("body"), "request_too_large", 413),
    (418, openai("teapot"), "invalid_request_error", 400),
    (422, {"detail": [{"loc": ["body", "x"], "msg": "field required"}]}, "invalid_request_error", 400),
    (429, openai("slow down"), "rate_limit_error", 429),
    (429, openai("You exceeded your current quota", "insufficient_quota"), "billing_error", 402),
    (429, openai("Insufficient credits"), "billing_error", 402),
    (500, openai("oops"), "api_error", 500),
    (500, openai("The server is overloaded"), "overloaded_error", 529),
    (502, b"<html>Bad Gateway</html>", "api_error", 502),
    (503, openai("Loading model"), "overloaded_error", 529),
    (503, b"no healthy upstream", "overloaded_error", 529),
    (503, b"", "overloaded_error", 529),
    (504, b"", "timeout_error", 504),
    (529, b"", "overloaded_error", 529),
    (599, b"", "api_error", 599),
    (302, b"", "api_error", 502),
]


@pytest.mark.parametrize(("status", "answer", "kind", "to_client"), KINDS)
def test_every_status_of_an_upstream_means_something_to_the_client(
    status: int, answer: object, kind: str, to_client: int
) -> None:
    failure = told(status, answer)
    assert (failure.type, failure.status) == (kind, to_client)
    assert failure.message
    assert "<html" not in failure.message


MESSAGES: list[tuple[Any, str]] = [
    (openai("words"), "words"),
    (openai("words", "some_code"), "words"),
    ({"error": "words"}, "words"),
    ({"error": "kind", "message": "words"}, "words"),
    ({"message": "words"}, "words"),
    ({"detail": "words"}, "words"),
    ({"detail": [{"loc": ["body", "a", 0], "msg": "words"}, {"loc": [], "msg": "more"}]}, "body.a.0: words; : more"),
    ({"title": "Title", "detail": "words"}, "Title: words"),
    ([openai("words")], "words"),
    (openai("words") | {"x": 1}, "words"),
    (
        {"error": {"message": "Provider returned error", "metadata": {"raw": "their words"}}},
        "Provider returned error: their words",
    ),
    (b"plain words", "plain words"),
    ("words", "words"),
    (b"<html>words</html>", "The upstream answered HTTP 400."),
    (b"", "The upstream answered HTTP 400."),
    ({}, "The upstream answered HTTP 400."),
    ([], "The upstream answered HTTP 400."),
    ({"error": {}}, "The upstream answered HTTP 400."),
    (None, "The upstream answered HTTP 400."),
]


@pytest.mark.parametrize(("answer", "message"), MESSAGES)
def test_the_words_of_an_error_of_any_shape(answer: object, message: str) -> None:
    assert told(400, answer).message == message


HEADERS: list[tuple[int, dict[str, str], dict[bytes, bytes]]] = [
    (429, {"retry-after": "7", "x-ratelimit": "1"}, {b"retry-after": b"7"}),
    (500, {"x-should-retry": "true"}, {b"x-should-retry": b"true"}),
    (401, {}, {b"x-should-retry": b"false"}),
    (403, {}, {b"x-should-retry": b"false"}),
    (402, {}, {}),
    (400, {}, {}),
]


@pytest.mark.parametrize(("status", "headers", "expected"), HEADERS)
def test_headers_that_steer_retries_are_kept(
    status: int, headers: dict[str, str], expected: dict[bytes, bytes]
) -> None:
    assert dict(told(status, openai("x"), headers).headers) == expected


ODD: list[Any] = [
    {"detail": [{"loc": None, "msg": "x"}]},
    {"detail": [{"loc": 5}]},
    {"detail": [5, None]},
    {"error": {"message": ["x"], "code": {}, "type": [], "metadata": 5}},
    {"error": ["x"]},
    {"error": True},
    {"message": 5},
    [[]],
    [None],
    openai("maximum context length " + "9" * 5000),
    b"\xff\xfe",
    b'{"error": "\\ud83d"}',
]


@pytest.mark.parametrize("answer", ODD)
@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_odd_body_raises_nothing(answer: object, status: int) -> None:
    assert told(status, answer).type in STATUS


def test_an_odd_limit_of_the_request_raises_nothing() -> None:
    raw = b'{"model":"m","max_tokens":' + b"9" * 5000 + b"}"
    assert errors.failure(call(raw), Answer(400), b"").status == 400


def test_a_header_in_no_known_encoding_raises_nothing() -> None:
    assert told(429, openai("x"), {"retry-after": "\udcff"}).status == 429


@given(st.binary(max_size=200) | inputs.map(lambda value: json.dumps(value).encode()), st.integers(300, 599))
def test_any_body_raises_nothing(answer: bytes, status: int) -> None:
    failure = told(status, answer)
    assert failure.type in STATUS
    assert 400 <= failure.status < 600
