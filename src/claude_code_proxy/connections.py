"""Connections that are not trusted further than they have earned.

Two gaps of aiohttp 3.14, found by the tests in tests/faults. Both need what aiohttp keeps to itself; those tests tell
when that changes.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientPayloadError, ClientRequest, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.hdrs import ACCEPT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.connector import Connection


used: Final[ContextVar[bool]] = ContextVar("used", default=False)
"""Whether the request of this task was sent on a connection that had been used before; to be reset before one is."""


class Connector(TCPConnector):
    """Connections to every upstream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Handler, loop=self._loop)  # type: ignore[assignment] # a partial is what it makes

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


class Request(ClientRequest):
    """A request that tells nothing of the library: as the session's headers are, but for `accept`."""

    def update_auto_headers(self, _: Iterable[str] | None) -> None:
        """Add what every request is to have. The library would copy and compare all headers to skip one of its own."""
        self.headers.setdefault(ACCEPT, "*/*")


class _Handler(ResponseHandler):
    """Ends the body that is being read when its connection does.

    Where the framing of a body turns out wrong, aiohttp closes the connection and may leave its reader waiting.
    """

    def connection_lost(self, exc: BaseException | None) -> None:
        payload = self._payload
        super().connection_lost(exc)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(ClientPayloadError("the body is not framed as it should be"))
