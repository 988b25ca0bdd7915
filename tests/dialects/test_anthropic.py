from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import JSON, SSE, body, call, outgoing, replied
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.anthropic import DIALECT
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.providers import load_providers
from claude_code_proxy.wire.failure import ApiError, envelope
from claude_code_proxy.wire.watch import Watch
from grammar import read
from sayings import Saying, sayings

RAW = b'{ "model" : "claude-x", "max_tokens":1.5e3 ,"messages":[ {"role":"user","content":"h\\u00ef"} ],"x":{ } }'


def test_a_request_to_the_same_model_goes_on_byte_for_byte() -> None:
    assert outgoing(DIALECT, RAW, model="claude-x").body == RAW


def test_another_model_changes_its_own_field_only() -> None:
    expected = RAW.replace(b'"model" : "claude-x"', b'"model" : "other"')
    assert outgoing(DIALECT, RAW, model="other").body == expected


LIMITS = [(100, 0, 100), (100, 50, 50), (100, 200, 100), ("many", 50, "many"), (None, 50, None)]


@pytest.mark.parametrize(("asked", "cap", "limit"), LIMITS)
def test_the_output_limit_is_capped(asked: object, cap: int, limit: object) -> None:
    sent = json.loads(outgoing(DIALECT, body(max_tokens=asked), cap=cap).body)
    assert sent.get("max_tokens") == limit


def test_a_limit_of_many_digits_raises_nothing() -> None:
    raw = b'{"model":"claude-x","max_tokens":' + b"9" * 5000 + b"}"
    assert outgoing(DIALECT, raw, model="claude-x", cap=10).body


@pytest.mark.parametrize(
    ("query", "url"), [("", "http://up.test/v1/v1/messages"), ("beta=true", "http://up.test/v1/v1/messages?beta=true")]
)
def test_the_query_goes_along(query: str, url: str) -> None:
    assert outgoing(DIALECT, body(), query=query).url == url


def test_headers_that_the_upstream_acts_on_go_along_and_credentials_do_not() -> None:
    theirs = {
        "anthropic-version": "2099-01-01", "anthropic-beta": "a,b", "user-agent": "claude-cli", "x-app": "cli",
        "x-stainless-lang": "js", "authorization": "Bearer secret", "x-api-key": "secret", "cookie": "secret",
        "host": "proxy", "x-claude-code-session-id": "s",
    }  # fmt: skip
    sent = dict(outgoing(DIALECT, body(), headers=theirs).headers)
    assert "secret" not in " ".join(sent.values())
    assert {
        name: sent[name] for name in ("anthropic-version", "anthropic-beta", "user-agent", "x-app", "x-stainless-lang")
    } == {
        name: theirs[name]
        for name in ("anthropic-version", "anthropic-beta", "user-agent", "x-app", "x-stainless-lang")
    }
    assert not {"authorization", "x-api-key", "cookie", "host"} & set(sent)


def test_a_client_that_names_no_version_gets_one() -> None:
    assert dict(outgoing(DIALECT, body()).headers)["anthropic-version"] == "2023-06-01"


MESSAGE: dict[str, Any] = {
    "id": "msg_up", "type": "message", "role": "assistant", "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "t", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1]}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1},
}  # fmt: skip


def whole(**fields: Any) -> bytes:
    return json.dumps({**MESSAGE, **fields}).encode()


def test_a_whole_message_is_streamed_to_a_client_that_waits_for_a_stream() -> None:
    told = read(replied(DIALECT, [whole()], media_type=JSON))
    assert told.blocks == MESSAGE["content"]
    assert told.stop_reason == "tool_use"
    assert told.usage == MESSAGE["usage"]


def test_cited_text_is_not_lost_when_a_message_is_streamed() -> None:
    content = [{"type": "text", "text": "so they say", "citations": [{"type": "char_location"}]}]
    assert read(replied(DIALECT, [whole(content=content)], media_type=JSON)).text == "so they say"


@given(sayings())
def test_any_message_is_streamed_whole(saying: Saying) -> None:
    told = read(replied(DIALECT, [whole(content=saying.blocks)], media_type=JSON))
    assert _joined(told.blocks) == _joined(saying.blocks)


def _joined(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks of thinking that nothing keeps apart are one."""
    joined: list[dict[str, Any]] = []
    for block in blocks:
        if joined and block["type"] == joined[-1]["type"] == "thinking" and not joined[-1]["signature"]:
            joined[-1] = {**block, "thinking": joined[-1]["thinking"] + block["thinking"]}
        else:
            joined.append(block)
    return joined


def test_a_stream_and_a_message_pass_as_they_came() -> None:
    stream = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\nevent: x\ndata: {"type":"x"}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert replied(DIALECT, [stream], media_type=SSE) == stream
    assert replied(DIALECT, [whole()], media_type=JSON, stream=False) == whole()


ODD = [
    b"", b"[]", b"{}", b"nonsense", b'{"type":"error"}', b'{"error":{"type":[]}}', whole(content=None), whole(content="text"), whole(content=["text"]),
    whole(content=[None]), whole(content=[{"type": "text"}]), whole(content=[{}]), whole(content=[{"type": "tool_use"}]),
    whole(stop_reason={}), whole(stop_reason=["x"]), whole(usage=[]), whole(usage={"input_tokens": "9"}), whole(stop_sequence=5),
    whole(content=[{"type": "thinking", "thinking": "t", "signature": 5}]), whole(content=[{"type": "tool_use", "id": "a", "name": "f", "input": [1]}]),
]  # fmt: skip


@pytest.mark.parametrize("answer", ODD)
@pytest.mark.parametrize("stream", [True, False])
def test_an_odd_message_raises_nothing(answer: bytes, stream: bool) -> None:  # noqa: FBT001
    watch = Watch()
    replied(DIALECT, [answer], media_type=JSON, stream=stream, watch=watch)
    assert watch.over


@given(st.binary(max_size=100), st.booleans(), st.sampled_from([JSON, SSE, "text/html"]))
def test_any_bytes_raise_nothing(answer: bytes, stream: bool, media_type: str) -> None:  # noqa: FBT001
    watch = Watch()
    replied(DIALECT, [answer], media_type=media_type, stream=stream, watch=watch)
    assert watch.over


ENVELOPE = b'{ "type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 2 > 1"},"request_id":"req_up" }'


def test_an_error_in_anthropics_envelope_passes_byte_for_byte() -> None:
    answer = Answer(400, {"retry-after": "3", "x-should-retry": "false"})
    told = DIALECT.failure(call(body(), quirks={"genuine": True}), answer, ENVELOPE)
    assert (told.body, told.status, told.type) == (ENVELOPE, 400, "invalid_request_error")
    assert dict(told.headers) == {b"retry-after": b"3", b"x-should-retry": b"false"}


TOO_LONG = ENVELOPE.replace(b"prompt is too long: 2 > 1", b"the input length exceeds the context length")


def test_another_servers_words_for_too_long_become_the_clients() -> None:
    told = DIALECT.failure(call(body()), Answer(400), TOO_LONG)
    assert (told.body, told.status) == (None, 400)
    assert told.message == "prompt is too long: the input length exceeds the context length"
    own = DIALECT.failure(call(body(), quirks={"genuine": True}), Answer(400), TOO_LONG)
    assert own.body == TOO_LONG


SAFEGUARDS = [{"type": "dangerous_tool_use", "classifier_context": {"home_dir": "/home/ada"}}]


@pytest.mark.parametrize("quirks", [{}, {"native": "mended"}])
def test_what_auto_mode_asks_anthropic_goes_to_nobody_else(quirks: dict[str, Any]) -> None:
    sent = outgoing(DIALECT, body(safeguards=SAFEGUARDS), model="claude-x", quirks=quirks).body
    assert json.loads(sent) == body()
    raw = json.dumps(body(safeguards=SAFEGUARDS)).encode()
    assert outgoing(DIALECT, raw, model="claude-x", quirks={"genuine": True}).body == raw


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_a_conversation_that_anthropic_keeps_is_kept_nowhere_else(thread: dict[str, str]) -> None:
    raw = json.dumps(body(thread=thread)).encode()
    for dialect in DIALECTS.values():
        with pytest.raises(ApiError) as refused:
            dialect.request(call(raw))
        told = json.loads(envelope(refused.value.failed, "req"))["error"]
        assert told["details"]["error_code"] == "thread_unsupported_request"
        assert dialect.request(call({**body(), "thread": None}))
    assert outgoing(DIALECT, raw, model="claude-x", quirks={"genuine": True}).body == raw


def test_every_place_that_serves_claude_is_genuine() -> None:
    rows = load_providers({})
    genuine = {name for name, row in rows.items() if row.quirks.get("genuine")}
    assert genuine == {name for name, row in rows.items() if row.serves_claude} | {"bedrock-runtime"}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b'{"error":"x"}',
        b'{"error":{"message":"busy"}}',
        b'{"type":"error"}',
        b'{"type":"error","error":{"type":[]}}',
    ],
)
def test_any_other_error_gets_an_envelope(answer: bytes) -> None:
    told = DIALECT.failure(call(body()), Answer(529), answer)
    assert told.status == 529
    assert told.message
