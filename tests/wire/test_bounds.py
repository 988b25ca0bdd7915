"""What no upstream has reason to send ends in an error, and is not kept in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from claude_code_proxy.wire import framing
from claude_code_proxy.wire.collect import Collector
from claude_code_proxy.wire.encoder import LARGEST_INPUT, MOST_CALLS, MOST_HELD, Encoder
from claude_code_proxy.wire.events import Text, ToolArgs, ToolCall
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.framing import LARGEST_BODY, LARGEST_EVENT, SSE, Lines, Whole
from claude_code_proxy.wire.tap import Tap
from claude_code_proxy.wire.watch import Watch
from grammar import events_of
from machines import fed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.machine import Machine

MIB = 1 << 20
LINE = b"x" * MIB
TOO_LONG = [b"data: ", *[LINE] * 17]


def endless(piece: bytes, first: bytes = b"") -> list[bytes]:
    return [first, *[piece] * (17 * MIB // len(piece))]


FLOODS: list[tuple[Callable[[], Machine[bytes, bytes]], Iterable[bytes]]] = [
    (SSE, TOO_LONG),
    (SSE, endless(b"data: " + b"y" * 4096 + b"\n")),  # one event of many lines
    (SSE, endless(b": comment\n" * 5000, b"data: begun\n")),
    (Lines, TOO_LONG),
    (Whole, [LINE] * (LARGEST_BODY // MIB + 1)),
    (lambda: Tap(Watch()), TOO_LONG),
    (lambda: Tap(Watch()), endless(b'event: ping\ndata: {"type":"ping"}\n\n' * 1000)),
]


@pytest.mark.parametrize(("made", "pieces"), FLOODS)
def test_a_flood_ends_in_an_error_and_is_forgotten(
    made: Callable[[], Machine[bytes, bytes]], pieces: Iterable[bytes]
) -> None:
    machine = made()
    with pytest.raises(ApiError, match="MiB in one piece"):
        fed(machine, pieces)
    assert sum(map(len, machine.close())) < MIB


@pytest.mark.parametrize("size", [4096, 65536, MIB])
@pytest.mark.parametrize("made", [SSE, Lines])
def test_a_large_event_passes(made: Callable[[], Machine[bytes, bytes]], size: int) -> None:
    payload = b"z" * (LARGEST_EVENT - 2 * MIB)
    prefix = b"data: " if made is SSE else b""
    body = b"".join([prefix, payload, b"\n\n", prefix, payload, b"\n", b"\n"])
    assert fed(made(), [body[at : at + size] for at in range(0, len(body), size)]) == [payload, payload]


def test_many_events_are_no_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LARGEST_EVENT", 100)
    machine = SSE()
    for n in range(1000):
        assert [*machine.feed(b"data: %d" % n), *machine.feed(b"\n\n")] == [b"%d" % n]
        machine.feed(b": " + b"c" * 50 + b"\n")


def encoded(events: Iterable[Event]) -> tuple[list[dict[str, Any]], Watch]:
    watch = Watch()
    out = fed(Encoder("msg_1", "m", watch), events)
    return list(events_of(b"".join(out))), watch


def calls(number: int) -> list[Event]:
    return [event for n in range(number) for event in (ToolCall(n, f"id{n}", "t"), ToolArgs(n, "{}"))]


ABSURD: dict[str, list[Event]] = {
    "calls": calls(MOST_CALLS + 1),
    "arguments": [ToolCall(0, "a", "t"), *[ToolArgs(0, '{"a":"' + "b" * MIB)] * (LARGEST_INPUT // MIB + 1)],
    "waiting": [ToolCall(0, "a", "t"), ToolArgs(0, "{"), *[Text("x")] * (MOST_HELD + 1)],
}


@pytest.mark.parametrize("case", ABSURD)
def test_what_makes_no_sense_ends_a_stream_in_an_error(case: str) -> None:
    events, watch = encoded(ABSURD[case])
    assert [event["type"] for event in events][-1] == "error"
    assert watch.failed is not None
    assert watch.stop is None
    if case != "calls":
        assert "content_block_stop" not in json.dumps(events)  # a call that is not whole is not closed


def test_as_many_calls_as_make_sense_pass() -> None:
    events, _ = encoded(calls(MOST_CALLS))
    assert sum(event["type"] == "content_block_start" for event in events) == MOST_CALLS


def test_a_whole_message_has_no_more_calls_either() -> None:
    watch = Watch()
    assert fed(Collector("msg_1", "m", watch), calls(MOST_CALLS + 1)) == []
    assert watch.failed is not None
    assert watch.failed.status == 502
