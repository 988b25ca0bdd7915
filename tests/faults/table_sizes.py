"""Faults of size: lines without end, streams without end, answers that grow as they are unpacked."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

from .expected import Broken, Either, Refused, Told
from .ops import CLOSE, END, JSON, KEEP, SSE, Flood, chunk, chunked_head, chunks, head, sized
from .replies import Reply, reply
from .stage import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ops import Op

MIB = 1 << 20
CAP = 16 * MIB
"""The longest event that passes."""

STREAMED, WHOLE = (True,), (False,)
ENDED = ("api_error", "timeout_error", "overloaded_error")
CUT = Either((Refused(ENDED), Broken(ENDED)))
NOT_THE_NEWS = Either((Refused(), Broken(), Told()))


def _long(dialect: str, *, stream: bool) -> Reply:
    """A text of 10 MB, which a real answer can hold: an image, an argument."""
    return reply(dialect, stream=stream, text="x" * 10_000_000)


def _in_one(made: Reply) -> list[bytes]:
    """The answer whose text comes in one event."""
    text, whole = made.text, Reply(made.dialect, made.stream, "OMEGA")
    return [piece.replace(b"OMEGA", text.encode()) for piece in whole.pieces]


def _empty_delta(made: Reply) -> bytes:
    """An event that says nothing."""
    say: dict[str, dict[str, Any]] = {
        "openai_chat": {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]},
        "openai_responses": {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": ""},
        "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0}]},
    }
    native: dict[str, Any] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ""}}
    event = say.get(made.dialect, native)
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


def _ping(made: Reply) -> bytes:
    """What a dialect's server says to keep a line warm."""
    return b'event: ping\ndata: {"type": "ping"}\n\n' if made.dialect in {"anthropic", "ollama"} else b": ping\n\n"


def _zeros(size: int) -> bytes:
    """Many zeros in little gzip."""
    packer = zlib.compressobj(9, wbits=31)
    packed = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*packed, packer.flush()])


BOMB = _zeros(128 * MIB)


def zstd_zeros(size: int) -> bytes:
    """Many zeros in little zstd: blocks that repeat one byte (RFC 8878, 3.1.1)."""
    block = 128 << 10
    last = size // block - 1
    blocks = [((block << 3) | (1 << 1) | (n == last)).to_bytes(3, "little") + b"\0" for n in range(last + 1)]
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(blocks)


def _packed(made: Reply, encoding: str, body: bytes) -> list[Op]:
    return [sized(body, made.media_type, content_encoding=encoding)]


def _bomb(name: str, script: Callable[[Reply], list[Op]]) -> list[Fault]:
    """One that grows as it is unpacked. A whole answer is held until it is there: up to its bound, and what reads it."""
    return [
        Fault("U-19", name, script, Refused(), modes=STREAMED, grows=64 * MIB),
        Fault("U-19", f"{name}, for a whole answer", script, Refused(), modes=WHOLE, grows=4 * 64 * MIB),
    ]


FAULTS = [
    Fault(
        "U-16",
        "a line of 100 MB",
        lambda r: [r.head, chunk(r.in_text), *[chunk(b"data: " + b"x" * MIB)], Flood(chunk(b"x" * MIB), 100), CLOSE],
        CUT,
        modes=STREAMED,
        grows=3 * CAP,
    ),
    Fault(
        "U-16",
        "a whole answer of 100 MB",
        lambda r: [r.head, Flood(chunk(b" " * MIB), 100), *chunks(r.pieces), END, CLOSE],
        CUT,
        modes=WHOLE,
        grows=3 * 64 * MIB,
    ),
    Fault("U-17", "an event of 10 MB", lambda r: r.of(*_in_one(r)), Told(None), of=_long, grows=160 * MIB),
    Fault(
        "U-17",
        "an event of 17 MB",
        lambda r: [
            r.head,
            chunk(r.in_text),
            chunk(b'data: {"x": "' + b"x" * (17 * MIB) + b'"}\n\n'),
            *chunks(r.pieces),
            END,
            CLOSE,
        ],
        CUT,
        modes=STREAMED,
        grows=6 * CAP,
    ),
    Fault(
        "U-18",
        "an endless stream",
        lambda r: [r.head, chunk(r.in_text), Flood(chunk((b": " + b"x" * 1021 + b"\n") * 64))],
        CUT,
        modes=STREAMED,
        grows=32 * MIB,
    ),
    Fault(
        "U-18",
        "20,000 deltas that are empty",
        lambda r: [
            r.head,
            chunk(r.in_text),
            Flood(chunk(_empty_delta(r) * 100), 200),
            chunk(r.body[len(r.in_text) :]),
            END,
            KEEP,
        ],
        Either((Told(), Broken(ENDED))),
        modes=STREAMED,
        grows=32 * MIB,
    ),
    Fault(
        "U-18",
        "nothing but pings",
        lambda r: [r.head, Flood(chunk(_ping(r)), pause=0.02)],
        CUT,
        modes=STREAMED,
    ),
    Fault(
        "U-18",
        "pings after the text",
        lambda r: [r.head, chunk(r.in_text), Flood(chunk(_ping(r)), pause=0.02)],
        CUT,
        modes=STREAMED,
    ),
    *_bomb("a bomb of gzip", lambda r: _packed(r, "gzip", BOMB)),
    *_bomb("a bomb of deflate", lambda r: _packed(r, "deflate", zlib.compress(bytes(64 * MIB), 9))),
    *_bomb("a bomb in a bomb", lambda r: _packed(r, "gzip, gzip", gzip.compress(BOMB))),
    *_bomb("a bomb of zstd", lambda r: _packed(r, "zstd", zstd_zeros(256 * MIB))),
    Fault("U-19", "noise for br", lambda r: _packed(r, "br", b"\x5b\xff" * 500), Refused()),
    Fault("U-19", "gzip that is cut", lambda r: _packed(r, "gzip", gzip.compress(r.body)[:-20]), NOT_THE_NEWS),
    Fault("U-19", "gzip that is none", lambda r: _packed(r, "gzip", r.body), Refused()),
    Fault(
        "U-19", "gzip as it should be", lambda r: _packed(r, "gzip", gzip.compress(r.body)), Either((Told(), Refused()))
    ),
    Fault("U-19", "an unknown encoding", lambda r: _packed(r, "rot13", bytes(b ^ 1 for b in r.body)), Refused()),
    Fault(
        "U-19",
        "an error that is a bomb",
        lambda r: [
            head(500, {"content-type": JSON, "content-encoding": "gzip", "content-length": str(len(BOMB))}) + BOMB
        ],
        Refused(),
        grows=64 * MIB,
    ),
    *_bomb(
        "a bomb in pieces",
        lambda r: [
            chunked_head(SSE if r.stream else JSON, content_encoding="gzip"),
            *chunks(BOMB[at : at + 4096] for at in range(0, len(BOMB), 4096)),
            END,
        ],
    ),
]
