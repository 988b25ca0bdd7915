"""Events into Anthropic's stream. The only code that knows the grammar of its content blocks.

    message_start  (content_block_start content_block_delta* content_block_stop)*  message_delta  message_stop

- Blocks follow one another, never overlap, and are numbered from 0 without gaps.
- Nothing is sent before something was said: until then a failure can still be an HTTP error.
- While the arguments of a tool call are not a whole JSON document, whatever else is said waits behind it.
- A tool call that a failure leaves unfinished is not closed: a client runs what was closed.
- No end is made up: without a `Stop` the stream ends in `event: error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from claude_code_proxy.wire.events import (
    Citation,
    Failed,
    Signature,
    Stop,
    Text,
    Thinking,
    ToolArgs,
    ToolCall,
    Usage,
)
from claude_code_proxy.wire.failure import error_event, failed
from claude_code_proxy.wire.json_text import Brackets, items
from claude_code_proxy.wire.messages import citation_json, opening_message, settled, usage_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Block, Event
    from claude_code_proxy.wire.watch import Watch

_dumps = orjson.dumps

_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
_TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)
_BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
_BLOCK_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_START = b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n'
_END = b'event: message_delta\ndata: %b\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'

MOST_CALLS: Final = 256
LARGEST_INPUT: Final = 8 << 20
MOST_HELD: Final = 100_000
"""Tool calls in a reply, characters of one's arguments, events that wait for one to be whole: far beyond any sense."""

_TOO_MANY: Final = failed("api_error", "The upstream asked for more tool calls than make sense.", status=502)
_TOO_LONG: Final = failed("api_error", "The upstream's tool call is larger than makes sense.", status=502)

_EMPTY: dict[str, bytes] = {
    "text": b'{"type":"text","text":""}',
    "thinking": b'{"type":"thinking","thinking":"","signature":""}',
}


class Encoder:
    """A machine from events to the bytes of one streamed message.

    `message_id` is Anthropic's id for the reply, `model` the name the client asked for. What is learnt on
    the way (usage, stop, failure, whether anything was sent) is written to `watch`.
    """

    __slots__ = ("_args", "_argued", "_called", "_head", "_held", "_index", "_open", "_size", "_unread", "_watch")

    def __init__(self, message_id: str, model: str, watch: Watch) -> None:
        self._head = (message_id, model)
        self._watch = watch
        self._index = -1
        self._open: Literal["text", "thinking"] | int | None = None  # an int is the key of a tool call
        self._called: set[int] = set()  # keys of the calls that were opened
        self._args = Brackets()  # the arguments of the open call
        self._argued = False  # it has any
        self._size = 0  # of them
        self._unread: list[str] = []  # pieces of them that `_args` has not read yet
        self._held: list[Event] = []  # what waits until the open call is whole

    def feed(self, event: Event, /) -> Sequence[bytes]:
        if self._watch.over:
            return ()
        if isinstance(event, Text):  # nearly always, in the block that is open
            if self._open == "text":
                return (_TEXT % (self._index, _dumps(event.text)),)
            return self._say("text", event)
        if isinstance(event, ToolArgs):
            return self._tool_args(event)
        if isinstance(event, Usage):
            self._watch.usage = self._watch.usage.updated(event)
            return ()
        if isinstance(event, Stop):
            return self._stop(event)
        if isinstance(event, Failed):
            return self._fail(event)
        if self._must_wait():
            return self._hold(event)
        if isinstance(event, Thinking):
            return self._say("thinking", event)
        if isinstance(event, ToolCall):
            return self._tool_call(event)
        if isinstance(event, Signature):
            return self._signature(event)
        if isinstance(event, Citation):
            return self._citation(event)
        return self._whole_block(event)

    def close(self) -> Sequence[bytes]:
        return () if self._watch.over else self._fail(self._watch.truncation())

    # -- the two ends

    def _stop(self, stop: Stop) -> Sequence[bytes]:
        out = [*self._start(), *self._release_all(), *self._shut()]
        self._watch.stop = stop
        delta = {"stop_reason": settled(stop, called=bool(self._called)), "stop_sequence": stop.sequence}
        out.append(
            _END % _dumps({"type": "message_delta", "delta": delta, "usage": usage_json(self._watch.usage)}),
        )
        return out

    def _fail(self, failure: Failed) -> Sequence[bytes]:
        # A stream that was cut failed for that reason, whatever its rest looks like.
        failure = self._watch.failed = self._watch.cut or failure
        return (error_event(failure),) if self._watch.started else ()

    # -- blocks

    def _start(self) -> Sequence[bytes]:
        if self._watch.started:
            return ()
        self._watch.started = True
        return (_START % _dumps(opening_message(*self._head, self._watch.usage)),)

    def _begin(self, kind: Literal["text", "thinking"] | int | None, content: bytes) -> list[bytes]:
        out = [*self._start(), *self._shut()]
        self._open = kind
        self._index += 1
        out.append(_BLOCK % (self._index, content))
        return out

    def _shut(self) -> Sequence[bytes]:
        kind, self._open = self._open, None
        if kind is None:
            return ()
        stop = _BLOCK_STOP % self._index
        if isinstance(kind, int) and not self._argued:
            return (self._json("{}"), stop)  # a call without arguments: its input is still an object
        return (stop,)

    def _say(self, kind: Literal["text", "thinking"], event: Text | Thinking) -> Sequence[bytes]:
        if not event.text:
            return ()
        if self._must_wait():
            return self._hold(event)
        out = [] if self._open == kind else self._begin(kind, _EMPTY[kind])
        out.append(_DELTA % (self._index, _dumps({"type": f"{kind}_delta", kind: event.text})))
        return out

    def _signature(self, event: Signature) -> Sequence[bytes]:
        out = [] if self._open == "thinking" else self._begin("thinking", _EMPTY["thinking"])
        out.append(_DELTA % (self._index, _dumps({"type": "signature_delta", "signature": event.value})))
        out += self._shut()  # a block has one signature, and it comes last
        return out

    def _citation(self, event: Citation) -> Sequence[bytes]:
        if self._open != "text":
            return ()  # there is no text that it could belong to
        return (_DELTA % (self._index, _dumps({"type": "citations_delta", "citation": citation_json(event)})),)

    def _whole_block(self, event: Block) -> Sequence[bytes]:
        """A block that comes whole; clients read text, citations and input from deltas only."""
        content, deltas = dict(event.content), list[dict[str, Any]]()
        if content.get("type") == "text":
            deltas.append({"type": "text_delta", "text": content.get("text") or ""})
            deltas += [{"type": "citations_delta", "citation": one} for one in items(content.pop("citations", None))]
            content["text"] = ""
        elif content.get("input"):
            deltas.append({"type": "input_json_delta", "partial_json": _dumps(content["input"]).decode()})
            content["input"] = {}
        out = self._begin(None, _dumps(content))
        out += [_DELTA % (self._index, _dumps(delta)) for delta in deltas]
        out.append(_BLOCK_STOP % self._index)
        return out

    # -- tool calls

    def _tool_call(self, call: ToolCall) -> Sequence[bytes]:
        if call.key in self._called:
            return ()
        if len(self._called) >= MOST_CALLS:
            return self._fail(_TOO_MANY)
        self._called.add(call.key)
        block: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        out = self._begin(call.key, _dumps(block))
        self._args, self._argued, self._unread, self._size = Brackets(), False, [], 0
        return out

    def _tool_args(self, part: ToolArgs) -> Sequence[bytes]:
        if not part.json:
            return ()
        if part.key != self._open:
            # its call waits, and so do they
            return () if part.key in self._called else self._hold(part)
        self._argued = True
        self._size += len(part.json)
        if self._size > LARGEST_INPUT:
            return self._fail(_TOO_LONG)
        self._unread.append(part.json)
        out = [self._json(part.json)]
        if self._held and not self._must_wait():
            out += self._release()
        return out

    def _must_wait(self) -> bool:
        """Whether the open block is a call whose arguments are still coming."""
        if not isinstance(self._open, int):
            return False
        for piece in self._unread:
            self._args.feed(piece)
        if self._unread:
            self._unread = []
        return not self._args.whole

    def _hold(self, event: Event) -> Sequence[bytes]:
        self._held.append(event)
        return self._fail(_TOO_LONG) if len(self._held) > MOST_HELD else ()

    def _release(self) -> list[bytes]:
        """Say what was held back; what must wait for the next unfinished call is held back again."""
        held, self._held = self._held, []
        return [data for event in held for data in self.feed(event)]

    def _release_all(self) -> list[bytes]:
        """Say all that was held back, since the arguments that are not whole never will be."""
        out: list[bytes] = []
        while self._held:
            self._unread, self._args.whole = [], True
            first = self._held[0]
            if isinstance(first, ToolArgs) and first.key not in self._called:
                del self._held[0]  # arguments of a call that never began
            out += self._release()
        return out

    def _json(self, part: str) -> bytes:
        return _DELTA % (self._index, _dumps({"type": "input_json_delta", "partial_json": part}))
