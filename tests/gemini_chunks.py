"""The chunks of Gemini, and what a client reads of them."""

from __future__ import annotations

import json
from typing import Any

from calls import replied
from claude_code_proxy.dialects.gemini import DIALECT
from grammar import Read, read
from machines import ways

COUNTS = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}


def chunk(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [{**candidate, **fields}]}


def text(said: str, signed: str = "") -> dict[str, Any]:
    return _signed({"text": said}, signed)


def thought(said: str, signed: str = "") -> dict[str, Any]:
    return _signed({"text": said, "thought": True}, signed)


def function(name: str = "", args: Any = None, /, *, signed: str = "", **fields: Any) -> dict[str, Any]:
    """A call, or a piece of one; what is empty is not there."""
    made = {"name": name, "args": args, **fields}
    return _signed({"functionCall": {key: value for key, value in made.items() if value not in ("", None)}}, signed)


def piece(path: str, value: Any = None, *, more: bool = True, goes_on: bool = False) -> dict[str, Any]:
    """A piece of the arguments of the call that runs."""
    kind = {str: "stringValue", bool: "boolValue", int: "numberValue", float: "numberValue"}.get(type(value))
    said = {kind: value} if kind else {"nullValue": "NULL_VALUE"}
    partial = {"jsonPath": path, **said, **({"willContinue": True} if goes_on else {})}
    return function(partialArgs=[partial], willContinue=True if more else None)


def _signed(part: dict[str, Any], signed: str) -> dict[str, Any]:
    return {**part, "thoughtSignature": signed} if signed else part


def sse(*chunks: dict[str, Any] | bytes) -> bytes:
    lines = (one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in chunks)
    return b"".join(lines)


def client_gets(stream: bytes, **how: Any) -> Read:
    """What the client reads, which is the same however the stream is cut."""
    first, *others = (replied(DIALECT, pieces, **how) for pieces in ways(stream))
    for other in others:
        assert other == first
    return read(first)


STOP = chunk(finish="STOP")
USAGE = {"usageMetadata": COUNTS}
