"""Connections that are not trusted further than they have earned, and that carry answers of two kinds.

Two gaps of aiohttp 3.14, found by the tests in tests/faults. Both need what aiohttp keeps to itself; those tests tell
when that changes.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientPayloadError, TCPConnector
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.connector import Connection

    from claude_code_proxy.http1 import Incoming


used: Final[ContextVar[bool]] = ContextVar("used", default=False)
"""Whether the request of this task was sent on a connection that had been used before; to be reset before one is."""


class Connector(TCPConnector):
    """Connections to every upstream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(Handler, loop=self._loop)  # type: ignore[assignment] # a partial is what it makes

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        """A connection that waited in the pool, if nothing has come on it meanwhile.

        What comes unasked would be taken for the answer to the next request, whoever sends it.
        """
        held = self._conns.get(key)
        while held and held[0][0].should_close:
            held.popleft()[0].close()
        connection = await super()._get(key, traces)
        if connection:
            used.set(True)
        return connection


class Handler(ResponseHandler):
    """What comes on a connection: for the answer that is waited for, if there is one of ours, else for aiohttp's.

    It ends the body that is being read when its connection does. Where the framing of a body turns out wrong, aiohttp
    closes the connection and may leave its reader waiting.
    """

    incoming: Incoming | None = None

    def data_received(self, data: bytes) -> None:
        if self.incoming is not None:
            self.incoming.feed(data)
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.incoming is not None:
            self.incoming.lost(exc)
        payload = self._payload
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(ClientPayloadError("the body is not framed as it should be"))

    def hold(self) -> None:
        """Read no more for now."""
        self._pause_transport_reading()

    def go_on(self) -> None:
        """Read again."""
        self._resume_transport_reading()

    def has_sent_all(self) -> bool:
        """Whether nothing of the request waits to be sent."""
        return self.transport is not None and not self.transport.get_write_buffer_size()
