"""Faults of HTTP's own framing, and answers that lead elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .expected import Broken, Either, Refused, Told
from .ops import CLOSE, END, JSON, KEEP, SSE, STALL, chunk, chunks, head, sized
from .stage import Fault

if TYPE_CHECKING:
    from .replies import Reply

WHOLE_OR_REFUSED = Either((Told(), Refused()))
NEVER_WRONG = Either((Told(), Refused(), Broken()))
SMUGGLED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def _length(made: Reply, length: int | str, *more: tuple[str, str]) -> bytes:
    """The whole answer behind a head that tells this length."""
    return head(200, {"content-type": made.media_type, "content-length": str(length), **dict(more)}) + made.body


FAULTS = [
    Fault("U-23", "no last chunk", lambda r: [r.head, *chunks(r.pieces), CLOSE], WHOLE_OR_REFUSED),
    Fault(
        "U-23",
        "no last chunk, and silence",
        lambda r: [r.head, *chunks(r.pieces), STALL],
        Either((Told(), Refused(("timeout_error",)))),
    ),
    Fault(
        "U-23",
        "more after the last chunk",
        lambda r: [r.head, *chunks(r.pieces), END, SMUGGLED, KEEP],
        WHOLE_OR_REFUSED,
    ),
    Fault("U-23", "more after the length", lambda r: [sized(r.body, r.media_type), SMUGGLED, KEEP], WHOLE_OR_REFUSED),
    Fault(
        "U-23",
        "fields in a trailer",
        lambda r: [r.head, *chunks(r.pieces), b"0\r\nx-sum: 1\r\nset-cookie: a=b\r\n\r\n", KEEP],
        Told(),
    ),
    Fault(
        "U-23",
        "an extension of a chunk",
        lambda r: [r.head, b"%x;a=b\r\n%b\r\n" % (len(r.body), r.body), END, KEEP],
        WHOLE_OR_REFUSED,
    ),
    Fault(
        "U-23",
        "a huge extension of a chunk",
        lambda r: [r.head, b"%x;a=%b\r\n%b\r\n" % (len(r.body), b"y" * 500_000, r.body), END, KEEP],
        WHOLE_OR_REFUSED,
    ),
    Fault("U-23", "a length too large", lambda r: [_length(r, len(r.body) + 50), CLOSE], WHOLE_OR_REFUSED),
    Fault("U-23", "a length too small", lambda r: [_length(r, len(r.in_text)), KEEP], NEVER_WRONG),
    Fault("U-23", "no number for a length", lambda r: [_length(r, "many"), CLOSE], Refused()),
    Fault("U-23", "two lengths", lambda r: [_length(r, 5, ("Content-Length", str(len(r.body)))), CLOSE], Refused()),
    Fault(
        "U-23",
        "a length and chunks",
        lambda r: [
            head(200, {"content-type": r.media_type, "content-length": "5", "transfer-encoding": "chunked"}),
            *chunks(r.pieces),
            END,
            CLOSE,
        ],
        WHOLE_OR_REFUSED,
    ),
    Fault(
        "U-23",
        "an unknown transfer encoding",
        lambda r: [head(200, {"content-type": r.media_type, "transfer-encoding": "xchunked"}), r.body, CLOSE],
        WHOLE_OR_REFUSED,
    ),
    Fault(
        "U-23",
        "a second answer in the same breath",
        lambda r: [*r.whole[:-1], SMUGGLED, chunk(b"x"), KEEP],
        WHOLE_OR_REFUSED,
    ),
]

PLACES = {
    "another port": "http://127.0.0.1:{canary}/v1/x",
    "another name": "https://elsewhere.invalid/v1",
    "the cloud's data": "http://169.254.169.254/latest/meta-data/",
    "itself": "/v1/elsewhere",
    "nowhere": "",
    "no address": "http://[::bad",
}


def _led(status: int, place: str) -> Fault:
    """A redirect. The upstream's `canary` port is known when it is played."""
    location = PLACES[place]
    return Fault(
        "U-24",
        f"{status} to {place}",
        lambda r: [sized(b'{"a": 1}', JSON, status, location=location), KEEP],
        Refused(("api_error",), (502,), words="redirect"),
    )


REDIRECTS = [
    *(_led(status, "another port") for status in (301, 302, 303, 307, 308)),
    *(_led(307, place) for place in PLACES if place != "another port"),
    Fault("U-24", "not modified", lambda r: [head(304), KEEP], Refused()),
    Fault(
        "U-24",
        "a switch of protocols",
        lambda r: [head(101, {"upgrade": "h2c", "connection": "upgrade"}), CLOSE],
        Refused(),
    ),
    Fault(
        "U-24",
        "a redirect as events",
        lambda r: [sized(r.body, SSE, 302, location="http://127.0.0.1:{canary}/"), KEEP],
        Refused(),
    ),
]
FAULTS += REDIRECTS
