"""Deadlines and bounds for clients' connections, of which uvicorn has none.

uvicorn keeps a connection as long as a byte comes now and then, and its parser httptools takes a head of any size. The
proxy may be started as `uvicorn server:app`, which takes no class of connections of ours. So `extend` makes uvicorn's
own classes build an ordinary subclass of themselves, and changes nothing else of them.

A connection has one timer, which looks at it now and then: nothing is armed for a request, let alone for a chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final

from claude_code_proxy.http.request_id import new_request_id
from claude_code_proxy.wire.failure import Failed, envelope, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.settings import Settings

MOST_HEADERS: Final = 100
LARGEST_HEAD: Final = 64 << 10
LONGEST_URL: Final = 16 << 10
MOST_PIPELINED: Final = 100
"""Requests that may wait behind the one that is being answered on the same connection."""

_CLASSES: Final = (("httptools_impl", "HttpToolsProtocol"), ("h11_impl", "H11Protocol"))

_SLOWEST: Final = 16 << 10
"""Bytes of what waits for it that a client must take within the write timeout."""

_DEFAULT_KEEP_ALIVE: Final = 5
"""uvicorn's own, which nobody has asked for."""

_HEAD_TOO_LARGE: Final = Failed("invalid_request_error", "The head of the request is too large.", 431)
_URL_TOO_LONG: Final = Failed("invalid_request_error", "The URL is too long.", 414)
_TOO_MANY: Final = Failed("invalid_request_error", "Too many requests wait on this connection.", 400)
_LATE: Final = failed("timeout_error", "The request did not come in time.", status=408)
_NETWORKS: Final = frozenset({socket.AF_INET, socket.AF_INET6})
_REASONS: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
}


def extend(settings: Settings) -> None:
    """Keep the connections of this process to these settings; called again, to other settings.

    To be called when uvicorn has loaded its class of connections, which it has when it starts the application.
    """
    Connection.limits = settings
    for module, name in _CLASSES:
        base = getattr(sys.modules.get(f"uvicorn.protocols.http.{module}"), name, None)
        if base and "__new__" not in vars(base):
            _extend(base)


def _extend(base: type[asyncio.Protocol]) -> None:
    ours = type(base.__name__, (Connection, base), {"tells_parts": hasattr(base, "on_body")})

    def build(cls: type, *_: object, **__: object) -> object:
        return object.__new__(ours if cls is base else cls)

    base.__new__ = staticmethod(build)  # type: ignore[method-assign, assignment]


class _UnacceptableError(Exception):
    """Stops the parser."""


class Connection(asyncio.Protocol):
    """What one of uvicorn's connections does beside."""

    limits: ClassVar[Settings]
    tells_parts: ClassVar[bool]
    """Whether the parser tells each part as it comes (httptools); h11 bounds what it holds by itself."""

    transport: Any
    loop: Any
    flow: Any
    cycle: Any  # the newest request and its answer; there is none yet on a fresh connection
    pipeline: Any
    headers: Any
    ws_protocol_class: Any
    timeout_keep_alive: float

    _timer: asyncio.TimerHandle | None = None
    _fault: Failed | None = None
    _head_since: float | None = None
    """When a head was begun to be waited for; None while there is a request."""
    _body_since = _body_at = 0.0
    """When the body began, and when its last part came."""
    _held = 0
    """Bytes that came since the parser last told something: it holds no more than these."""
    _in_head = False
    _head_size = 0
    _owed: int | None = None
    """What waited for a client that reads too little, when it last took some of it."""
    _owed_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.ws_protocol_class = None  # there is nothing here to speak to
        if self.timeout_keep_alive == _DEFAULT_KEEP_ALIVE:
            self.timeout_keep_alive = self.limits.keep_alive_timeout
        _notice_silence(transport.get_extra_info("socket"), self.limits.write_timeout)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(self._pause(), self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now, before = self.loop.time(), self.cycle
        if self._head_since is None and (before is None or before.response_complete) and not _body_is_due(before):
            self._head_since = now
        if not self.tells_parts:
            self._body_at = now
        self._held += len(data)
        super().data_received(data)
        if self.cycle is not before:
            self._head_since, self._body_since, self._body_at = None, now, now
            self._held = self._held if self.tells_parts else 0
        if self.tells_parts and self._held > LARGEST_HEAD:
            self._refuse(_HEAD_TOO_LARGE)

    def resume_writing(self) -> None:
        self._owed = None
        super().resume_writing()

    # What httptools tells.

    def on_message_begin(self) -> None:
        self._held = self._head_size = 0
        self._in_head = True
        super().on_message_begin()  # type: ignore[misc]

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        if self._head_size > LONGEST_URL:
            self._stop(_HEAD_TOO_LARGE if self._head_size > LARGEST_HEAD else _URL_TOO_LONG)
        super().on_url(url)  # type: ignore[misc]

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer is no header: what a request is must not change once it was let in
        self._head_size += len(name) + len(value)
        if self._head_size > LARGEST_HEAD or len(self.headers) >= MOST_HEADERS:
            self._stop(_HEAD_TOO_LARGE)
        super().on_header(name, value)  # type: ignore[misc]

    def on_headers_complete(self) -> None:
        self._held, self._in_head = 0, False
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop(_TOO_MANY)
        super().on_headers_complete()  # type: ignore[misc]

    def on_body(self, body: bytes) -> None:
        self._held, self._body_at = 0, self.loop.time()
        super().on_body(body)  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._held = 0
        super().on_message_complete()  # type: ignore[misc]

    def _stop(self, fault: Failed) -> None:
        self._fault = fault
        raise _UnacceptableError

    # What uvicorn's would do otherwise.

    def send_400_response(self, msg: str) -> None:
        """Called for what is no HTTP, and after `_stop`."""
        self._refuse(self._fault or Failed("invalid_request_error", msg, 400))

    def _unsupported_upgrade_warning(self) -> None:
        """Nobody needs to be told that a client asked for more than there is."""

    # Time.

    def _look(self) -> None:
        now = self.loop.time()
        due, act = self._due(now)
        if due <= now:
            act()
            due = now + self.limits.write_timeout
        self._timer = self.loop.call_at(min(due, now + self._pause()), self._look)

    def _pause(self) -> float:
        """How long nothing can become due that is not now known to: the shortest of the deadlines."""
        return min(self.limits.head_timeout, self.limits.body_timeout, self.limits.write_timeout)

    def _due(self, now: float) -> tuple[float, Callable[[], None]]:
        """When what, unless something changes."""
        if self.flow.write_paused or self.transport.is_closing():
            waiting = self.transport.get_write_buffer_size()
            if self._owed is None or waiting <= self._owed - _SLOWEST:
                self._owed, self._owed_since = waiting, now
            return self._owed_since + self.limits.write_timeout, self.transport.abort
        self._owed = None
        if self._head_since is not None:
            return self._head_since + self.limits.head_timeout, self._late
        if not _body_is_due(self.cycle):
            return inf, self._late
        if self.flow.read_paused:
            self._body_at = now  # it is we who do not take it
        due = self._body_at + self.limits.body_timeout
        if self.cycle.response_complete:  # nobody reads it any more; until then whoever does limits the whole
            due = min(due, self._body_since + self.limits.body_total_timeout)
        return due, self._late

    def _late(self) -> None:
        """The client has said nothing, or not all of what it began to say, or goes on after its answer."""
        waits_for_head = self._head_since is not None
        if not (self._held or self._in_head) if waits_for_head else self.cycle.response_complete:
            self.transport.close()
        else:
            self._refuse(_LATE)

    def _refuse(self, failure: Failed) -> None:
        """Answer for the application, where it is what the client waits for, and close."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            mine = True
        else:  # what is wrong is a part of its body, or what follows it
            mine = cycle.more_body and not cycle.response_started and not getattr(self, "pipeline", None)
        if mine:
            request_id = new_request_id()
            body = envelope(failure, request_id)
            head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nrequest-id: %b\r\n"
            status = (failure.status, _REASONS[failure.status], len(body), request_id.encode())
            self.transport.write(head % status + b"connection: close\r\n\r\n" + body)
        self.transport.close()


def _notice_silence(connection: Any, seconds: float) -> None:
    """Have the system end a connection whose other end has vanished: it acknowledges nothing for so long.

    Only the system can tell that from one that waits. What it does not offer is left out.
    """
    if connection is None or connection.family not in _NETWORKS:
        return
    part = max(1, round(seconds / 4))
    options = {
        "TCP_KEEPIDLE": part,
        "TCP_KEEPINTVL": part,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": round(seconds * 1000),
    }
    with contextlib.suppress(OSError):  # some systems refuse once the client has left
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if option := getattr(socket, name, 0):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _body_is_due(cycle: Any) -> bool:
    """Whether a part of the request's body has yet to come."""
    return cycle is not None and cycle.more_body
