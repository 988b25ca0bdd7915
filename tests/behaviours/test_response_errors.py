"""Behaviours 47 to 50: errors, in whichever phase, and counting."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from claude_code_proxy.settings import ENV_FILE, load_settings
from grammar import events_of
from upstreams import Call, Chat, FakeChat, Http, Msg, Raw, failure, text, tool_use

from .stage import KEYS, TOOL, hello, post

if TYPE_CHECKING:
    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

BASES = {
    "openai": "/openai:gpt-4.1",
    "openrouter": "/openrouter:qwen/qwen3",
    "nvidia": "/nvidia:meta/llama",
    "ollama": "/ollama:llama3:8b",
    "anthropic": "/anthropic:claude-sonnet-4",
}
CHAT = ("openai", "openrouter", "nvidia")
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PROMPT = "canary-of-the-prompt"


def broken(stage: Stage, name: str, writes: int, *then: Any) -> None:
    """Have this provider say the beginning of an answer, and then something else."""
    upstream = stage.upstreams[name]
    if isinstance(upstream, FakeChat):
        reply = Chat("Hello there, how are you?", [Call("Read", {"path": "/a/b/c"})], chunk=4)
        upstream.use(by=upstream.cut(reply, writes, *then))
    else:
        said = Msg([text("Hello there, how are you?"), tool_use("Read", {"path": "/a/b/c"})], chunk=4, ping=False)
        upstream.use(by=upstream.cut(said, writes, *then))


def assert_told(body: bytes) -> None:
    """The stream ends in an error, and nothing says that it ended well."""
    events = events_of(body)
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["message"]
    for word in (b"end_turn", b'"tool_use","stop', b"message_stop", b"message_delta"):
        assert word not in body


@pytest.mark.parametrize("then", [(), (("abort",),)], ids=["ends", "is reset"])
@pytest.mark.parametrize("writes", [4, 9, 11, 12])
@pytest.mark.parametrize("name", BASES)
async def test_47_a_stream_that_breaks_off(stage: Stage, name: str, writes: int, then: Any) -> None:
    broken(stage, name, writes, *then)
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=True, tools=[TOOL]))
    assert answer.status == 200
    assert_told(answer.body)


ERRORS = {
    True: b'data: {"error":{"message":"Something broke.","type":"server_error","code":500}}\n\n',
    False: b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Something broke."}}\n\n',
}


@pytest.mark.parametrize("name", BASES)
async def test_47_an_error_inside_a_stream(stage: Stage, name: str) -> None:
    broken(stage, name, 5, ("raw", ERRORS[name in CHAT]))
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=True, tools=[TOOL]))
    assert_told(answer.body)
    assert "Something broke." in events_of(answer.body)[-1]["error"]["message"]


@pytest.mark.parametrize("name", BASES)
async def test_47_an_upstream_that_falls_silent(stage: Stage, name: str) -> None:
    """How long it may be silent is a setting, by default far more than a minute."""
    assert load_settings({ENV_FILE: ""}).idle_timeout > 60
    assert load_settings({ENV_FILE: "", "IDLE_TIMEOUT": "61.5"}).idle_timeout == 61.5
    url = await stage.serve(IDLE_TIMEOUT="0.3")
    broken(stage, name, 5, ("silence",))
    answer = await post(url, f"{BASES[name]}/v1/messages", hello(stream=True, tools=[TOOL]))
    assert_told(answer.body)
    stage.upstreams[name].use(Raw([("silence",)]))
    for stream in (False, True):
        answer = await post(url, f"{BASES[name]}/v1/messages", hello(stream=stream))
        assert answer.status >= 500
        assert answer.error()["type"] in {"timeout_error", "api_error", "overloaded_error"}


STATUSES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@MODES
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", BASES)
async def test_48_errors_keep_their_status(stage: Stage, name: str, status: int, *, stream: bool) -> None:
    kind = STATUSES[status]
    if name in CHAT:
        told = Http(status, {"error": {"message": "In its own words.", "type": "x"}}, {"retry-after": "7"})
    else:
        told = failure(status, kind, "In its own words.", {"retry-after": "7"})
    stage.upstreams[name].use(told)
    body = hello(stream=stream, messages=[{"role": "user", "content": PROMPT}])
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", body, **{"x-api-key": "canary-of-the-client"})
    assert answer.status == status
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == kind
    assert "In its own words." in answer.json["error"]["message"]
    assert answer.headers["retry-after"] == "7"
    for hidden in (*KEYS.values(), "canary-of-the-client", PROMPT, "Traceback", ".py"):
        assert hidden not in answer.body.decode() + str(answer.headers)


@MODES
async def test_48_a_missing_key_is_named(stage: Stage, *, stream: bool) -> None:
    for name, variable in (
        ("openai", "OPENAI_API_KEY"),
        ("nvidia", "NVIDIA_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
    ):
        url = await stage.serve(**{variable: ""})
        answer = await post(url, f"{BASES[name]}/v1/messages", hello(stream=stream))
        assert (answer.status, answer.error()["type"]) == (401, "authentication_error")
        assert variable in answer.error()["message"]
    assert stage.asked() == {}


@MODES
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":3}', b'{"messages":[]}'])
async def test_48_a_bad_request_is_told_in_the_same_shape(stage: Stage, body: bytes, *, stream: bool) -> None:
    del stream
    for base in ("", *BASES.values()):
        answer = await post(stage.url, f"{base}/v1/messages", body)
        assert (answer.status, answer.error()["type"]) == (400, "invalid_request_error")


OVERFLOWS = {
    "OpenAI": (
        400,
        {
            "error": {
                "message": "This model's maximum context length is 128000 tokens. However, your messages resulted in "
                "210000 tokens. Please reduce the length of the messages.",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
    ),
    "OpenAI, newer": (
        400,
        {
            "error": {
                "message": "Your input exceeds the context window of this model. Please adjust your input and try again.",
                "type": "invalid_request_error",
                "param": "input",
                "code": "context_length_exceeded",
            }
        },
    ),
    "OpenRouter": (
        400,
        {
            "error": {
                "message": "This endpoint's maximum context length is 131072 tokens. However, you requested about 210000 "
                "tokens (200000 of text input, 10000 in the output). Please reduce the length of either one.",
                "code": 400,
            }
        },
    ),
    "vLLM": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens in the "
            "messages, Please reduce the length of the messages.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "llama.cpp": (
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9000,
                "n_ctx": 8192,
            }
        },
    ),
}


@MODES
@pytest.mark.parametrize("whose", OVERFLOWS)
@pytest.mark.parametrize("name", CHAT)
async def test_49_an_overflow_makes_the_client_compact(stage: Stage, name: str, whose: str, *, stream: bool) -> None:
    stage.upstreams[name].use(Http(*OVERFLOWS[whose]))
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=stream))
    assert (answer.status, answer.error()["type"]) == (400, "invalid_request_error")
    assert answer.error()["message"].startswith("prompt is too long")


async def count(stage: Stage, base: str, **fields: Any) -> int:
    body = {"model": "claude-sonnet-4", "messages": [{"role": "user", "content": "Hello"}], **fields}
    answer = await post(stage.url, f"{base}/v1/messages/count_tokens", body)
    assert (answer.status, list(answer.json)) == (200, ["input_tokens"]), answer.body
    counted: int = answer.json["input_tokens"]
    return counted


IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"x" * 3000).decode()},
}


@pytest.mark.parametrize("base", ["", *BASES.values()])
async def test_50_counts_grow_with_all_that_is_sent(stage: Stage, base: str) -> None:
    few = await count(stage, base)
    assert few < await count(stage, base, system="Be kind to everyone. " * 20)
    assert few < await count(stage, base, system=[{"type": "text", "text": "Be kind to everyone. " * 20}])
    more = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello there, how are you? " * 9}]
    assert few < await count(stage, base, messages=more)
    one, twenty = await count(stage, base, tools=[TOOL]), await count(stage, base, tools=[TOOL] * 20)
    assert few < one < twenty
    assert twenty - few > 10 * (one - few)
    seen = [{"role": "user", "content": [{"type": "text", "text": "Hello"}, IMAGE]}]
    assert few + 10 < await count(stage, base, messages=seen)
    used = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": TOOL["name"], "input": {}}]}
    shown = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]}
    assert few + 10 < await count(stage, base, messages=[more[0], used, shown])
    assert set(stage.asked()) == ({"anthropic"} if base == BASES["anthropic"] else set())  # which counts itself


async def test_50_names_of_models_need_no_network(stage: Stage) -> None:
    for model in ("meta-llama/llama-3-8b", "gpt-4.1", "claude-sonnet-4", "qwen/qwen3", "\U0001f600"):
        answer = await post(stage.url, "/v1/messages/count_tokens", hello(model))
        assert answer.status == 200
    assert stage.asked() == {}
