"""One request and its answer over HTTP/1.1, on a connection that aiohttp opens, secures and keeps.

What aiohttp does for each request and each piece of an answer beside that is made for every use there is, and costs as
much as all the rest of a bare proxy (docs/performance.md). Here a request is a head and a body that are sent at once,
and an answer is bytes that are handed on as they come. They are taken apart by llhttp, as aiohttp does it.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection

    from claude_code_proxy.connections import Handler

LARGEST_HEAD: Final = 64 << 10
MOST_HEADERS: Final = 128
"""What is read of an answer's head."""

_ENOUGH: Final = 128 << 10
"""Bytes that wait to be read, from which on the upstream has to wait."""

_UNPACKED: Final = 1 << 20
"""Bytes that a packed body becomes at a time: a few of them can hold gigabytes."""

_NO_BODY: Final = frozenset({204, 304})
_SWITCHED: Final = 101
_FRAMED: Final = zlib.MAX_WBITS | 32
"""What zlib calls either of gzip and its own frame."""

_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""Encodings that some servers use though none was allowed."""

_UNREADABLE: Final = frozenset({"br", "zstd"})
_DEFLATE: Final = 8

_SKIPPED: Final = frozenset({"content-length"})
_LENIENT: Final = ("lenient_headers", "lenient_optional_cr_before_lf", "lenient_spaces_after_chunk_size")
"""What is let pass, as aiohttp does with answers."""


class Place(aiohttp.ClientRequest):
    """Where a request goes: what aiohttp wants to know for a connection, and the beginning of each head.

    `headers` are sent with every request there.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__("POST", URL(url), headers=headers, skip_auto_headers=("user-agent",), loop=loop)
        self._line = f"POST {self.url.raw_path_qs} HTTP/1.1\r\n"
        self._own = {name.lower(): value for name, value in self.headers.items() if name.lower() not in _SKIPPED}

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key

    def head(self, headers: Mapping[str, str], length: int) -> bytes:
        """The head of a request with a body of this length. Raises `ValueError` for what is no header."""
        merged = {**self._own, **{name.lower(): value for name, value in headers.items()}}
        lines = "".join([f"{name}: {value}\r\n" for name, value in merged.items()])
        if lines.count("\r") != len(merged) or lines.count("\n") != len(merged) or "\0" in lines:
            raise ValueError("a header holds a line break or NUL")
        return f"{self._line}{lines}content-length: {length}\r\n\r\n".encode()


class Incoming:
    """The answer to a request, while it comes.

    `status` and `headers` (names in lower case; of a repeated one the last) are there once `sent` has returned. It
    gives its connection back as soon as it is whole. `idle`: seconds that the upstream may be silent.
    """

    __slots__ = (
        *("_connection", "_error", "_handler", "_has_head", "_head_size", "_heard", "_idle", "_loop", "_many"),
        *("_packed", "_parser", "_parts", "_paused", "_reusable", "_size", "_spoke", "_timer", "_to_the_end"),
        *("_unpack", "_waiter", "_whole", "headers", "status"),
    )

    def __init__(self, connection: Connection, idle: float) -> None:
        self._connection, self._handler = connection, cast("Handler", connection.protocol)
        self._loop = asyncio.get_running_loop()
        self._parser: Any = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**dict.fromkeys(_LENIENT, True))
        self.status, self.headers = 0, dict[str, str]()
        self._parts: list[bytes] = []
        self._size = self._head_size = self._many = 0
        self._has_head = self._spoke = self._whole = self._paused = self._to_the_end = self._reusable = False
        self._packed, self._unpack = "", cast("Any", None)
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._idle, self._heard = idle, self._loop.time()
        self._timer = self._loop.call_later(idle, self._look)
        self._handler.incoming = self

    async def sent(self, head: bytes, body: bytes) -> None:
        """Send the request and wait for the head of the answer. Raises what aiohttp raises."""
        if (transport := self._connection.transport) is None:
            raise aiohttp.ServerDisconnectedError
        transport.writelines((head, body) if body else (head,))  # asyncio 3.12 never has done with nothing
        while not self._has_head:
            if self._error:
                raise self._error
            await self._more()

    async def readany(self) -> bytes:
        """What has come of the body, at least a byte; nothing at its end. Raises what aiohttp raises."""
        while True:
            if self._parts and (data := self._taken()):
                return data
            if self._error:
                raise self._error
            if self._whole:
                if self._unpack and not self._unpack.eof:
                    raise aiohttp.ClientPayloadError("the packed answer ends before its end")
                return b""
            await self._more()

    def at_eof(self) -> bool:
        """Whether all of it was read."""
        return self._whole and not self._parts

    def set_exception(self, cause: BaseException) -> None:
        """Let reading fail once what is here was read."""
        if not self._error and not self._whole:
            self._error = cause
            self._wake()

    def close(self) -> None:
        """Give up what has not come yet, and with it the connection."""
        self._parts.clear()
        self._error = None  # whose traceback refers to us
        self._leave()

    # Told by the connection.

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._heard, self._spoke = self._loop.time(), True
        if not self._has_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reusable = False
            self._amiss()
        if self._whole:
            self._leave()
        elif not self._has_head and self._head_size > LARGEST_HEAD:
            self._amiss()
        elif self._size > _ENOUGH and not self._paused:
            self._paused = True
            self._handler.hold()
        self._wake()

    def lost(self, cause: BaseException | None) -> None:
        """The connection has ended, well or by this error."""
        if self._has_head and self._to_the_end and cause is None:
            self._whole = True
        elif isinstance(cause, OSError):
            self.set_exception(aiohttp.ClientOSError(*cause.args))
        elif self._spoke:
            self.set_exception(aiohttp.ClientPayloadError("the answer ends before its end"))
        else:
            self.set_exception(aiohttp.ServerDisconnectedError())
        self._reusable = False
        self._leave()
        self._wake()

    # Told by the parser.

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("another answer, which nobody has asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # a trailer is no header
            self._many += 1
            if self._many > MOST_HEADERS:
                raise ValueError("too many headers")
            self.headers[name.decode("latin-1").lower()] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200 and self.status != _SWITCHED:
            return
        if (encoding := self.headers.get("content-encoding", "").strip().lower()) in _UNREADABLE:
            raise ValueError(encoding)
        self._packed = encoding if encoding in _PACKED else ""
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        self._to_the_end = not framed and self.status not in _NO_BODY
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._whole, self._reusable = True, self._parser.should_keep_alive()
        else:  # it was one of those that only announce the answer
            self.headers.clear()
            self._head_size = self._many = 0

    # Inside.

    async def _more(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _taken(self) -> bytes:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if self._packed:
            data = self._unpacked(data)
        if self._paused and not self._parts:
            self._paused, self._heard = False, self._loop.time()
            self._handler.go_on()
        return data

    def _unpacked(self, data: bytes) -> bytes:
        if self._unpack is None:
            raw = self._packed == "deflate" and data[0] & 0xF != _DEFLATE  # some leave its frame away
            self._unpack = zlib.decompressobj(-zlib.MAX_WBITS if raw else _FRAMED)
        try:
            data = self._unpack.decompress(data, _UNPACKED)
        except zlib.error:
            self._error = aiohttp.ClientPayloadError("the answer is not packed as it says")
            return b""
        if rest := self._unpack.unconsumed_tail:
            self._parts.append(rest)
            self._size = len(rest)
        return data

    def _amiss(self) -> None:
        """What comes is no HTTP."""
        if self._has_head:
            self.set_exception(aiohttp.ClientPayloadError("the body is not framed as it should be"))
        else:
            self.set_exception(_NotHttpError(cast("Any", None), ()))
        self._leave()

    def _look(self) -> None:
        """Whether it has been silent for too long; not while it has to wait for us."""
        now = self._loop.time()
        if self._paused:
            self._heard = now
        left = self._heard + self._idle - now
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.set_exception(aiohttp.SocketTimeoutError())

    def _leave(self) -> None:
        """Give the connection back, or up."""
        if self._handler.incoming is not self:
            return
        self._handler.incoming = None
        self._parser = None  # which refers to us
        self._timer.cancel()
        if self._paused:
            self._paused = False
            self._handler.go_on()
        if self._whole and self._reusable and self._handler.has_sent_all():
            self._connection.release()
        else:
            self._connection.close()


class _NotHttpError(aiohttp.ClientResponseError):
    """What came is no answer."""

    def __str__(self) -> str:
        return "no HTTP"
