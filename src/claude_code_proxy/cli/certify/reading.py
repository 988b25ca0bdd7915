"""A streamed message, read as a strict client does: what it says, when, and what is wrong with its grammar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.wire.framing import SSE

if TYPE_CHECKING:
    from collections.abc import Callable

_FITTING: Final = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
}
"""The deltas that a block of the type may have; blocks of other types are not judged."""

_ADDED: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}

_INPUT: Final = "input_json_delta"


class Reading:
    """Fed the bytes of a stream, it holds the message so far. Times are seconds since `begun`, of the same clock."""

    def __init__(self, begun: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._begun, self._clock, self._sse = begun, clock, SSE()
        self.message: dict[str, Any] = {}
        self.blocks: list[dict[str, Any]] = []
        self.usage: dict[str, Any] = {}
        self.stop_reason, self.stop_sequence = "", ""
        self.error: dict[str, Any] = {}
        self.faults: list[str] = []
        self.pieces = 0
        """Deltas of text."""
        self.first: float | None = None
        """When the first block began to say something."""
        self.last: float = 0.0
        """When the last one did."""
        self._open = self._ended = False
        self._input: list[str] = []

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        for data in self._sse.feed(chunk):
            self._event(data)

    def close(self) -> None:
        """The stream has ended."""
        for data in self._sse.close():
            self._event(data)
        if not self._ended and not self.error:
            self._wrong("the stream ended without message_stop")

    def _wrong(self, what: str) -> None:
        self.faults.append(what)

    def _event(self, data: bytes) -> None:
        try:
            event = orjson.loads(data)
            kind = event["type"]
            if self._ended:
                self._wrong(f"{kind} after message_stop")
            elif kind == "message_start":
                self._start(event["message"])
            elif kind == "error":
                self.error = event["error"]
            elif kind != "ping" and not self.message:
                self._wrong(f"{kind} before message_start")
            elif step := _STEPS.get(kind):
                step(self, event)
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError) as cause:
            self._wrong(f"an event that cannot be read ({type(cause).__name__}: {str(cause)[:60]})")

    def _start(self, message: dict[str, Any]) -> None:
        if self.message:
            self._wrong("a second message_start")
        self.message = message
        self.usage = dict(message["usage"])

    def _block_start(self, event: dict[str, Any]) -> None:
        if self._open:
            self._wrong("blocks overlap")
        if event["index"] != len(self.blocks):
            self._wrong("indexes of blocks are not contiguous")
        self.blocks.append(dict(event["content_block"]))
        self._open, self._input = True, []

    def _block_delta(self, event: dict[str, Any]) -> None:
        block, delta = self.blocks[-1], event["delta"]
        kind = delta["type"]
        if not self._open or event["index"] != len(self.blocks) - 1:
            self._wrong("a delta outside its block")
        if kind not in _FITTING.get(block["type"], {kind}):
            self._wrong(f"{kind} in a block of {block['type']}")
        self.last = self._clock() - self._begun
        self.first = self.last if self.first is None else self.first
        self.pieces += kind == "text_delta"
        if kind == _INPUT:
            self._input.append(delta["partial_json"])
        elif name := _ADDED.get(kind):
            block[name] = block.get(name, "") + delta[name]

    def _block_stop(self, event: dict[str, Any]) -> None:
        if not self._open or event["index"] != len(self.blocks) - 1:
            self._wrong("a block ends that is not open")
        self._open = False
        if self._input:
            try:
                self.blocks[-1]["input"] = orjson.loads("".join(self._input))
            except orjson.JSONDecodeError:
                self._wrong("the input of a tool is no JSON")

    def _message_delta(self, event: dict[str, Any]) -> None:
        if self._open:
            self._wrong("message_delta inside a block")
        self.stop_reason = event["delta"].get("stop_reason") or ""
        self.stop_sequence = event["delta"].get("stop_sequence") or ""
        self.usage |= event["usage"]

    def _message_stop(self, _: dict[str, Any]) -> None:
        if not self.stop_reason:
            self._wrong("message_stop without a stop_reason")
        self._ended = True


_STEPS: Final[dict[str, Callable[[Reading, dict[str, Any]], None]]] = {
    "content_block_start": Reading._block_start,  # noqa: SLF001
    "content_block_delta": Reading._block_delta,  # noqa: SLF001
    "content_block_stop": Reading._block_stop,  # noqa: SLF001
    "message_delta": Reading._message_delta,  # noqa: SLF001
    "message_stop": Reading._message_stop,  # noqa: SLF001
}
