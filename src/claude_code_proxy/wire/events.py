"""The waist: what a model can say, whatever wire format it was said in.

A decoder of any dialect gives these; the encoder and the collector take them. The union is closed:
adding a member is a change of the architecture, and type checkers then show every place it touches.

Order: deltas as they come; `Usage` any number of times, always as totals so far; then exactly one of
`Stop` (the upstream ended the reply in its own way) or `Failed`. Nothing counts after either. A stream
that closes without one of them was cut.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from claude_code_proxy.wire.failure import Failed

__all__ = [
    "Block",
    "Citation",
    "Event",
    "Failed",
    "Signature",
    "Stop",
    "StopReason",
    "Text",
    "Thinking",
    "ToolArgs",
    "ToolCall",
    "Usage",
]

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "refusal",
    "pause_turn",
    "model_context_window_exceeded",
]


class Text(Struct, frozen=True, gc=False):
    """A piece of the answer's text."""

    text: str


class Thinking(Struct, frozen=True, gc=False):
    """A piece of the model's reasoning, shown as a thinking block."""

    text: str


class Signature(Struct, frozen=True, gc=False):
    """The opaque state that ends a thinking block and comes back with it on the next turn."""

    value: str


class ToolCall(Struct, frozen=True, gc=False):
    """A tool call begins.

    `key` tells the calls of one reply apart and is never sent; `id` and `name` are Anthropic's.
    """

    key: int
    id: str
    name: str


class ToolArgs(Struct, frozen=True, gc=False):
    """A piece of the JSON text of the arguments of call `key`. Pieces of several calls may alternate."""

    key: int
    json: str


class Usage(Struct, frozen=True, gc=False):
    """Tokens so far: totals, not increments, in Anthropic's meaning.

    `input` leaves out what was read from or written to a cache: the whole prompt is
    `input + cache_read + cache_write`. `output` includes `thinking`. `cost` is what the upstream says that the answer
    cost, in USD. None: it did not say.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    thinking: int | None = None
    cost: float | None = None

    def updated(self, newer: Usage) -> Usage:
        """These totals with every figure that `newer` knows in place of the older one."""
        return Usage(
            self.input if newer.input is None else newer.input,
            self.output if newer.output is None else newer.output,
            self.cache_read if newer.cache_read is None else newer.cache_read,
            self.cache_write if newer.cache_write is None else newer.cache_write,
            self.thinking if newer.thinking is None else newer.thinking,
            self.cost if newer.cost is None else newer.cost,
        )


class Citation(Struct, frozen=True, gc=False):
    """A page that the text said last is taken from."""

    url: str
    title: str = ""
    quote: str = ""


class Stop(Struct, frozen=True, gc=False):
    """The reply is whole.

    `raw` is the upstream's own word for why, `sequence` the stop sequence that was met. `native`: the reason
    is Anthropic's own, and stands whatever was said.
    """

    reason: StopReason
    raw: str = ""
    sequence: str | None = None
    native: bool = False


class Block(Struct, frozen=True):
    """A content block that passes as it is: redacted thinking, a server tool's call or result, a citation list."""

    content: dict[str, Any]


Event: TypeAlias = Text | Thinking | Signature | ToolCall | ToolArgs | Usage | Stop | Failed | Block | Citation
