"""Streams in Anthropic's format that are not well-formed, read leniently and told again.

llama.cpp leaves every block open until the end, starts them without `input` or `signature`, reports errors
in another shape, and says `end_turn` when it met a stop sequence. Others leave out the `event:` lines, use an
index twice, or begin a block with what should be its first delta. Clients that trust the format lose blocks
then. Which providers are read this way is a quirk of theirs; well-formed streams pass byte for byte.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson
from msgspec import Struct

from claude_code_proxy.dialects.errors import classified, told_in
from claude_code_proxy.dialects.quirks import reader
from claude_code_proxy.wire.events import Block, Failed, Signature, Stop, Text, Thinking, ToolArgs, ToolCall, Usage
from claude_code_proxy.wire.failure import failed, from_error, status_in
from claude_code_proxy.wire.json_text import dumped, fields, loads, paired
from claude_code_proxy.wire.tap import usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from claude_code_proxy.wire.events import Event, StopReason

_SAID: Final[dict[str, tuple[str, type[Text | Thinking]]]] = {
    "text": ("text", Text),
    "text_delta": ("text", Text),
    "thinking": ("thinking", Thinking),
    "thinking_delta": ("thinking", Thinking),
}
"""Blocks and deltas of text: the field that holds it, and the event it becomes."""

_SILENT: Final = frozenset({"ping", "message_start", "message_delta", "message_stop"})
_NOT_JSON: Final = failed("api_error", "The upstream sent something that is not JSON.", status=502)


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """How a provider's Anthropic endpoint differs from Anthropic's.

    native: "untouched" streams pass byte for byte; "mended" ones are read and written anew.
    endpoint: where messages go: Anthropic's own path, or that of a cloud which takes the model from the path.
    genuine: it is Anthropic, or a cloud that offers its models. Nobody else is sent the client's `safeguards`, which
        name folders of the user's; and its errors say in the client's own words what is too long.
    plain: it leaves out documents and references to tools (see `plain`).
    session_header: the header that takes a stable, anonymous key of the session, which steers prompt caches.
    """

    native: Literal["untouched", "mended"] = "untouched"
    endpoint: Literal["messages", "vertex", "bedrock"] = "messages"
    genuine: bool = False
    plain: bool = False
    session_header: str = ""


quirks_of: Final = reader(Quirks)
"""Reads the quirks of a provider's row."""


class _Open:
    """A block that is being said. `key` is unique in the reply, which the upstream's index need not be."""

    __slots__ = ("content", "half", "key", "kind", "said")

    def __init__(self, key: int, content: dict[str, Any]) -> None:
        self.key, self.content = key, content
        self.kind = _kind(content)
        self.half = ""  # of a character
        self.said: list[str] = []  # pieces of its input

    def whole(self, text: object) -> str:
        """Text without half a character at its end, which is kept for the next piece."""
        if not isinstance(text, str) or not text:
            return ""
        text, self.half = self.half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        return paired(text)


class NativeDecoder:
    """A machine from the payloads of a stream that is meant to be Anthropic's to events.

    `seed` makes ids for calls that come without one, or with one that was used before. A stream that ends
    without `message_stop` was cut, whatever it said before. `passed_over` is told the kinds of events that say nothing.
    """

    __slots__ = ("_blocks", "_garbled", "_ids", "_last", "_passed_over", "_seed", "_started", "_stop")

    def __init__(self, seed: str, passed_over: Callable[[object], None] | None = None) -> None:
        self._seed, self._passed_over = seed, passed_over
        self._blocks: dict[object, _Open] = {}  # by the upstream's index
        self._started = 0  # blocks
        self._last: _Open | None = None  # the block that was begun or said last
        self._ids: set[str] = set()
        self._stop = Stop("end_turn")
        self._garbled = False

    def feed(self, data: bytes, /) -> Sequence[Event]:
        data = data.strip()
        if not data or data == b"[DONE]":
            return ()
        if self._garbled:  # what was lost was not the end
            return (_NOT_JSON,)
        try:
            event = _parsed(data)
        except ValueError:
            self._garbled = True  # perhaps it is the end of the stream that is cut off
            return ()
        return list(self._read(event)) if isinstance(event, dict) else (_NOT_JSON,)

    def close(self) -> Sequence[Event]:
        return ()

    def _read(self, event: dict[str, Any]) -> Iterator[Event]:
        match _kind(event):
            case "content_block_delta":
                yield from self._delta(self._blocks.get(_index(event)), fields(event.get("delta")))
            case "content_block_start":
                yield from self._start(_index(event), fields(event.get("content_block")))
            case "content_block_stop":
                yield from self._end(_index(event))
            case "message_start":
                yield usage_of(event.get("message"))
            case "message_delta":
                yield _counted(usage_of(event))
                self._stop = _stop(fields(event.get("delta")))
            case "message_stop":
                for index in list(self._blocks):
                    yield from self._end(index)
                yield self._stop
            case kind if kind == "error" or "error" in event or (kind not in _SILENT and "message" in event):
                yield _failure(event)
            case kind if self._passed_over:
                self._passed_over(kind)  # a ping, or an event newer than this

    def _start(self, index: object, content: dict[str, Any]) -> Iterator[Event]:
        yield from self._end(index)  # one that was never closed, or a server that counts nothing
        self._started += 1
        block = self._last = self._blocks[index] = _Open(self._started, content)
        kind = block.kind
        if said := _SAID.get(kind):
            field, event = said
            if text := block.whole(content.get(field)):
                yield event(text)
        elif kind == "tool_use":
            yield ToolCall(block.key, self._ident(content.get("id"), block.key), paired(str(content.get("name") or "")))
        elif "input" not in content and kind:
            del self._blocks[index]  # whole as it is: redacted thinking, a server tool's result
            yield Block(content)

    def _delta(self, block: _Open | None, delta: dict[str, Any]) -> Iterator[Event]:
        if block is None:
            if _kind(delta) not in _SAID:
                return  # a piece of a block of which nothing else is known
            self._started += 1
            block = self._blocks[None] = _Open(self._started, {})
        match _kind(delta):
            case "text_delta" | "thinking_delta" as kind:
                field, event = _SAID[kind]
                if text := block.whole(delta.get(field)):
                    self._last = block
                    yield event(text)
            case "input_json_delta":
                yield from self._argued(block, block.whole(delta.get("partial_json")))
            case "signature_delta":
                yield from self._signed(block, delta.get("signature"))

    def _argued(self, block: _Open, part: str) -> Iterator[Event]:
        if part:
            block.said.append(part)
            if block.kind == "tool_use":
                self._last = block
                yield ToolArgs(block.key, part)

    def _signed(self, block: _Open, signature: object) -> Iterator[Event]:
        """A signature ends its own thinking: once something else was said there is no place for it."""
        if isinstance(signature, str) and signature and block is self._last:
            yield Signature(paired(signature))

    def _end(self, index: object) -> Iterator[Event]:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        given = block.content.get("input")
        if block.kind == "thinking":
            yield from self._signed(block, block.content.get("signature"))
        elif block.kind == "tool_use" and not block.said:
            yield ToolArgs(block.key, dumped(given if isinstance(given, dict) else {}))
        elif "input" in block.content and block.kind not in {*_SAID, "tool_use"}:
            yield Block({**block.content, "input": _input("".join(block.said), given)})

    def _ident(self, given: object, key: int) -> str:
        ident = paired(given) if isinstance(given, str) else ""
        if not ident or ident in self._ids:
            ident = f"toolu_{self._seed}{key}"
        self._ids.add(ident)
        return ident


def _parsed(data: bytes) -> Any:
    """The payload; where it holds half a character outside the deltas, that becomes U+FFFD."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        event = loads(data)
        if fields(event).get("type") == "content_block_delta":
            return event  # the other half may come in the next
        return orjson.loads(paired(json.dumps(event, ensure_ascii=False)))


def _kind(holder: dict[str, Any]) -> str:
    kind = holder.get("type")
    return kind if isinstance(kind, str) else ""


def _index(event: dict[str, Any]) -> object:
    index = event.get("index")
    return index if isinstance(index, int) else None


def _counted(usage: Usage) -> Usage:
    """The usage of `message_delta`, in which 0 stands for what the server does not tell there."""
    told = (usage.input or None, usage.output or None, usage.cache_read or None, usage.cache_write or None)
    return Usage(*told, cost=usage.cost)


def _stop(delta: dict[str, Any]) -> Stop:
    reason, sequence = delta.get("stop_reason"), delta.get("stop_sequence")
    raw = reason if isinstance(reason, str) else ""
    met = sequence if isinstance(sequence, str) and sequence else None
    if met and raw in {"", "end_turn"}:
        return Stop("stop_sequence", raw, met)
    return Stop(cast("StopReason", raw or "end_turn"), raw, met)  # newer reasons pass as they are


def _input(text: str, given: object) -> object:
    try:
        return orjson.loads(text) if text else given
    except orjson.JSONDecodeError:
        return given


def _failure(event: dict[str, Any]) -> Failed:
    """An error inside a stream: Anthropic's, OpenAI's, or llama.cpp's, which is the inside of that."""
    if event.get("type") == "error":
        return from_error(event)
    code, message = told_in(event)
    status = status_in(fields(event.get("error")) or event)
    return classified(status or 502, code, message or "The upstream reported an error.")
