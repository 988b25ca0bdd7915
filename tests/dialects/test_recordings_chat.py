"""What providers really sent must come out whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from calls import JSON, body, call, replied
from claude_code_proxy.dialects import anthropic, openai_chat
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.wire.failure import STATUS
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import sized
from recordings import (
    NEEDED,
    SIZES,
    STREAMS,
    WHOLE,
    assert_same,
    documents,
    found,
    framed,
    said_in_chunks,
    said_in_message,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = NEEDED


@pytest.mark.parametrize("file", STREAMS)
@pytest.mark.parametrize("size", SIZES)
def test_a_recorded_stream_comes_out_whole(file: Path, size: int) -> None:
    assert_same(replied(openai_chat.DIALECT, sized(framed(file), size)), said_in_chunks(documents(file)))


@pytest.mark.parametrize("file", WHOLE)
def test_a_recorded_message_comes_out_whole(file: Path) -> None:
    raw = file.read_bytes()
    said = said_in_message(raw.decode())
    assert_same(replied(openai_chat.DIALECT, sized(raw, 1000), media_type=JSON), said)
    message = json.loads(replied(openai_chat.DIALECT, [raw], media_type=JSON, stream=False))
    assert "".join(block["text"] for block in message["content"] if block["type"] == "text") == said.text
    assert [
        (block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"
    ] == said.inputs


@pytest.mark.parametrize("file", found(".json", "error", folders="[!a]*"))
def test_a_recorded_error_is_told(file: Path) -> None:
    raw = file.read_bytes()
    failure = openai_chat.DIALECT.failure(call(body()), Answer(400), raw)
    assert failure.type in STATUS
    assert json.loads(raw)["error"]["message"] in failure.message


# -- Anthropic's own


def _counts(*usages: dict[str, Any] | None) -> dict[str, Any]:
    """The last figure of each kind."""
    known: dict[str, Any] = {}
    for usage in usages:
        known |= {name: value for name, value in (usage or {}).items() if value is not None}
    return known


def _watched(watch: Watch, usage: dict[str, Any]) -> None:
    told = watch.usage
    figures = (told.input, told.output, told.cache_read, told.cache_write)
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert figures == tuple(usage.get(name) for name in names)


@pytest.mark.parametrize("file", found(".chunks.txt", "type", folders="anthropic"))
def test_a_recorded_native_stream_passes_untouched(file: Path) -> None:
    lines = documents(file)
    events = [json.loads(line) for line in lines]
    events = events[
        : next(n for n, event in enumerate(events, 1) if event["type"] == "message_stop")
    ]  # of several replies
    framed = zip(events, lines, strict=False)
    stream = "".join(f"event: {event['type']}\ndata: {line}\n\n" for event, line in framed).encode()
    deltas = [event for event in events if event["type"] == "message_delta"]
    starts = [event["message"]["usage"] for event in events if event["type"] == "message_start"]
    for size in SIZES:
        watch = Watch()
        assert replied(anthropic.DIALECT, sized(stream, size), watch=watch) == stream
        assert watch.stop
        assert watch.stop.reason == deltas[-1]["delta"]["stop_reason"]
        _watched(watch, _counts(*starts, *(delta.get("usage") for delta in deltas)))


@pytest.mark.parametrize("file", found(".json", "content", folders="anthropic"))
def test_a_recorded_native_message_passes_untouched_and_is_streamed_whole(file: Path) -> None:
    raw = file.read_bytes()
    message = json.loads(raw)
    watch = Watch()
    assert replied(anthropic.DIALECT, [raw], media_type=JSON, stream=False, watch=watch) == raw
    assert watch.stop
    assert watch.stop.reason == message["stop_reason"]
    _watched(watch, _counts(message["usage"]))
    told = read(replied(anthropic.DIALECT, [raw], media_type=JSON))
    assert told.stop_reason == message["stop_reason"]
    for block, original in zip(told.blocks, message["content"], strict=True):
        for name in ("type", "text", "thinking", "signature", "id", "name", "input", "content", "data"):
            assert block.get(name) == original.get(name)
