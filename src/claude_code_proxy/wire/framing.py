"""Bytes off the wire into payloads: server-sent events, JSON lines, or one whole body.

Bytes are split, not text: a JSON string may hold U+2028 or U+0085, which text line splitters take for
line ends. Only LF, CR and CRLF end a line here, as the standard of server-sent events says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.failure import ApiError

LARGEST_EVENT: Final = 16 << 20
"""Bytes of one event or line: images and whole replies come in one, and nothing larger makes sense."""

LARGEST_BODY: Final = 64 << 20
"""Bytes of a whole body."""

_ASIDE: Final = 64 << 10
"""Bytes that are kept of what stands between the events."""

_JSON: Final = frozenset((b"{", b"}", b"[", b"]", b'"', b" ", b"\t"))
"""What a line of JSON may begin with, and no field of an event does."""

BOM: Final = b"\xef\xbb\xbf"
"""The byte order mark that a stream may begin with."""


def too_large(most: int) -> ApiError:
    """What is raised for something larger than any upstream has reason to send."""
    return error("api_error", f"The upstream sent more than {most >> 20} MiB in one piece.", status=502)


class SSE:
    """The `data` of each server-sent event, its lines joined by LF.

    Comments, ids, event names and events without data are left out. An event that the stream's end cuts
    off still counts: what matters is whether its JSON is whole, and the reader of the JSON finds that out.
    JSON that stands between the events, in no field of any, is the last of all: so some servers, Google's too, tell of
    an error in a stream that has begun. Raises `ApiError` for an event that is too large, which is then forgotten.
    """

    __slots__ = ("_aside", "_data", "_fresh", "_rest", "_size")

    def __init__(self) -> None:
        self._fresh = True  # nothing read yet: a byte order mark may come
        self._aside = bytearray()  # lines between the events
        self._rest: list[bytes] = []  # pieces of the line that has not ended
        self._data: list[bytes] = []  # data lines of the event that has not ended
        self._size = 0  # of both, in bytes; never too small

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        if b"\n" not in chunk and b"\r" not in chunk:  # a piece of a long line: do not join it again and again
            self._rest.append(chunk)
            self._grow(len(chunk))
            return ()
        events = self._lines(self._joined(chunk))
        if self._data:
            self._grow(len(chunk))
        else:
            self._size = len(self._rest[0]) if self._rest else 0
        return events

    def close(self) -> Sequence[bytes]:
        events = self._lines(self._joined(b"") + b"\n\n")
        aside = bytes(self._aside).strip()
        self._aside.clear()
        return [*events, aside] if aside[:1] in {b"{", b"["} and _is_json(aside) else events

    def _joined(self, chunk: bytes) -> bytes:
        if self._rest:
            self._rest.append(chunk)
            chunk = b"".join(self._rest)
            self._rest.clear()
        if self._fresh and chunk:
            self._fresh = False
            chunk = chunk.removeprefix(BOM)
        return chunk

    def _lines(self, text: bytes) -> Sequence[bytes]:
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # perhaps the first half of CRLF
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        if rest or held:
            self._rest.append(rest + held)
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and data:
                event = data[0] if len(data) == 1 else b"\n".join(data)
                data.clear()
                if event:
                    events.append(event)
            elif line[:1] in _JSON and len(self._aside) + len(line) < _ASIDE:
                self._aside += line + b"\n"
        return events

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_EVENT:
            self._rest.clear()
            self._data.clear()
            raise too_large(LARGEST_EVENT)


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


class Lines:
    """One JSON document a line; blank lines are left out. Raises `ApiError` for a line that is too large."""

    __slots__ = ("_rest", "_size")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        if b"\n" not in chunk:
            self._rest.append(chunk)
            self._size += len(chunk)
            if self._size > LARGEST_EVENT:
                self._rest.clear()
                raise too_large(LARGEST_EVENT)
            return ()
        *lines, rest = b"".join([*self._rest, chunk]).split(b"\n")
        self._rest = [rest] if rest else []
        self._size = len(rest)
        return [line for line in lines if line.strip()]

    def close(self) -> Sequence[bytes]:
        rest = b"".join(self._rest)
        self._rest = []
        return [rest] if rest.strip() else []


class Whole:
    """The whole body as one payload, once it is there. Raises `ApiError` for one that is too large."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > LARGEST_BODY:
            self._parts.clear()
            raise too_large(LARGEST_BODY)
        return ()

    def close(self) -> Sequence[bytes]:
        body = b"".join(self._parts)
        self._parts.clear()
        return [body]
