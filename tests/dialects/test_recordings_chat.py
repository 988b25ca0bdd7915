"""What providers really sent must come out whole.

The recordings are not part of the project: they lie beside its checkout, or these tests are skipped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from calls import JSON, body, call, replied
from claude_code_proxy.dialects import anthropic, openai_chat
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.wire.failure import STATUS
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import sized

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "recordings"
SIZES = (1, 7, 64, 1000, 1 << 30)

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not here")


def _found(ending: str, word: str, *, folders: str = "*") -> list[Any]:
    """The recordings of which the first document holds this word."""
    files = sorted(RECORDINGS.glob(f"{folders}/*{ending}"))
    return [pytest.param(file, id=str(file.relative_to(RECORDINGS))) for file in files if _first(file).get(word)]


def _first(file: Path) -> Any:
    text = file.read_text("utf-8")
    try:
        return json.loads(text if file.suffix == ".json" else _documents(file)[0])
    except ValueError:
        return {}


def _documents(file: Path) -> list[str]:
    """The JSON of each event."""
    lines = [line.removeprefix("data: ") for line in file.read_text("utf-8").splitlines()]
    return [line for line in lines if line and line != "[DONE]"]


@dataclass
class Said:
    """What a reply says, as OpenAI's own library reads it."""

    text: str = ""
    thinking: str = ""
    calls: dict[Any, list[str]] = field(default_factory=dict)
    usage: Any = None

    def take(self, delta: Any) -> None:
        parts: list[Any] = (
            delta.content if isinstance(delta.content, list) else [{"type": "text", "text": delta.content or ""}]
        )
        for part in parts:
            if part["type"] == "text":
                self.text += part["text"]
            elif part["type"] == "thinking":
                self.thinking += "".join(inner["text"] for inner in part["thinking"])
        self.thinking += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
        for number, tool in enumerate(delta.tool_calls or ()):
            index = getattr(tool, "index", None)
            call_said = self.calls.setdefault(number if index is None else index, ["", ""])
            call_said[0] = call_said[0] or tool.function.name or ""
            call_said[1] += tool.function.arguments or ""

    @property
    def inputs(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments or "{}")) for name, arguments in self.calls.values()]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Tokens of the prompt that were not cached, those that were, and those of the answer."""
        asked = getattr(self.usage, "prompt_tokens_details", None)
        cached = (asked and asked.cached_tokens) or getattr(self.usage, "cached_tokens", 0) or 0
        return self.usage.prompt_tokens - cached, cached, self.usage.total_tokens - self.usage.prompt_tokens


def _said_in_chunks(lines: list[str]) -> Said:
    said = Said()
    for line in lines:
        chunk: Any = ChatCompletionChunk.construct(**json.loads(line))
        groq = getattr(chunk, "x_groq", None) or {}
        usage = chunk.usage or (ChatCompletionChunk.construct(usage=groq["usage"]).usage if groq.get("usage") else None)
        said.usage = usage or said.usage
        for choice in chunk.choices or ():
            said.take(choice.delta)
    return said


def _said_in_message(document: str) -> Said:
    said = Said()
    completion: Any = ChatCompletion.construct(**json.loads(document))
    said.take(completion.choices[0].message)
    said.usage = completion.usage
    return said


def _same(out: bytes, said: Said) -> None:
    told = read(out)
    assert told.ended
    assert told.text == said.text
    assert told.thinking == said.thinking
    assert told.calls == said.inputs
    if said.usage is None:
        return
    usage = told.usage
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == said.counts


@pytest.mark.parametrize("file", [*_found(".chunks.txt", "choices"), *_found(".sse", "choices")])
@pytest.mark.parametrize("size", SIZES)
def test_a_recorded_stream_comes_out_whole(file: Path, size: int) -> None:
    lines = _documents(file)
    stream = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
    _same(replied(openai_chat.DIALECT, sized(stream, size)), _said_in_chunks(lines))


@pytest.mark.parametrize("file", _found(".json", "choices"))
def test_a_recorded_message_comes_out_whole(file: Path) -> None:
    raw = file.read_bytes()
    said = _said_in_message(raw.decode())
    _same(replied(openai_chat.DIALECT, sized(raw, 1000), media_type=JSON), said)
    message = json.loads(replied(openai_chat.DIALECT, [raw], media_type=JSON, stream=False))
    assert "".join(block["text"] for block in message["content"] if block["type"] == "text") == said.text
    assert [
        (block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"
    ] == said.inputs


@pytest.mark.parametrize("file", _found(".json", "error", folders="[!a]*"))
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


@pytest.mark.parametrize("file", _found(".chunks.txt", "type", folders="anthropic"))
def test_a_recorded_native_stream_passes_untouched(file: Path) -> None:
    lines = _documents(file)
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


@pytest.mark.parametrize("file", _found(".json", "content", folders="anthropic"))
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
