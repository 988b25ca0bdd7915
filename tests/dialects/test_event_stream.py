"""Amazon's frames, compared with what AWS's own library makes of them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.dialects.event_stream import EventStream
from frames import CHUNK, frame
from machines import ways

DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Héllo\n\n"}}
OTHERS = [b"\x01a\x00", b"\x01b\x01", b"\x01c\x02x", b"\x01d\x03xx", b"\x01e\x04xxxx", b"\x01f\x05xxxxxxxx"]
OTHERS += [b"\x01g\x06\x00\x02xx", b"\x01h\x08xxxxxxxx", b"\x01i\x09xxxxxxxxxxxxxxxx"]


def said(event: dict[str, Any]) -> bytes:
    inside = {"bytes": b64encode(json.dumps(event).encode()).decode(), "p": "abcd"}
    return frame(CHUNK, json.dumps(inside).encode())


def read(pieces: Any) -> bytes:
    machine = EventStream()
    return b"".join([*(out for piece in pieces for out in machine.feed(piece)), *machine.close()])


def told(stream: bytes) -> list[dict[str, Any]]:
    """The events of the frames, however they are cut."""
    first, *others = (read(pieces) for pieces in ways(stream))
    assert others == [first] * len(others)
    events = []
    for block in first.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        events.append(json.loads(data.removeprefix(b"data: ")))
        assert name == f"event: {events[-1]['type']}".encode()
    return events


def test_events_in_frames() -> None:
    stop = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1}}
    assert told(said(DELTA) + said(stop)) == [DELTA, stop]


def test_frames_of_other_kinds_are_passed_over() -> None:
    other = frame({":message-type": "event", ":event-type": "initial-response"}, b"")
    assert told(other + said(DELTA) + frame({}, b"?")) == [DELTA]


FAULTS: list[tuple[dict[str, str], str, str, str]] = [
    ({":exception-type": "throttlingException"}, "Slow down.", "rate_limit_error", "Slow down."),
    ({":exception-type": "modelTimeoutException"}, "Late.", "timeout_error", "Late."),
    ({":exception-type": "serviceUnavailableException"}, "Away.", "overloaded_error", "Away."),
    ({":exception-type": "internalServerException"}, "Oh.", "api_error", "Oh."),
    ({":exception-type": "modelStreamErrorException"}, "Oh.", "api_error", "Oh."),
    ({":exception-type": "newerException"}, "", "api_error", "newerException"),
    (
        {":exception-type": "validationException"},
        "Input is too long for requested model.",
        "invalid_request_error",
        "prompt is too long",
    ),
]


@pytest.mark.parametrize(("headers", "message", "kind", "words"), FAULTS)
def test_exceptions(headers: dict[str, str], message: str, kind: str, words: str) -> None:
    thrown = frame({":message-type": "exception", **headers}, json.dumps({"message": message}).encode())
    _, error = told(said(DELTA) + thrown)
    assert error["error"]["type"] == kind
    assert words in error["error"]["message"]


def test_an_error_without_a_body() -> None:
    [error] = told(frame({":message-type": "error", ":error-code": "x", ":error-message": "Oh."}, b""))
    assert error["error"] == {"type": "api_error", "message": "Oh."}


@pytest.mark.parametrize("place", [0, 5, 9, 20, -20, -1])
def test_a_broken_frame_is_an_error_and_ends_it(place: int) -> None:
    broken = bytearray(said(DELTA))
    broken[place] ^= 0xFF
    *_, error = told(said(DELTA) + bytes(broken) + said(DELTA))
    assert error["type"] == "error"


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"bytes":5}', b'{"bytes":"="}', b'{"bytes":"e30"}'])
def test_a_chunk_that_holds_no_event(payload: bytes) -> None:
    assert [event["type"] for event in told(frame(CHUNK, payload))] == ["error"]


def test_a_frame_that_is_cut_says_nothing() -> None:
    assert read([said(DELTA)[:-1]]) == b""


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.text(max_size=20).map(":{}".format), st.text(max_size=30), max_size=4),
            st.binary(max_size=99),
        )
    )
)
def test_frames_are_what_the_library_takes_them_for(frames: list[tuple[dict[str, str], bytes]]) -> None:
    stream = b"".join(frame(headers, payload, b"".join(OTHERS)) for headers, payload in frames)
    theirs = EventStreamBuffer()
    theirs.add_data(stream)
    ours = EventStream()
    ours._data += stream
    expected = [
        ({name: value for name, value in one.headers.items() if isinstance(value, str)}, one.payload) for one in theirs
    ]
    assert list(ours._frames()) == expected


@given(st.binary(max_size=200))
def test_anything_at_all(noise: bytes) -> None:
    assert isinstance(read([said(DELTA), noise, said(DELTA)]), bytes)
