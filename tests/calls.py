"""Requests and replies of a dialect, as the gateway makes them, in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects.base import Answer, Call, Outgoing
from claude_code_proxy.wire.head import decode_head
from claude_code_proxy.wire.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claude_code_proxy.dialects.base import Dialect

SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"

HI: dict[str, Any] = {"role": "user", "content": "hi"}


def body(**fields: Any) -> dict[str, Any]:
    """A request with these fields; a field that is None is left out."""
    request = {"model": "claude-x", "max_tokens": 100, "messages": [HI], **fields}
    return {name: value for name, value in request.items() if value is not None}


def call(
    request: Mapping[str, Any] | bytes,
    *,
    model: str = "some-model",
    quirks: Mapping[str, Any] | None = None,
    cap: int = 0,
    headers: Mapping[str, str] | None = None,
    query: str = "",
    shown: str = "",
) -> Call:
    """The request as a dialect sees it."""
    raw = request if isinstance(request, bytes) else json.dumps(request, ensure_ascii=False).encode()
    return Call(
        head=decode_head(raw),
        model=model,
        seed="seed",
        base_url="http://up.test/v1",
        quirks=quirks or {},
        max_output_tokens=cap,
        headers=headers or {},
        query=query,
        shown=shown,
    )


def sent(dialect: Dialect, request: Mapping[str, Any] | bytes, **how: Any) -> dict[str, Any]:
    """The body that leaves for the upstream."""
    made: dict[str, Any] = json.loads(outgoing(dialect, request, **how).body)
    return made


def outgoing(dialect: Dialect, request: Mapping[str, Any] | bytes, **how: Any) -> Outgoing:
    """The request as it leaves."""
    made = dialect.request(call(request, **how))
    assert isinstance(made, Outgoing)
    return made


def replied(
    dialect: Dialect,
    pieces: Iterable[bytes],
    *,
    stream: bool = True,
    media_type: str = SSE,
    watch: Watch | None = None,
    **how: Any,
) -> bytes:
    """The bytes that the client gets for these of the upstream."""
    asked = call(body(stream=stream), **how)
    machine = dialect.reply(asked, Outgoing("", b""), Answer(200, {"content-type": media_type}), watch or Watch())
    return b"".join([*(out for piece in pieces for out in machine.feed(piece)), *machine.close()])
