"""The chunks of a chat upstream, and what a client reads of them."""

from __future__ import annotations

import json
from typing import Any

from calls import replied
from claude_code_proxy.dialects.openai_chat import DIALECT
from grammar import Read, read
from machines import ways

DONE = b"data: [DONE]\n\n"


def chunk(finish: str | None = None, /, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def part(
    index: int | None = None, ident: str | None = None, name: str | None = None, args: Any = None
) -> dict[str, Any]:
    """A piece of a tool call; what is None is not there."""
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    return {key: value for key, value in (("index", index), ("id", ident), ("function", function)) if value is not None}


def piece(*parts: dict[str, Any]) -> dict[str, Any]:
    return chunk(tool_calls=list(parts))


def sse(*chunks: dict[str, Any] | bytes, end: bytes = DONE) -> bytes:
    lines = (one if isinstance(one, bytes) else b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    return b"".join(lines) + end


def client_gets(stream: bytes, **how: Any) -> Read:
    """What the client reads, which is the same however the stream is cut."""
    first, *others = (replied(DIALECT, pieces, **how) for pieces in ways(stream))
    for other in others:
        assert other == first
    return read(first)


TEXT = chunk(content="a")
STOP = chunk("stop")
CALLS = chunk("tool_calls")
NO_CHOICES: dict[str, Any] = {"choices": []}
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
