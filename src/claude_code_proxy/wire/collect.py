"""Events into one whole message, for a client that did not ask for a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from claude_code_proxy.wire.encoder import MOST_CALLS
from claude_code_proxy.wire.events import (
    Block,
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
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.messages import citation_json, opening_message, settled, usage_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.watch import Watch


class Collector:
    """A machine from events to the JSON of one message, given when it is whole.

    Of a reply that fails or is cut off nothing is given: `watch.failed` says why, and the answer is an
    HTTP error.
    """

    __slots__ = ("_blocks", "_calls", "_head", "_open", "_pieces", "_watch")

    def __init__(self, message_id: str, model: str, watch: Watch) -> None:
        self._head = (message_id, model)
        self._watch = watch
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[list[str]] = []  # the text of each block, in pieces
        self._open = ""  # the type of the last block, while text goes on in it
        self._calls: dict[int, int] = {}  # key of a call → index of its block

    def feed(self, event: Event, /) -> Sequence[bytes]:
        if self._watch.over:
            return ()
        match event:
            case Text(text) | Thinking(text):
                self._say("text" if isinstance(event, Text) else "thinking", text)
            case ToolArgs(key, part) if key in self._calls:
                self._pieces[self._calls[key]].append(part)
            case ToolCall(key) if key not in self._calls and len(self._calls) >= MOST_CALLS:
                self._watch.failed = failed("api_error", "The upstream asked for too many tool calls.", status=502)
            case ToolCall(key, ident, name) if key not in self._calls:
                self._calls[key] = len(self._blocks)
                self._add({"type": "tool_use", "id": ident, "name": name, "input": {}})
            case Signature(value):
                self._sign(value)
            case Citation():
                if self._open == "text":
                    self._blocks[-1].setdefault("citations", []).append(citation_json(event))
            case Block(content):
                self._add(content)
            case Usage():
                self._watch.usage = self._watch.usage.updated(event)
            case Failed():
                self._watch.failed = self._watch.cut or event
            case Stop():
                return self._stop(event)
            case ToolArgs() | ToolCall():  # arguments of no call, or a call that began already
                pass
            case _:
                assert_never(event)
        return ()

    def close(self) -> Sequence[bytes]:
        if not self._watch.over:
            self._watch.failed = self._watch.truncation()
        return ()

    def _add(self, block: dict[str, Any]) -> None:
        self._blocks.append(block)
        self._pieces.append([])
        self._open = ""

    def _say(self, kind: str, text: str) -> None:
        if not text:
            return
        if self._open != kind:
            self._add({"type": kind, kind: ""} if kind == "text" else {"type": kind, kind: "", "signature": ""})
            self._open = kind
        self._pieces[-1].append(text)

    def _sign(self, signature: str) -> None:
        if self._open != "thinking":
            self._add({"type": "thinking", "thinking": "", "signature": ""})
        self._blocks[-1]["signature"] = signature
        self._open = ""  # a block has one signature, and it comes last

    def _stop(self, stop: Stop) -> Sequence[bytes]:
        for block, pieces in zip(self._blocks, self._pieces, strict=True):
            kind = block["type"]
            if kind == "tool_use" and pieces:
                block["input"] = parsed_input("".join(pieces))
            elif pieces:
                block[kind] = "".join(pieces)
        self._watch.started, self._watch.stop = True, stop
        return (
            msgspec.json.encode(
                {
                    **opening_message(*self._head, self._watch.usage),
                    "content": self._blocks,
                    "stop_reason": settled(stop, called=bool(self._calls)),
                    "stop_sequence": stop.sequence,
                    "usage": usage_json(self._watch.usage),
                },
            ),
        )


def parsed_input(arguments: str) -> Any:
    """The input of a tool call from its JSON text.

    Text that is no JSON is kept the way Claude Code itself writes such input into its history, so that
    the model can be told what it sent.
    """
    if not arguments:
        return {}
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return {"__unparsedToolInput": {"raw": arguments, "len": len(arguments)}}
