"""Faults of what is answered: no HTTP, no JSON, another format, a page for people, an error in a success."""

from __future__ import annotations

import json
import random

from .expected import Broken, Either, Refused, Told
from .ops import CLOSE, END, JSON, KEEP, RESET, SSE, STALL, Flood, chunk, chunked_head, chunks, head, sized
from .replies import Reply, reply
from .stage import Fault

PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><script>x()</script>Welcome to our Wi-Fi.</body></html>"
HTML = "text/html; charset=utf-8"
TRANSLATED = ("openai_chat", "openai_responses", "gemini")
NOISE = random.Random(7).randbytes(4096)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BROKEN = Either((Broken(("api_error", "timeout_error")), Refused()))
IN_TURN = Either((Told(), Refused()))


def _nulls(made: Reply) -> bytes:
    """The answer with every field there, and null."""
    return json.dumps(dict.fromkeys(json.loads(Reply(made.dialect, stream=False).body))).encode()


def _as_lines(made: Reply) -> bytes:
    return b"".join(
        line.removeprefix(b"data: ") + b"\n" for line in made.body.splitlines() if line.startswith(b"data:")
    )


def _error_after(made: Reply) -> list[bytes]:
    return [made.in_text, made.error_event]


def _events(text: bytes, media_type: str = SSE) -> list[bytes]:
    return [chunked_head(media_type), chunk(text), END]


def _page(status: int, kind: str) -> Fault:
    return Fault("U-14", f"{status} as a page", lambda r: [sized(PAGE, HTML, status), KEEP], Refused((kind,)))


FAULTS = [
    Fault("U-11", "noise", lambda r: [NOISE, CLOSE], Refused()),
    Fault("U-11", "noise after the head", lambda r: [r.head, NOISE, CLOSE], Refused()),
    Fault(
        "U-11",
        "another protocol",
        lambda r: [b"SSH-2.0-OpenSSH_9.9\r\n", STALL],
        Refused(("api_error", "timeout_error")),
    ),
    Fault("U-11", "no number for a status", lambda r: [b"HTTP/1.1 OK fine\r\n\r\n", CLOSE], Refused()),
    Fault("U-11", "a chunk without a size", lambda r: [r.head, chunk(r.in_text), b"zz\r\nhello\r\n", STALL], BROKEN),
    Fault("U-11", "a chunk of negative size", lambda r: [r.head, chunk(r.in_text), b"-5\r\nhello\r\n", STALL], BROKEN),
    Fault(
        "U-11",
        "a chunk larger than any",
        lambda r: [r.head, chunk(r.in_text), b"f" * 40 + b"\r\nhello\r\n", STALL],
        BROKEN,
    ),
    Fault(
        "U-11",
        "a head of 5 MB",
        lambda r: [head(200, {"x": "y" * 5_000_000})[:-4], b"\r\n\r\n", STALL],
        Refused(),
        grows=32 << 20,
    ),
    Fault(
        "U-11",
        "a head of 100,000 lines",
        lambda r: [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", STALL],
        Refused(("api_error", "timeout_error")),
        grows=64 << 20,
    ),
    Fault(
        "U-11",
        "a head that never ends",
        lambda r: [b"HTTP/1.1 200 OK\r\n", Flood(b"a: b\r\n" * 100)],
        Refused(("api_error", "timeout_error")),
        grows=64 << 20,
    ),
    Fault("U-11", "100, then silence", lambda r: [CONTINUE, STALL], Refused(("timeout_error",))),
    Fault("U-11", "20,000 times 100", lambda r: [CONTINUE * 20_000, RESET], Refused(), grows=32 << 20),
    Fault("U-12", "100 before it", lambda r: [CONTINUE, *r.whole], Told()),
    Fault("U-12", "103 before it", lambda r: [b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 3, *r.whole], Told()),
    Fault("U-13", "half a JSON text, then the end", lambda r: r.of(r.body[: len(r.pieces[0]) // 2]), Refused()),
    Fault("U-13", "half an event, then the end", lambda r: r.of(r.in_text[:-9]), Broken()),
    Fault("U-13", "half a body of another length", lambda r: [sized(r.in_text, r.media_type), KEEP], Broken()),
    Fault("U-13", "nothing at all", lambda r: [sized(b"", r.media_type), KEEP], Refused()),
    Fault("U-13", "no content", lambda r: [head(204), KEEP], Refused()),
    Fault("U-13", "null", lambda r: r.of(b"data: null\n\n" if r.stream else b"null"), Refused()),
    Fault(
        "U-13",
        "nothing but nulls",
        lambda r: r.of(b"data: " + _nulls(r) + b"\n\n" if r.stream else _nulls(r)),
        Refused(),
    ),
    Fault("U-13", "a list", lambda r: r.of(b"data: []\n\n" if r.stream else b"[]"), Refused()),
    Fault("U-13", "a list of strings", lambda r: r.of(b'data: ["a", 1]\n\n' if r.stream else b'["a", 1]'), Refused()),
    Fault("U-13", "a number", lambda r: r.of(b"data: 7\n\n" if r.stream else b"7"), Refused()),
    Fault(
        "U-13", "very deep", lambda r: r.of(b"data: " * r.stream + b"[" * 100_000 + b"]" * 100_000 + b"\n\n"), Refused()
    ),
    Fault(
        "U-13",
        "lines of JSON for events",
        lambda r: [sized(_as_lines(r), "application/x-ndjson"), KEEP],
        IN_TURN,
        modes=(True,),
    ),
    Fault(
        "U-13",
        "events for a whole answer",
        lambda r: [*_events(Reply(r.dialect, stream=True).body), KEEP],
        IN_TURN,
        modes=(False,),
    ),
    Fault(
        "U-13",
        "a whole answer for events",
        lambda r: [sized(Reply(r.dialect, stream=False).body), KEEP],
        IN_TURN,
        modes=(True,),
    ),
    Fault("U-14", "a page for people", lambda r: [sized(PAGE, HTML), KEEP], Refused()),
    Fault("U-14", "a page that says it is events", lambda r: [sized(PAGE, r.media_type), KEEP], Refused()),
    *(
        _page(*row)
        for row in ((502, "api_error"), (503, "overloaded_error"), (504, "timeout_error"), (520, "api_error"))
    ),
    Fault("U-14", "the right words as text/plain", lambda r: [sized(r.body, "text/plain"), KEEP], IN_TURN),
    Fault(
        "U-14",
        "the right words without a type",
        lambda r: [head(200, {"content-length": str(len(r.body))}) + r.body, KEEP],
        IN_TURN,
    ),
    Fault(
        "U-14",
        "an error with 200",
        lambda r: [sized(r.error_body("It broke."), JSON), KEEP],
        Refused(words="It broke."),
    ),
    Fault(
        "U-14", "an error as the first event", lambda r: r.of(r.error_event), Refused(words="It broke."), modes=(True,)
    ),
    Fault("U-14", "an error amid the text", lambda r: r.of(*_error_after(r)), Broken(words="It broke."), modes=(True,)),
    Fault(
        "U-14",
        "an error amid the text, and more",
        lambda r: r.of(*_error_after(r), r.body),
        Broken(words="It broke."),
        modes=(True,),
    ),
    Fault(
        "U-14",
        "a text of 2 MB for an error",
        lambda r: [sized(b"x\x1b[2J" * 500_000, "text/plain", 500), KEEP],
        Refused(),
    ),
    Fault(
        "U-14",
        "an error that never ends",
        lambda r: [chunked_head("text/plain", 500), Flood(chunk(b"sorry " * 1000))],
        Refused(),
        grows=32 << 20,
    ),
]


def _lines(text: str) -> str:
    """An event's data over many lines, each with the field's name before it."""
    return "".join(f"data: {line}\n" for line in text.splitlines())


def _spread(made: Reply) -> bytes:
    """Every event's data in many lines."""
    out = []
    for line in made.body.decode().splitlines():
        if line.startswith("data: {"):
            out.append(_lines(json.dumps(json.loads(line[6:]), indent=1, ensure_ascii=False)))
        else:
            out.append(line + "\n")
    return "".join(out).encode()


def _between(made: Reply, words: bytes) -> bytes:
    """These lines before every event."""
    return b"".join(words + piece for piece in made.pieces)


ODD = "a\u2028b\u2029c\u0085d\x7fe\ufefff\U0001f600g\u0301h"


def _odd(dialect: str, *, stream: bool) -> Reply:
    """A text with what others take for the ends of lines."""
    return reply(dialect, stream=stream, text=ODD)


def _raw_odd(made: Reply) -> bytes:
    """Those characters as they are, whatever the dialect's server writes."""
    body = made.body
    for char in ODD:
        if ord(char) > 127:
            escaped = json.dumps(char)[1:-1].encode()
            body = body.replace(escaped, char.encode())
    return body


STREAMED = (True,)
LINES = Told(lines=True)
FRAMED = [
    Fault(
        "U-15", "CR alone", lambda r: r.of(r.body.replace(b"\r\n", b"\n").replace(b"\n", b"\r")), LINES, modes=STREAMED
    ),
    Fault(
        "U-15", "CRLF", lambda r: r.of(r.body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")), LINES, modes=STREAMED
    ),
    Fault(
        "U-15",
        "CRLF over chunks",
        lambda r: r.of(*(bytes([b]) for b in r.body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))),
        LINES,
        modes=STREAMED,
    ),
    Fault("U-15", "a byte order mark", lambda r: r.of(b"\xef\xbb\xbf" + r.body), LINES, modes=STREAMED),
    Fault("U-15", "comments", lambda r: r.of(_between(r, b": keep-alive\n\n:\n")), LINES, modes=STREAMED),
    Fault(
        "U-15", "no space after the colon", lambda r: r.of(r.body.replace(b"data: ", b"data:")), LINES, modes=STREAMED
    ),
    Fault("U-15", "data in many lines", lambda r: r.of(_spread(r)), LINES, modes=STREAMED),
    Fault(
        "U-15",
        "no blank line at the end",
        lambda r: r.of(r.body.rstrip(b"\r\n")),
        LINES,
        modes=STREAMED,
        but={"anthropic": Either((LINES, Broken())), "ollama": Either((LINES, Broken()))},
    ),
    Fault("U-15", "ids and retries", lambda r: r.of(_between(r, b"id: 7\nretry: 10\n")), LINES, modes=STREAMED),
    Fault(
        "U-15",
        "unknown events",
        lambda r: r.of(_between(r, b'event: news\ndata: {"type":"news","choices":[]}\n\n')),
        LINES,
        modes=STREAMED,
        only=TRANSLATED,
    ),
    Fault("U-15", "other line ends in a string", lambda r: r.of(_raw_odd(r)), Told(ODD), of=_odd),
    Fault(
        "U-22",
        "characters a byte at a time",
        lambda r: [r.head, *chunks(bytes([b]) for b in _raw_odd(r)), END, KEEP],
        Told(ODD),
        of=_odd,
    ),
]
FAULTS += FRAMED
