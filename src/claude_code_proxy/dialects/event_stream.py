"""Amazon's event stream, `application/vnd.amazon.eventstream`: frames that hold Anthropic's events.

A frame is: its length and that of its headers, a checksum of these, the headers, the payload, a checksum of all
(big-endian, CRC-32). Source: the format's description in the Smithy specification, and botocore's reader, which the
tests compare this with.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import crc32
from struct import Struct, error
from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.dialects.errors import classified
from claude_code_proxy.wire.failure import error_event, failed
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"

_PRELUDE: Final = Struct(">III")
_CHECKSUM: Final = Struct(">I")
_SHORT: Final = Struct(">H")
_LARGEST: Final = 25 << 20
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; 6 and 7, bytes and text, tell their own length."""

_TEXT: Final = 7

_STATUS: Final[dict[str, int]] = {
    "internalServerException": 500,
    "modelStreamErrorException": 502,
    "modelTimeoutException": 504,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
"""What the exceptions of the service's model mean in HTTP."""

_BROKEN: Final = error_event(failed("api_error", "The upstream sent a broken event stream.", status=502))


class EventStream:
    """A machine from frames to server-sent events. After a broken frame nothing can be found any more."""

    __slots__ = ("_broken", "_data")

    def __init__(self) -> None:
        self._data = bytearray()
        self._broken = False

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        if self._broken:
            return ()
        self._data += chunk
        out: list[bytes] = []
        try:
            out.extend(event for frame in self._frames() if (event := _told(frame)))
        except (ValueError, IndexError, error):
            self._broken = True
            out.append(_BROKEN)
        return out

    def close(self) -> Sequence[bytes]:
        return ()

    def _frames(self) -> Iterator[tuple[dict[str, str], bytes]]:
        """Headers and payload of every frame that is whole. Raises `ValueError` for one that is broken."""
        data = self._data
        while len(data) >= _PRELUDE.size:
            total, size, checksum = _PRELUDE.unpack_from(data)
            least = _PRELUDE.size + size + _CHECKSUM.size
            if crc32(data[:8]) != checksum or not least <= total <= _LARGEST:
                raise ValueError("prelude")
            if len(data) < total:
                return
            frame = bytes(data[:total])
            del data[:total]
            if crc32(frame[:-4]) != _CHECKSUM.unpack_from(frame, total - 4)[0]:
                raise ValueError("checksum")
            end = _PRELUDE.size + size
            yield _headers(frame[_PRELUDE.size : end]), frame[end:-4]


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are text, by name."""
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        start, at = at + 1, at + 1 + data[at]
        name, kind, at = data[start:at].decode(), data[at], at + 1
        if kind in _SIZES:
            at += _SIZES[kind]
            continue
        start = at + _SHORT.size
        at = start + _SHORT.unpack_from(data, at)[0]
        if kind == _TEXT:
            headers[name] = data[start:at].decode()
    return headers


def _told(frame: tuple[dict[str, str], bytes]) -> bytes:
    """The event in a frame; nothing for one of another kind."""
    headers, payload = frame
    kind = headers.get(":message-type")
    if kind == "event" and headers.get(":event-type") == "chunk":
        held = fields(orjson.loads(payload)).get("bytes")
        if not isinstance(held, str):
            raise ValueError("no bytes")
        data = b64decode(held).replace(b"\n", b"")
        return b"event: %b\ndata: %b\n\n" % (_kind(orjson.loads(data)).encode(), data)
    if kind in {"exception", "error"}:
        code = headers.get(":exception-type") or headers.get(":error-code") or ""
        message = fields(orjson.loads(payload) if payload else {}).get("message") or headers.get(":error-message")
        return error_event(classified(_STATUS.get(code, 0), code, str(message or code or "The upstream failed.")))
    return b""


def _kind(event: Any) -> str:
    kind = fields(event).get("type")
    return kind if isinstance(kind, str) and kind.isidentifier() else "message"
