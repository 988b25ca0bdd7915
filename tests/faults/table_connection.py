"""Faults of the connection: refused, reset, cut, silent, slow."""

from __future__ import annotations

from .expected import Broken, Refused, Told
from .ops import CLOSE, END, HALF, KEEP, RESET, STALL, Drip, chunk, chunks, head
from .replies import BEFORE, Reply, calling
from .stage import Fault

LATE = ("timeout_error",)
LOST = Refused(words="127.0.0.1")


def _unframed(made: Reply, body: bytes) -> list[bytes]:
    """An answer that ends where the connection does."""
    return [head(200, {"content-type": made.media_type, "connection": "close"}), body]


FAULTS = [
    Fault("U-01", "refused", lambda r: [], Refused(words="connect", headers={"retry-after": None}), via="refused"),
    Fault("U-02", "an unknown name", lambda r: [], Refused(words="nowhere.invalid"), via="nowhere"),
    Fault("U-03", "an expired certificate", lambda r: r.whole, Refused(words="TLS"), via="expired"),
    Fault("U-03", "another's certificate", lambda r: r.whole, Refused(words="TLS"), via="wrong-host"),
    Fault("U-03", "a stranger's certificate", lambda r: r.whole, Refused(words="TLS"), via="self-signed"),
    Fault("U-03", "no TLS at all", lambda r: r.whole, Refused(words="TLS"), via="http"),
    Fault("U-03", "a handshake that stalls", lambda r: [], Refused((*LATE, "api_error")), via="mute"),
    Fault("U-03", "TLS as it should be", lambda r: r.whole, Told(), via="tls"),
    Fault("U-04", "reset before the status line", lambda r: [RESET], LOST),
    Fault("U-04", "closed before the status line", lambda r: [CLOSE], LOST),
    Fault("U-04", "reset in the status line", lambda r: [b"HTTP/1.1 20", RESET], LOST),
    Fault("U-04", "closed in the head", lambda r: [r.head[:-6], CLOSE], LOST),
    Fault("U-05", "reset after the head", lambda r: [r.head, RESET], Refused()),
    Fault("U-05", "closed after the head", lambda r: [r.head, CLOSE], Refused()),
    Fault("U-05", "nothing, without framing", lambda r: [*_unframed(r, b""), CLOSE], Refused()),
    Fault("U-05", "ended after the head", lambda r: [r.head, END, KEEP], Refused()),
    Fault("U-06", "reset in the text", lambda r: [r.head, chunk(r.in_text), RESET], Broken()),
    Fault("U-06", "closed in the text", lambda r: [r.head, chunk(r.in_text), CLOSE], Broken()),
    Fault("U-06", "ended in the text", lambda r: [r.head, chunk(r.in_text), END, KEEP], Broken()),
    Fault("U-06", "closed in the text, without framing", lambda r: [*_unframed(r, r.in_text), CLOSE], Broken()),
    Fault("U-06", "closed in a chunk", lambda r: [r.head, chunk(r.in_text)[:-30], CLOSE], Broken()),
    Fault("U-07", "reset in a call", lambda r: [r.head, chunk(r.in_arguments), RESET], Broken(), of=calling),
    Fault("U-07", "closed in a call", lambda r: [r.head, chunk(r.in_arguments), CLOSE], Broken(), of=calling),
    Fault("U-07", "ended in a call", lambda r: [r.head, chunk(r.in_arguments), END, KEEP], Broken(), of=calling),
    Fault("U-07", "a call, without framing", lambda r: [*_unframed(r, r.in_arguments), CLOSE], Broken(), of=calling),
    Fault("U-08", "silent from the start", lambda r: [STALL], Refused(LATE, (504,))),
    Fault("U-08", "silent after the head", lambda r: [r.head, STALL], Refused(LATE, (504,))),
    Fault("U-09", "silent in the text", lambda r: [r.head, chunk(r.in_text), STALL], Broken(LATE, pings=True)),
    Fault(
        "U-09",
        "silent in a call",
        lambda r: [r.head, chunk(r.in_arguments), STALL],
        Broken(LATE, pings=True),
        of=calling,
    ),
    Fault("U-10", "a byte at a time", lambda r: [r.head, Drip(b"".join(chunks(r.pieces)) + END), KEEP], Told()),
    Fault("U-10", "a byte in a chunk", lambda r: [r.head, *chunks(bytes([b]) for b in r.body), END, KEEP], Told()),
    Fault(
        "U-10",
        "a head a byte at a time",
        lambda r: [Drip(b"".join(op for op in r.whole if isinstance(op, bytes)), 3), KEEP],
        Told(),
    ),
    Fault(
        "U-10",
        "a call a byte at a time",
        lambda r: [r.head, Drip(b"".join(chunks(r.pieces)) + END), KEEP],
        Told(BEFORE, 1),
        of=calling,
    ),
    Fault("U-27", "half closed before the head", lambda r: [HALF], Refused()),
    Fault("U-27", "half closed in the text", lambda r: [*_unframed(r, r.in_text), HALF], Broken()),
    Fault("U-27", "half closed after all", lambda r: [*_unframed(r, r.body), HALF], Told()),
]
