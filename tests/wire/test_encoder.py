from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.encoder import Encoder
from claude_code_proxy.wire.events import Block, Failed, Signature, Stop, Text, Thinking, ToolArgs, ToolCall, Usage
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.watch import Watch
from grammar import events_of, read
from machines import fed
from sayings import Saying, sayings, usages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event

FAILURE = failed("overloaded_error", "busy")
WHOLE = [Stop("end_turn"), Stop("tool_use"), Stop("max_tokens"), Stop("stop_sequence", "stop", "END")]


def encoded(events: Sequence[Event], watch: Watch | None = None) -> bytes:
    return b"".join(fed(Encoder("msg_1", "claude-x", watch or Watch()), events))


@given(sayings(), st.sampled_from(WHOLE))
@pytest.mark.fault("F-03", "S-13")
def test_whatever_is_said_in_whatever_order_is_read_whole(saying: Saying, stop: Stop) -> None:
    watch = Watch()
    told = read(encoded([*saying.events, stop], watch))
    assert told.blocks == saying.blocks
    assert told.ended
    assert watch.stop == stop
    assert watch.started
    assert watch.failed is None


@given(sayings(whole=False))
def test_calls_that_the_output_limit_cut_are_closed_and_nothing_else_is_lost(saying: Saying) -> None:
    told = read(encoded([*saying.events, Stop("max_tokens")]), unfinished=True)
    assert told.blocks == saying.blocks
    assert told.stop_reason == "max_tokens"


@given(sayings(whole=False), st.data(), st.booleans())
def test_a_failure_ends_the_stream_in_one_error_event(saying: Saying, data: st.DataObject, told_so: bool) -> None:  # noqa: FBT001
    said = saying.events[: data.draw(st.integers(0, len(saying.events)))]
    watch = Watch()
    out = encoded([*said, FAILURE] if told_so else said, watch)
    told = read(out)
    assert watch.failed
    assert not told.ended
    assert watch.started is bool(out)
    if out:
        assert told.error == {"type": watch.failed.type, "message": watch.failed.message}
    kinds = [block["type"] for block in told.blocks]
    assert kinds == [block["type"] for block in saying.blocks][: len(kinds)]
    assert watch.failed == (FAILURE if told_so else watch.truncation())


@given(sayings(whole=False), sayings(), st.sampled_from([Stop("max_tokens"), FAILURE]))
@pytest.mark.fault("U-29")
def test_what_comes_after_the_end_is_ignored(saying: Saying, more: Saying, end: Stop | Failed) -> None:
    watch = Watch()
    encoder = Encoder("msg_1", "claude-x", watch)
    for event in [*saying.events, end]:
        encoder.feed(event)
    known = watch.usage, watch.stop, watch.failed
    assert fed(encoder, [*more.events, Stop("end_turn"), FAILURE]) == []
    assert (watch.usage, watch.stop, watch.failed) == known


@given(st.lists(usages | st.just(Text("")) | st.just(Thinking("")) | st.just(ToolArgs(7, "{}")), max_size=5))
def test_nothing_is_sent_before_something_is_said(events: list[Event]) -> None:
    watch = Watch()
    encoder = Encoder("msg_1", "claude-x", watch)
    assert [data for event in events for data in encoder.feed(event)] == []
    assert not watch.started
    assert [*encoder.feed(FAILURE), *encoder.close()] == []
    assert watch.failed == FAILURE


@given(st.lists(usages, min_size=1, max_size=4), st.integers(0, 4))
def test_the_last_known_figure_of_each_kind_of_usage_is_sent(told: list[Usage], at: int) -> None:
    events: list[Event] = [*told[:at], Text("x"), *told[at:], Stop("end_turn")]
    watch = Watch()
    usage = read(encoded(events, watch)).usage
    for name, key in (
        ("input", "input_tokens"),
        ("output", "output_tokens"),
        ("cache_read", "cache_read_input_tokens"),
    ):
        known = [value for one in told if (value := getattr(one, name)) is not None]
        assert usage[key] == (known[-1] if known else 0)
        assert getattr(watch.usage, name) == (known[-1] if known else None)


CALL = ToolCall(0, "toolu_1", "f")
SETTLED: list[tuple[list[Event], Stop, str]] = [
    ([Text("x")], Stop("end_turn"), "end_turn"),
    ([Text("x")], Stop("tool_use"), "end_turn"),
    ([CALL], Stop("end_turn"), "tool_use"),
    ([CALL], Stop("pause_turn"), "tool_use"),
    ([CALL], Stop("max_tokens"), "max_tokens"),
    ([CALL], Stop("refusal"), "refusal"),
    ([], Stop("end_turn"), "end_turn"),
    ([], Stop("stop_sequence", "stop", "END"), "stop_sequence"),
]


@pytest.mark.parametrize(("events", "stop", "reason"), SETTLED)
def test_the_stop_reason_agrees_with_what_was_said(events: list[Event], stop: Stop, reason: str) -> None:
    told = read(encoded([*events, stop]))
    assert (told.stop_reason, told.stop_sequence) == (reason, stop.sequence)


BYTES: list[tuple[str, list[Event], list[dict[str, Any]]]] = [
    (
        "text",
        [Text("a"), Text("b")],
        [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
            {"type": "content_block_stop", "index": 0},
        ],
    ),
    (
        "signed thinking",
        [Thinking("t"), Signature("s")],
        [
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "t"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
            {"type": "content_block_stop", "index": 0},
        ],
    ),
    (
        "a call without arguments",
        [CALL],
        [
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "content_block_stop", "index": 0},
        ],
    ),
    (
        "a whole block",
        [Block({"type": "redacted_thinking", "data": "x"})],
        [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "x"}},
            {"type": "content_block_stop", "index": 0},
        ],
    ),
]


@pytest.mark.parametrize(("events", "expected"), [row[1:] for row in BYTES], ids=[row[0] for row in BYTES])
def test_the_events_of_one_block(events: list[Event], expected: list[dict[str, Any]]) -> None:
    first, *between, delta, stop = events_of(encoded([*events, Stop("end_turn")]))
    assert first["type"] == "message_start"
    assert first["message"]["id"] == "msg_1"
    assert first["message"]["model"] == "claude-x"
    assert between == expected
    assert (delta["type"], stop["type"]) == ("message_delta", "message_stop")


def test_the_arguments_of_the_open_call_are_sent_as_they_come() -> None:
    encoder = Encoder("msg_1", "m", Watch())
    encoder.feed(CALL)
    assert all(encoder.feed(ToolArgs(0, piece)) for piece in ['{"a', '":[', "1]"])
    assert encoder.feed(ToolCall(1, "toolu_2", "g")) == ()
    assert len(encoder.feed(ToolArgs(0, "}"))) > 1  # and with it what waited


@pytest.mark.fault("U-07")
def test_a_failure_does_not_close_the_call_it_interrupts() -> None:
    told = read(encoded([CALL, ToolArgs(0, '{"a'), FAILURE]))
    assert told.open
    assert told.error


def test_a_text_block_that_passes_as_it_is_has_its_text_in_deltas() -> None:
    cited = {"type": "text", "text": "so they say", "citations": [{"type": "char_location"}]}
    assert read(encoded([Block(cited), Stop("end_turn")])).text == "so they say"


@pytest.mark.fault("U-20")
def test_many_interleaved_calls_stay_apart() -> None:
    keys = range(40)
    events: list[Event] = [ToolCall(key, f"toolu_{key}", "f") for key in keys]
    for piece in ('{"n"', ":", "%d", "}"):
        events += [ToolArgs(key, piece % key if "%" in piece else piece) for key in keys]
    told = read(encoded([*events, Stop("tool_use")]))
    assert told.calls == [("f", {"n": key}) for key in keys]


@pytest.mark.fault("U-15", "S-13")
def test_the_characters_that_text_splitters_take_for_line_ends_pass() -> None:
    text = "a\u2028b\u2029c\u0085d\re\nf\x0b\x1c"
    told = read(encoded([Text(text), CALL, ToolArgs(0, json.dumps({"a": text})), Stop("end_turn")]))
    assert told.text == text
    assert told.calls == [("f", {"a": text})]
