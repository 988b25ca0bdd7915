"""A reader of Anthropic's streams that asserts their grammar as it reads.

It shares no code with the package: what writes the streams must not judge them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_INPUT = {"tool_use", "server_tool_use", "mcp_tool_use"}
_DELTAS: dict[str, tuple[str, str]] = {  # type of a delta → its field, and the block's field that it adds to
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
}
_FITTING: dict[str, set[str]] = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    **{kind: {"input_json_delta"} for kind in _INPUT},
}
_EMPTY: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    **{kind: {"input": {}} for kind in _INPUT},
}


@dataclass
class Read:
    """What a stream said. `blocks` are as a client keeps them; `open` says whether the last one was not closed."""

    message: dict[str, Any] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    open: bool = False
    ended: bool = False
    pings: int = 0

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def thinking(self) -> str:
        return "".join(block["thinking"] for block in self.blocks if block["type"] == "thinking")

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [(block["name"], block["input"]) for block in self.blocks if block["type"] == "tool_use"]


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each with the same type after `event:` and in `data:`."""
    lines = re.split(rb"\r\n|\n|\r", data)
    assert lines[-1] == b"", "the stream ends inside a line"
    events: list[dict[str, Any]] = []
    name, parts = "", list[bytes]()
    for line in lines[:-1]:
        label, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if label == b"event":
            name = value.decode()
        elif label == b"data":
            parts.append(value)
        elif not line and parts:
            event = json.loads(b"\n".join(parts))
            assert event["type"] == name
            events.append(event)
            name, parts = "", []
        else:
            assert line[:1] in {b"", b":"}, f"no line of a stream: {line!r}"
    assert not parts, "the stream ends inside an event"
    return events


def read(data: bytes, *, unfinished: bool = False, any_input: bool = False) -> Read:
    """Read a stream. `unfinished`: a closed tool call may have an input that is no JSON object.

    `any_input`: it may have one even before an error, where the model itself wrote it so and went on.

    No bytes at all are a stream too: one in which nothing was said.
    """
    reader = _Reader()
    for event in events_of(data):
        reader.event(event)
    told = reader.told
    assert not data or told.ended or told.error, "the stream ends without message_stop and without error"
    if not any_input and (told.error or not unfinished):
        assert not reader.broken, f"calls were closed with the input {reader.broken}"
    return told


class _Reader:
    def __init__(self) -> None:
        self.told = Read()
        self.broken: list[str] = []  # inputs of closed calls that are no JSON object
        self._input: list[str] = []
        self._signed = False

    def event(self, event: dict[str, Any]) -> None:
        told, kind = self.told, event["type"]
        assert not told.ended, f"{kind} after message_stop"
        assert told.error is None, f"{kind} after error"
        if kind == "ping":
            told.pings += 1
        elif kind == "error":
            self._error(event)
        elif kind == "message_start":
            self._start(event["message"])
        else:
            assert told.message, f"{kind} before message_start"
            {
                "content_block_start": self._block_start,
                "content_block_delta": self._block_delta,
                "content_block_stop": self._block_stop,
                "message_delta": self._message_delta,
                "message_stop": self._message_stop,
            }[kind](event)

    def _start(self, message: dict[str, Any]) -> None:
        assert not self.told.message, "a second message_start"
        assert message["type"] == "message"
        assert message["role"] == "assistant"
        assert message["id"]
        assert isinstance(message["id"], str)
        assert isinstance(message["model"], str)
        assert message["content"] == []
        assert message["stop_reason"] is None
        assert message["stop_sequence"] is None
        _check_usage(message["usage"], "input_tokens", "output_tokens")
        self.told.message = message

    def _block_start(self, event: dict[str, Any]) -> None:
        assert self.told.stop_reason is None, "a block after message_delta"
        assert not self.told.open, "blocks overlap"
        assert event["index"] == len(self.told.blocks), "indexes are not contiguous"
        block = event["content_block"]
        for name, empty in _EMPTY.get(block["type"], {}).items():
            assert block[name] == empty, f"{block['type']} must start with {name} {empty!r}"
        if block["type"] == "tool_use":
            assert isinstance(block["name"], str)
            assert block["id"], "an empty tool id"
            assert block["id"] not in {other.get("id") for other in self.told.blocks}, "a tool id twice"
        self.told.blocks.append(dict(block))
        self.told.open, self._signed, self._input = True, False, []

    def _block_delta(self, event: dict[str, Any]) -> None:
        delta = event["delta"]
        self._check_open(event)
        block, kind = self.told.blocks[-1], delta["type"]
        assert kind in _FITTING.get(block["type"], set()), f"{kind} in {block['type']}"
        assert not self._signed, "a delta after the signature"
        if kind == "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
            return
        own, whole = _DELTAS[kind]
        assert set(delta) == {"type", own}
        assert isinstance(delta[own], str)
        if whole == "input":
            self._input.append(delta[own])
        else:
            block[whole] += delta[own]
        self._signed = kind == "signature_delta"

    def _block_stop(self, event: dict[str, Any]) -> None:
        self._check_open(event)
        self.told.open = False
        block = self.told.blocks[-1]
        if block["type"] not in _INPUT:
            return
        text = "".join(self._input)
        try:
            block["input"] = json.loads(text or "{}")
        except ValueError:
            block["input"] = text
        if not isinstance(block["input"], dict):
            self.broken.append(text)

    def _message_delta(self, event: dict[str, Any]) -> None:
        assert not self.told.open, "message_delta inside a block"
        assert self.told.stop_reason is None, "a second message_delta"
        assert isinstance(event["delta"]["stop_reason"], str)
        assert event["delta"]["stop_reason"]
        _check_usage(event["usage"], "output_tokens")
        self.told.stop_reason, self.told.stop_sequence = event["delta"]["stop_reason"], event["delta"]["stop_sequence"]
        self.told.usage = {**self.told.message["usage"], **event["usage"]}

    def _message_stop(self, event: dict[str, Any]) -> None:
        assert self.told.stop_reason, "message_stop without message_delta"
        assert event == {"type": "message_stop"}
        self.told.ended = True

    def _error(self, event: dict[str, Any]) -> None:
        assert set(event["error"]) == {"type", "message"}
        assert all(isinstance(value, str) and value for value in event["error"].values())
        self.told.error = event["error"]

    def _check_open(self, event: dict[str, Any]) -> None:
        assert self.told.open, f"{event['type']} outside a block"
        assert event["index"] == len(self.told.blocks) - 1


def _check_usage(usage: dict[str, Any], *required: str) -> None:
    assert set(required) <= set(usage)
    for value in usage.values():
        assert type(value) is int
        assert value >= 0
