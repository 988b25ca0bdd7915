from __future__ import annotations

import json
from typing import Any

import pytest

from calls import JSON, replied
from chunks import CALLS, COUNTS, NO_CHOICES, STOP, TEXT, chunk, client_gets, part, piece, sse
from claude_code_proxy.dialects.names import upstream_id
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.signature import Minted
from claude_code_proxy.wire.signature import read as minted
from claude_code_proxy.wire.watch import Watch
from grammar import Read, read


def said(told: Read) -> list[str]:
    """The blocks, each in one line."""
    lines = []
    for block in told.blocks:
        match block:
            case {"type": "text", "text": text}:
                lines.append(f"text {text}")
            case {"type": "thinking", "thinking": text}:
                lines.append(f"thinking {text}")
            case _:
                lines.append(f"{block['name']} {json.dumps(block['input'])}")
    return lines


DEVIATIONS: list[tuple[str, list[dict[str, Any] | bytes], list[str], str]] = [
    ("comments, names and ids among the data", [b": OPENROUTER PROCESSING\n\n", b"event: x\nid: 1\n", TEXT, b":\n", STOP], ["text a"], "end_turn"),
    ("data that is blank", [b"data:\n\n", b"data: \n\n", TEXT, STOP], ["text a"], "end_turn"),
    ("lines that end in CRLF", [sse(TEXT, STOP, end=b"").replace(b"\n", b"\r\n")], ["text a"], "end_turn"),
    ("no space after the colon", [sse(TEXT, STOP, end=b"").replace(b"data: ", b"data:")], ["text a"], "end_turn"),
    ("roles, nulls and empty strings", [chunk(role="assistant", content=None), chunk(content="", tool_calls=None, reasoning_content=None), TEXT, STOP], ["text a"], "end_turn"),
    ("choices that are null, empty or missing", [{"choices": None}, {"choices": []}, {}, TEXT, STOP], ["text a"], "end_turn"),
    ("a choice without delta", [{"choices": [{"index": 0}]}, TEXT, {"choices": [{"finish_reason": "stop", "delta": None}]}], ["text a"], "end_turn"),
    ("several choices", [TEXT, {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]}, chunk(content="b"), STOP], ["text ab"], "end_turn"),
    ("stop after tool calls", [piece(part(0, "c", "f", "{}")), STOP], ["f {}"], "tool_use"),
    ("an empty finish reason", [piece(part(0, "c", "f", "{}")), chunk("")], ["f {}"], "tool_use"),
    ("tool calls without any", [TEXT, CALLS], ["text a"], "end_turn"),
    ("no finish reason to the end", [TEXT], ["text a"], "end_turn"),
    ("a finish reason that nobody knows", [TEXT, chunk("because")], ["text a"], "end_turn"),
    ("the finish reason with the last piece", [chunk("stop", content="a")], ["text a"], "end_turn"),
    ("arguments in pieces", [piece(part(0, "c", "f", "")), piece(part(0, args='{"a"')), piece(part(0, args=":1}")), CALLS], ['f {"a": 1}'], "tool_use"),
    ("a call in one piece", [piece(part(0, "c", "f", '{"a":1}')), CALLS], ['f {"a": 1}'], "tool_use"),
    ("a call without arguments", [piece(part(0, "c", "f")), CALLS], ["f {}"], "tool_use"),
    ("a call with empty arguments", [piece(part(0, "c", "f", "")), CALLS], ["f {}"], "tool_use"),
    ("arguments that are an object", [piece(part(0, "c", "f", {"a": 1})), CALLS], ['f {"a": 1}'], "tool_use"),
    ("calls without index", [piece(part(None, "c", "f", "{}")), piece(part(None, "d", "g", "{}")), CALLS], ["f {}", "g {}"], "tool_use"),
    ("calls without index in pieces", [piece(part(None, "c", "f", '{"a"')), piece(part(None, args=":1}")), CALLS], ['f {"a": 1}'], "tool_use"),
    ("calls without index that repeat the id", [piece(part(None, "c", "f", '{"a"')), piece(part(None, "c", args=":1}")), CALLS], ['f {"a": 1}'], "tool_use"),
    ("calls without index and id", [piece(part(None, None, "f", "{}"), part(None, None, "f", "{}")), CALLS], ["f {}", "f {}"], "tool_use"),
    ("every call with index 0", [piece(part(0, "c", "f", "{}")), piece(part(0, "d", "g", "{}")), CALLS], ["f {}", "g {}"], "tool_use"),
    ("an id in every piece", [piece(part(0, "c", "f", '{"a"')), piece(part(0, "c", args=":1}")), CALLS], ['f {"a": 1}'], "tool_use"),
    ("id and name in every piece", [piece(part(0, "c", "f", '{"a"')), piece(part(0, "c", "f", ":1}")), CALLS], ['f {"a": 1}'], "tool_use"),
    ("the name again before the arguments", [piece(part(0, "c", "f")), piece(part(0, "c", "f")), piece(part(0, args="{}")), CALLS], ["f {}"], "tool_use"),
    ("a new id in pieces without a name", [piece(part(0, "c", "f", '{"a"')), piece(part(0, "z", args=":1}")), CALLS], ['f {"a": 1}'], "tool_use"),
    ("an id that is empty", [piece(part(0, "", "f", "{}")), CALLS], ["f {}"], "tool_use"),
    ("the same id twice", [piece(part(0, "c", "f", "{}"), part(1, "c", "g", "{}")), CALLS], ["f {}", "g {}"], "tool_use"),
    ("a name in pieces", [piece(part(0, "c", "get_")), piece(part(0, name="wea")), piece(part(0, name="ther", args="{}")), CALLS], ["get_weather {}"], "tool_use"),
    ("interleaved calls", [piece(part(0, "c", "f", '{"a"'), part(1, "d", "g", '{"b"')), piece(part(0, args=":1}")), piece(part(1, args=":2}")), CALLS], ['f {"a": 1}', 'g {"b": 2}'], "tool_use"),
    ("text after calls began", [piece(part(0, "c", "f", '{"a"')), TEXT, piece(part(0, args=":1}")), CALLS], ['f {"a": 1}', "text a"], "tool_use"),
    ("the form before tool calls", [chunk(function_call={"name": "f", "arguments": '{"a"'}), chunk(function_call={"arguments": ":1}"}), chunk("function_call")], ['f {"a": 1}'], "tool_use"),
    ("reasoning_content", [chunk(reasoning_content="t"), TEXT, STOP], ["thinking t", "text a"], "end_turn"),
    ("reasoning", [chunk(reasoning="t"), TEXT, STOP], ["thinking t", "text a"], "end_turn"),
    ("reasoning in two fields", [chunk(reasoning_content="t", reasoning="t"), chunk(reasoning="u", reasoning_content="u"), STOP], ["thinking tu"], "end_turn"),
    ("reasoning and text by turns", [chunk(reasoning="t"), TEXT, chunk(reasoning="u"), chunk(content="b"), STOP], ["thinking t", "text a", "thinking u", "text b"], "end_turn"),
    ("reasoning before a call", [chunk(reasoning="t"), piece(part(0, "c", "f", "{}")), CALLS], ["thinking t", "f {}"], "tool_use"),
    ("reasoning and text in one piece", [chunk(content="a", reasoning_content="t"), STOP], ["thinking t", "text a"], "end_turn"),
    ("content in parts", [chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]), chunk(content=[{"type": "text", "text": "a"}, {"type": "reference"}]), STOP], ["thinking t", "text a"], "end_turn"),
    ("a refusal", [chunk(refusal="no"), STOP], ["text no"], "refusal"),
    ("a filter", [TEXT, chunk("content_filter")], ["text a"], "refusal"),
    ("an empty reply", [chunk(role="assistant", content=""), STOP], [], "end_turn"),
    ("the window is full", [TEXT, chunk("model_context_window_exceeded")], ["text a"], "model_context_window_exceeded"),
    ("the output limit", [TEXT, chunk("length")], ["text a"], "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("chunks", "blocks", "reason"), [row[1:] for row in DEVIATIONS], ids=[row[0] for row in DEVIATIONS]
)
def test_a_deviation(chunks: list[dict[str, Any] | bytes], blocks: list[str], reason: str) -> None:
    told = client_gets(sse(*chunks))
    assert (said(told), told.stop_reason) == (blocks, reason)


def test_calls_that_come_without_ids_get_ones_of_their_own() -> None:
    told = client_gets(
        sse(
            piece(part(0, "", "f", "{}"), part(1, None, "g", "{}"), part(2, "c", "h", "{}"), part(3, "c", "i", "{}")),
            CALLS,
        )
    )
    idents = [block["id"] for block in told.blocks]
    assert len(set(idents)) == len(idents) == 4
    assert upstream_id(idents[2], "any") == "c"  # which the upstream sees again
    assert all(ident.replace("_", "").isalnum() for ident in idents)


def test_thinking_ends_with_a_signature_that_says_whose_it_is() -> None:
    told = client_gets(sse(chunk(reasoning="t"), TEXT, STOP))
    assert minted(told.blocks[0]["signature"]) == Minted("openai_chat", "some-model")


CACHED = {**COUNTS, "prompt_tokens_details": {"cached_tokens": 4}}
USAGES: list[tuple[str, list[dict[str, Any]], Usage]] = [
    ("after the finish reason", [TEXT, STOP, {**NO_CHOICES, "usage": COUNTS}], Usage(10, 5)),
    ("with the last choice", [TEXT, {**STOP, "usage": COUNTS}], Usage(10, 5)),
    ("in every chunk", [{**TEXT, "usage": {"prompt_tokens": 10, "completion_tokens": 1}}, {**STOP, "usage": COUNTS}], Usage(10, 5)),
    ("in x_groq", [TEXT, {**STOP, "x_groq": {"usage": COUNTS}}], Usage(10, 5)),
    ("null until the end", [{**TEXT, "usage": None}, STOP, {**NO_CHOICES, "usage": COUNTS}], Usage(10, 5)),
    ("nowhere", [TEXT, STOP], Usage()),
    ("cached tokens are taken out", [TEXT, {**STOP, "usage": CACHED}], Usage(6, 5, 4)),
    ("DeepSeek's cached tokens", [TEXT, {**STOP, "usage": {**COUNTS, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}}], Usage(6, 5, 4)),
    ("tokens written to a cache", [TEXT, {**STOP, "usage": {**COUNTS, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}}], Usage(3, 5, 4, 3)),
    ("reasoning is part of the output", [TEXT, {**STOP, "usage": {**COUNTS, "completion_tokens_details": {"reasoning_tokens": 3}}}], Usage(10, 5, None, None, 3)),
    ("reasoning beside the output", [TEXT, {**STOP, "usage": {**COUNTS, "total_tokens": 18, "completion_tokens_details": {"reasoning_tokens": 3}}}], Usage(10, 8, None, None, 3)),
    ("figures that are no numbers", [TEXT, {**STOP, "usage": {"prompt_tokens": "10", "completion_tokens": None, "prompt_tokens_details": []}}], Usage()),
    ("more cached than there was", [TEXT, {**STOP, "usage": {**COUNTS, "prompt_tokens_details": {"cached_tokens": 40}}}], Usage(0, 5, 40)),
]  # fmt: skip


@pytest.mark.parametrize(("chunks", "usage"), [row[1:] for row in USAGES], ids=[row[0] for row in USAGES])
def test_usage_wherever_it_stands(chunks: list[dict[str, Any]], usage: Usage) -> None:
    watch = Watch()
    told = read(replied(DIALECT, [sse(*chunks)], watch=watch))
    if usage.input is None:  # nobody said: an estimate takes its place
        assert watch.usage.input
        assert watch.usage.output
        usage = watch.usage
    assert watch.usage == usage
    assert told.usage == {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
    }


def test_a_reply_is_whole_once_it_said_why_it_ends() -> None:
    assert client_gets(sse(TEXT, STOP, end=b"")).stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [sse(TEXT, end=b""), sse(piece(part(0, "c", "f", '{"a"')), end=b"")])
def test_a_reply_that_just_ends_was_cut(stream: bytes) -> None:
    told = client_gets(stream)
    assert told.error == {"type": "api_error", "message": "The upstream closed the stream before the reply ended."}


@pytest.mark.parametrize("at", [0, 5, 60])
def test_why_a_reply_was_cut_is_told(at: int) -> None:
    watch = Watch()
    watch.cut = failed("timeout_error", "silent for too long")
    told = read(replied(DIALECT, [sse(TEXT, end=b"") + sse(TEXT, end=b"")[:at]], watch=watch))
    assert told.error == {"type": "timeout_error", "message": "silent for too long"}
    assert watch.failed == watch.cut


def test_why_a_whole_reply_was_cut_is_told() -> None:
    watch = Watch()
    watch.cut = failed("timeout_error", "silent for too long")
    assert replied(DIALECT, [b'{"choices":'], media_type=JSON, watch=watch) == b""
    assert watch.failed == watch.cut


ERRORS: list[tuple[str, Any, str, int]] = [
    ("an overload", {"error": {"code": 529, "message": "m"}}, "overloaded_error", 529),
    ("a rate limit", {"error": {"code": 429, "message": "m"}}, "rate_limit_error", 429),
    ("no code", {"error": {"message": "m"}}, "api_error", 502),
    ("a code in words", {"error": {"code": "server_error", "message": "m"}}, "api_error", 502),
    ("a string", {"error": "m"}, "api_error", 502),
    ("in a choice", {"choices": [{"delta": {}, "error": {"code": 429, "message": "m"}}]}, "rate_limit_error", 429),
    ("a finish reason", chunk("insufficient_system_resource"), "api_error", 502),
    ("in a list", {"error": ["m"]}, "api_error", 502),
]


@pytest.mark.parametrize(("error", "kind", "status"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
@pytest.mark.parametrize("before", [[], [TEXT]])
def test_an_error_inside_a_reply(error: dict[str, Any], kind: str, status: int, before: list[dict[str, Any]]) -> None:
    watch = Watch()
    told = read(replied(DIALECT, [sse(*before, error, STOP)], watch=watch))
    assert watch.failed
    assert (watch.failed.type, watch.failed.status) == (kind, status)
    assert (told.error or {}).get("type") == (kind if before else None)


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"null", b"[]", b'"x"', b"{", b'{"object":"list"}', b'{"choices":[]}']
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_no_reply_is_a_bad_gateway(answer: bytes, stream: bool) -> None:  # noqa: FBT001
    watch = Watch()
    assert replied(DIALECT, [answer], media_type="text/html", stream=stream, watch=watch) == b""
    assert watch.failed
    assert watch.failed.status == 502


WHOLE = {
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant", "content": "a", "reasoning_content": "t",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": COUNTS,
}  # fmt: skip


def test_a_whole_reply_is_streamed_to_a_client_that_waits_for_a_stream() -> None:
    told = client_gets(json.dumps(WHOLE).encode(), media_type=JSON)
    assert (said(told), told.stop_reason, told.usage["input_tokens"]) == (
        ["thinking t", "text a", 'f {"a": 1}'],
        "tool_use",
        10,
    )


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_waits_for_a_message_gets_one(streamed: bool) -> None:  # noqa: FBT001
    chunks = sse(chunk(reasoning="t"), TEXT, piece(part(0, "c", "f", '{"a":1}')), {**CALLS, "usage": COUNTS})
    body, media_type = (chunks, "text/event-stream") if streamed else (json.dumps(WHOLE).encode(), JSON)
    message = json.loads(replied(DIALECT, [body], media_type=media_type, stream=False))
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use"]
    assert message["content"][2]["input"] == {"a": 1}
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("tool_use", 5)
