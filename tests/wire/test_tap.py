from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.encoder import Encoder
from claude_code_proxy.wire.events import Stop, Usage
from claude_code_proxy.wire.failure import error_event, failed
from claude_code_proxy.wire.tap import Tap, WholeTap
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import cut, cuts, fed, fed_every_way, sized
from sayings import Saying, sayings


def sse(*events: dict[str, Any], end: str = "\n") -> bytes:
    return "".join(
        f"event: {event['type']}{end}data: {json.dumps(event, ensure_ascii=False)}{end}{end}" for event in events
    ).encode()


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


USAGE = {"input_tokens": 9, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 5, "output_tokens": 1}
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": USAGE,
    },
}  # fmt: skip
PING = {"type": "ping"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
TRICKY = 'event: message_stop\ndata: {"type":"message_stop"}\n\n\u2028"message_stop"'
TEXT: list[dict[str, Any]] = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    PING,
    delta(0, type="text_delta", text="say "),
    delta(0, type="text_delta", text=TRICKY),
    {"type": "content_block_stop", "index": 0},
]
CALL: list[dict[str, Any]] = [
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    },
    delta(1, type="input_json_delta", partial_json='{"a":'),
    delta(1, type="input_json_delta", partial_json='"message_stop"}'),
    {"type": "content_block_stop", "index": 1},
]
END: list[dict[str, Any]] = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 30},
    },
    {"type": "message_stop"},
]
WHOLE: list[dict[str, Any]] = [START, PING, *TEXT, *CALL, *END]


def tapped(stream: bytes) -> tuple[bytes, Watch]:
    watch = Watch()
    return b"".join(fed(Tap(watch), [stream])), watch


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_whole_stream_passes_untouched_however_it_is_cut(end: str) -> None:
    stream = sse(*WHOLE, end=end)
    assert fed_every_way(lambda: Tap(Watch()), stream) == stream


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 10_000])
def test_events_pass_as_soon_as_they_are_whole(end: str, size: int) -> None:
    tap = Tap(Watch())
    said, rest = sse(*WHOLE[:5], end=end), sse(*WHOLE[5:], end=end)[:20]
    out = b"".join(data for piece in sized(said + rest, size) for data in tap.feed(piece))
    assert out == said


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_usage_and_stop_are_watched(end: str) -> None:
    _, watch = tapped(sse(*WHOLE, end=end))
    assert watch.usage == Usage(9, 30, 7, 5)
    assert watch.stop == Stop("tool_use", "tool_use", native=True)
    assert watch.failed is None
    assert watch.started


@given(sayings(), cuts(4000))
def test_what_the_encoder_writes_passes_untouched(saying: Saying, at: list[int]) -> None:
    encoding, watch = Watch(), Watch()
    stream = b"".join(fed(Encoder("msg_1", "m", encoding), [*saying.events, Stop("end_turn")]))
    assert b"".join(fed(Tap(watch), cut(stream, at))) == stream
    assert watch.stop
    assert encoding.stop
    assert watch.usage.output == (encoding.usage.output or 0)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_that_is_cut_anywhere_never_ends_well(end: str) -> None:
    stream, early = sse(*WHOLE, end=end), sse(START, PING, end=end)
    last = len(stream) - len(sse(END[1], end=end))
    for at in range(last):
        out, watch = tapped(stream[:at])
        told = read(out)
        assert not told.ended
        assert watch.failed
        assert watch.stop is None
        if at < len(early):
            assert out == b""
        if out:
            assert told.error == {"type": "api_error", "message": watch.failed.message}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_that_is_cut_in_its_last_event_ends_in_whole_events(end: str) -> None:
    stream = sse(*WHOLE, end=end)
    for at in range(len(stream) - len(sse(END[1], end=end)), len(stream) + 1):
        out, watch = tapped(stream[:at])
        told = read(out)
        assert told.ended is (watch.stop is not None)
        assert bool(told.error) is (watch.failed is not None)


def test_why_the_stream_was_cut_is_told() -> None:
    watch = Watch()
    tap = Tap(watch)
    tap.feed(sse(*WHOLE[:6]) + b"event: cont")
    watch.cut = failed("timeout_error", "silent for too long")
    assert read(sse(*WHOLE[:6]) + b"".join(tap.close())).error == {
        "type": "timeout_error",
        "message": "silent for too long",
    }


@pytest.mark.parametrize("before", [[], [START], [START, PING]])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_error_before_anything_was_said_is_no_stream(before: list[dict[str, Any]], size: int) -> None:
    watch = Watch()
    assert fed(Tap(watch), sized(sse(*before, ERROR), size)) == []
    assert watch.failed == failed("overloaded_error", "busy")
    assert not watch.started


def test_an_error_later_passes_as_it_came_and_is_the_only_one() -> None:
    stream = sse(*WHOLE[:5], ERROR)
    out, watch = tapped(stream)
    assert out == stream
    assert watch.failed == failed("overloaded_error", "busy")


@pytest.mark.parametrize("kind", [["x"], {}, 5, None])
def test_an_error_of_an_odd_type_is_an_error(kind: object) -> None:
    _, watch = tapped(sse({"type": "error", "error": {"type": kind, "message": "m"}}))
    assert watch.failed == failed("api_error", "m")


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 50))
def test_damage_raises_nothing(junk: bytes, at: int, gone: int) -> None:
    stream = sse(*WHOLE)
    at %= len(stream)
    _, watch = tapped(stream[:at] + junk + stream[at + gone :])
    assert watch.over
    _, watch = tapped(junk)
    assert watch.failed


def test_newer_events_and_reasons_pass() -> None:
    end = {"type": "message_delta", "delta": {"stop_reason": "unheard_of", "stop_sequence": "X"}, "usage": None}
    stream = sse(START, {"type": "unheard_of", "x": 1}, *TEXT, end, END[1])
    out, watch = tapped(stream)
    assert out == stream
    assert watch.stop
    assert (watch.stop.reason, watch.stop.sequence) == ("unheard_of", "X")
    assert watch.usage.output == 1


MESSAGE = {**START["message"], "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
BODIES: list[tuple[str, bytes, str | None]] = [
    ("a message", json.dumps(MESSAGE, indent=1).encode(), None),
    ("one with a newer reason", json.dumps({**MESSAGE, "stop_reason": "unheard_of"}).encode(), None),
    ("one without usage", json.dumps({**MESSAGE, "usage": None}).encode(), None),
    ("an error", json.dumps(ERROR).encode(), "overloaded_error"),
    ("an error of an odd type", b'{"type":"error","error":{"type":[],"message":"m"}}', "api_error"),
    ("HTML", b"<html></html>", "api_error"),
    ("nothing", b"", "api_error"),
    ("half a message", json.dumps(MESSAGE).encode()[:50], "api_error"),
    ("a list", b"[]", "api_error"),
    ("nothing but nulls", json.dumps(dict.fromkeys(MESSAGE)).encode(), "api_error"),
    ("a message without a word", json.dumps({**MESSAGE, "content": None}).encode(), None),
]


@pytest.mark.parametrize(("body", "error"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_a_whole_reply_passes_untouched_or_is_a_failure(body: bytes, error: str | None) -> None:
    watch = Watch()
    out = fed(WholeTap(watch), [body])
    assert out == ([] if error else [body])
    assert (watch.failed.type if watch.failed else None) == error
    assert watch.over
    assert fed_every_way(lambda: WholeTap(Watch()), body) == b"".join(out)


def test_usage_and_stop_of_a_whole_reply_are_watched() -> None:
    watch = Watch()
    fed(WholeTap(watch), [json.dumps(MESSAGE).encode()])
    assert watch.usage == Usage(9, 1, 7, 5)
    assert watch.stop == Stop("end_turn", "end_turn", native=True)


def test_a_whole_reply_that_is_cut_is_a_failure_that_says_why() -> None:
    watch = Watch()
    tap = WholeTap(watch)
    tap.feed(json.dumps(MESSAGE).encode())
    watch.cut = failed("timeout_error", "silent for too long")
    assert list(tap.close()) == []
    assert watch.failed == watch.cut


@pytest.mark.fault("U-15")
def test_a_byte_order_mark_which_clients_do_not_expect_is_left_out() -> None:
    stream = sse(*WHOLE)
    assert fed_every_way(lambda: Tap(Watch()), b"\xef\xbb\xbf" + stream) == stream


@pytest.mark.fault("U-29")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("last", [*END[-1:], ERROR], ids=["the end", "an error"])
def test_nothing_passes_after_what_ends_the_stream(end: str, last: dict[str, Any]) -> None:
    stream = sse(START, *TEXT, last, end=end)
    assert fed_every_way(lambda: Tap(Watch()), stream + sse(*WHOLE, *WHOLE, end=end)) == stream


@pytest.mark.fault("U-13")
@pytest.mark.parametrize("payload", [b"null", b"[]", b"7", b'"a"', b'{"id":null,"type":null}'])
def test_what_is_no_event_begins_no_stream(payload: bytes) -> None:
    out, watch = tapped(b"data: " + payload + b"\n\n")
    assert out == b""
    assert not watch.started
    assert watch.failed


UNTYPED = {"error": {"message": "prompt is too long: 3 tokens > 2 maximum", "type": "None", "code": "400"}}
"""How LiteLLM tells of an error in a stream: no client reads it."""


@pytest.mark.parametrize("name", ["", "event: error\n"], ids=["without a name", "with a name"])
@pytest.mark.parametrize("end", ["\n\n", "\n", ""], ids=["whole", "without the blank line", "cut"])
def test_an_error_that_leaves_out_its_type_is_one(name: str, end: str) -> None:
    data = f"{name}data: {json.dumps(UNTYPED)}{end}".encode()
    for said in (b"", sse(START)):
        out, watch = tapped(said + data)
        assert out == b""
        assert watch.failed
        assert (watch.failed.type, watch.failed.status) == ("invalid_request_error", 400)
    out, watch = tapped(sse(START, *TEXT) + data)
    assert watch.failed
    assert out == sse(START, *TEXT) + error_event(watch.failed)
    assert read(out).error == {"type": "invalid_request_error", "message": UNTYPED["error"]["message"]}


@pytest.mark.parametrize("error", [ERROR, {"error": ERROR["error"]}], ids=["typed", "untyped"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_error_that_is_no_event_is_one(error: dict[str, Any], indent: int | None) -> None:
    data = json.dumps(error, indent=indent).encode()
    out, watch = tapped(sse(START) + data)
    assert (out, watch.failed and watch.failed.status) == (b"", 529)
    out, watch = tapped(sse(START, *TEXT) + data)
    assert out.startswith(sse(START, *TEXT))
    assert read(out).error == ERROR["error"]
