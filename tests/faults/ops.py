"""What a broken upstream does on its connection, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Act(Enum):
    """What it does beside writing.

    RESET drops the connection at once, CLOSE ends it in order, STALL says nothing until the peer has left,
    HALF says that there will be no more and waits until the peer has left, KEEP waits for the next request.
    """

    RESET = "reset"
    CLOSE = "close"
    STALL = "stall"
    HALF = "half"
    KEEP = "keep"


@dataclass(frozen=True)
class Drip:
    """Bytes in pieces of this size, each in a segment of its own, `pause` seconds apart."""

    data: bytes
    size: int = 1
    pause: float = 0.0


@dataclass(frozen=True)
class Flood:
    """The same bytes again and again, `pause` seconds apart, until the peer leaves."""

    data: bytes
    times: int = 1 << 40
    pause: float = 0.0


@dataclass(frozen=True)
class Wait:
    """Nothing for so many seconds."""

    seconds: float


Op: TypeAlias = bytes | Act | Drip | Flood | Wait
Script: TypeAlias = "Sequence[Op]"

RESET, CLOSE, STALL, HALF, KEEP = Act.RESET, Act.CLOSE, Act.STALL, Act.HALF, Act.KEEP
END = b"0\r\n\r\n"
SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """The head of an answer, with these headers and no others."""
    lines = [f"HTTP/1.1 {status} Said so", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked_head(media_type: str, status: int = 200, **more: str) -> bytes:
    """The head of an answer that comes in chunks."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return head(status, {"content-type": media_type, "transfer-encoding": "chunked", **named})


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks(pieces: Iterable[bytes]) -> list[bytes]:
    """Each piece in a chunk."""
    return [chunk(piece) for piece in pieces]


def sized(body: bytes, media_type: str = JSON, status: int = 200, **more: str) -> bytes:
    """A whole answer that says its length."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return head(status, {"content-type": media_type, "content-length": str(len(body)), **named}) + body
