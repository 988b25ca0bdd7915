"""The way out: the HTTP pool. The only file that knows the client library.

Redirects are not followed, since they would carry a key to another host. Bodies are read as they come.
Nothing that an upstream may have begun is tried twice here: that is the gateway's decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self, cast
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct
from yarl import URL

from claude_code_proxy.connections import Connector, used
from claude_code_proxy.credentials import Credentials
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.hosts import Here, is_near
from claude_code_proxy.http1 import Incoming, Place
from claude_code_proxy.reasons import hushed, reason
from claude_code_proxy.wire.failure import ApiError, error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

    from claude_code_proxy.settings import Settings

_ERROR_BODY = 1 << 20
"""How much of an error's body is read: errors are short, and one that is not must not fill the memory."""

_ERROR_WAIT = 10.0
"""Seconds that an error's body may take to arrive."""

_WHOLE_BODY = 16 << 20
"""How much is read of something small that is asked for beside messages."""

WHOLE, STREAM = 64 << 20, 256 << 20
"""How much is read of a whole answer, and of a stream: far more than any model says."""

_USED_CONNECTIONS = 3
"""How many connections may turn out to be closed before a request is given up."""

_STALE = 1.0
"""Seconds within which it shows that a connection had been closed; one that breaks later was at work."""

_LAST_COUNT = 2.0
"""Seconds to wait for what follows the reason why a reply ends: its count of tokens, the mark of its end."""

_LAST_WORD = 0.25
"""Seconds to wait for the end of a body that has said all: longer than any healthy server needs."""


_OURS = {"accept-encoding": "identity", "content-type": "application/json"}
"""Headers of every request, unless it has its own."""

_PLACES = 256
"""Addresses that are remembered as they are connected to."""


class Ends(Struct, frozen=True):
    """The bounds of an answer, times in those of the event loop.

    By `content` it must have said something, by `end` all, and in no more than `size` bytes.
    """

    content: float
    end: float
    size: int


class Content(Protocol):
    """The body of an answer while it comes, of aiohttp's kind or ours."""

    async def readany(self) -> bytes: ...
    def at_eof(self) -> bool: ...
    def set_exception(self, cause: BaseException, /) -> None: ...


class Upstream:
    """An upstream's answer while it is read: its head, its body, and how to close it.

    `host` is who answers, `sent` are the headers of the request. As a block, it is closed where that raises.
    """

    __slots__ = ("_close", "_content", "_host", "_left", "_sent", "_timer", "answer")

    def __init__(
        self, answer: Answer, content: Content, close: Callable[[], None], host: str, sent: Mapping[str, str]
    ) -> None:
        self.answer, self._content, self._close, self._host, self._sent = answer, content, close, host, sent
        self._left = sys.maxsize  # bytes that it may still send
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, response: aiohttp.ClientResponse) -> Upstream:
        """The same for an answer that aiohttp reads."""
        answer = Answer(response.status, {name.lower(): value for name, value in response.headers.items()})
        sent = response.request_info.headers
        return cls(answer, response.content, response.close, response.url.authority, sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self.close()

    def limit(self, ends: Ends, said: Callable[[], bool]) -> None:
        """Let reading fail once a bound is reached. `said` tells whether the answer has said anything."""
        self._left = ends.size
        loop = asyncio.get_running_loop()

        def expire() -> None:
            if said() and loop.time() < ends.end:
                self._timer = loop.call_at(ends.end, expire)
            else:
                kind = "took too long for its answer" if said() else "said nothing for too long"
                self._content.set_exception(error("timeout_error", f"{self._host} {kind}."))

        self._timer = loop.call_at(ends.content, expire)

    async def read(self, *, hurry: bool = False) -> bytes:
        """The next piece of the body as it arrives; nothing at its end, or when it is late and `hurry`.

        Raises `ApiError` when it breaks off, falls silent for too long, or is too large.
        """
        try:
            chunk = await (self._soon() if hurry else self._content.readany())
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            raise ApiError(reason(cause, self._host)) from cause
        self._left -= len(chunk)
        if self._left < 0:
            raise error("api_error", f"{self._host} sent too much.", status=502)
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `ApiError`, see `read`."""
        while chunk := await self.read():
            yield chunk

    async def _soon(self) -> bytes:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_COUNT):
                return await self._content.readany()
        return b""

    async def error_body(self) -> bytes:
        """The body of an error answer, as much of it as is sensible and arrives."""
        body = bytearray()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(_ERROR_WAIT):
                while len(body) < _ERROR_BODY and (chunk := await self._content.readany()):
                    body += chunk
        return hushed(bytes(body[:_ERROR_BODY]), self._sent)

    async def finish(self) -> None:
        """Read to the end of a body that has said all, so that its connection can serve again."""
        if self._content.at_eof():
            return
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(_LAST_WORD):
                while not self._content.at_eof():
                    await self._content.readany()

    def close(self) -> None:
        """Give up the answer. Its connection serves again if the body was read to its end, else it is closed."""
        if self._timer:
            self._timer.cancel()
        self._close()


class Pool:
    """Connections to every upstream. Opened on first use, in the loop that uses it.

    `credentials` proves to each of them who asks; `here` knows our own addresses, which are no upstream's. The
    certificates that are trusted are those of the first settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.credentials, self.here = Credentials(), Here()
        self._session: aiohttp.ClientSession | None = None
        self._single: aiohttp.ClientSession | None = None
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._trusted = settings.ssl_cert_file
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Take the time limits and the proxy of these settings for what is asked from now on."""
        self._proxy, self._idle = settings.upstream_proxy or None, settings.idle_timeout
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=settings.connect_timeout,
            sock_read=settings.idle_timeout,
        )

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], *, by: float | None = None) -> Upstream:
        """Send a request and wait for the head of its answer, until `by` in the time of the event loop at most.

        Raises `ApiError` when the upstream cannot be reached or does not answer. The answer is to be closed.
        """
        self._not_here(url)
        ask = self._asked_by_proxy if self._proxy_for(url) else self._asked
        try:
            async with asyncio.timeout_at(by):
                return await _again(partial(ask, url, body, headers))
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            raise ApiError(reason(cause, urlsplit(url).netloc)) from cause

    async def _asked(self, url: str, body: bytes, headers: Mapping[str, str]) -> Upstream:
        """The answer to a request that goes straight to its host. Raises what aiohttp raises."""
        session = self._session = self._session or self._open()
        if (place := self._places.get(url)) is None:
            place = self._places[url] = Place(url, _OURS)
            if len(self._places) > _PLACES:
                self._places.popitem(last=False)
        head = place.head(headers, len(body))
        connector = cast("Connector", session.connector)
        incoming = Incoming(await connector.connect(place, [], self._timeout), self._idle)
        try:
            await incoming.sent(head, body)
        except BaseException:
            incoming.close()
            raise
        answer = Answer(incoming.status, incoming.headers)
        return Upstream(answer, incoming, incoming.close, place.url.authority, headers)

    async def _asked_by_proxy(self, url: str, body: bytes, headers: Mapping[str, str]) -> Upstream:
        """The same by way of the user's proxy, with which aiohttp knows how to talk."""
        session = self._session = self._session or self._open()
        return Upstream.of(
            await session.post(
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
                proxy=self._proxy,
            )
        )

    @contextlib.asynccontextmanager
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncGenerator[Upstream]:
        """The same as a block, at the end of which the answer is closed."""
        upstream = await self.send(url, body, headers)
        try:
            yield upstream
        finally:
            upstream.close()

    @contextlib.asynccontextmanager
    async def passed(
        self, method: str, url: str, body: AsyncIterator[bytes] | None, headers: Mapping[str, str]
    ) -> AsyncGenerator[Upstream]:
        """The same for a request of any kind, with a body of any size; the answer's body comes as it was encoded.

        What is passed on while it comes cannot be sent twice, so it never goes on a connection that was used before.
        """
        self._not_here(url)
        if body is None:
            session = self._session = self._session or self._open()
        else:
            session = self._single = self._single or self._open(once=True)
        exact = URL(url, encoded=True)
        try:
            response = await session.request(
                method,
                exact,
                data=body,
                headers=headers,
                allow_redirects=False,
                auto_decompress=False,
                timeout=self._timeout,
                proxy=self._proxy_for(url),
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            raise ApiError(reason(cause, exact.authority)) from cause
        try:
            yield Upstream.of(response)
        finally:
            response.close()

    async def get(self, url: str, headers: Mapping[str, str], *, within: float) -> tuple[int, bytes]:
        """Ask for something small: the status and the whole body of the answer. Raises `ApiError`, see `ask`."""
        return await self.ask(url, None, headers, within=within)

    async def ask(
        self, url: str, content: bytes | None, headers: Mapping[str, str], *, within: float
    ) -> tuple[int, bytes]:
        """The same, with POST where there is `content`.

        Raises `ApiError` when the upstream cannot be reached, takes longer than `within` seconds for all of it,
        or sends more than is sensible.
        """
        if content is not None:  # a list of models that is our own is known by its mark
            self._not_here(url)
        session = self._session = self._session or self._open()
        host, body = urlsplit(url).netloc, bytearray()
        try:
            async with (
                asyncio.timeout(within),
                session.request(
                    "GET" if content is None else "POST",
                    URL(url, encoded=True),
                    data=content,
                    headers=headers,
                    allow_redirects=False,
                    timeout=self._timeout,
                    proxy=self._proxy_for(url),
                ) as response,
            ):
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _WHOLE_BODY:
                        raise error("api_error", f"{host} sent too much.", status=502)
        except (aiohttp.ClientError, TimeoutError, OSError) as cause:
            raise ApiError(reason(cause, host)) from cause
        return response.status, bytes(body)

    def _not_here(self, url: str) -> None:
        if self.here.leads(url):
            message = f"{urlsplit(url).netloc} is this proxy itself. Set the provider's base URL to the provider's own."
            raise error("invalid_request_error", message, final=True)

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._session, self._single):
            if session:
                await session.close()

    def _proxy_for(self, url: str) -> str | None:
        """The user's proxy, which is the way out: what is near is reached without."""
        return self._proxy if self._proxy and not is_near(url) else None

    def _open(self, *, once: bool = False) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(limit=0, force_close=once, ssl=_trusting(self._trusted)),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_OURS,
            skip_auto_headers=("user-agent",),
        )


async def _again(ask: Callable[[], Awaitable[Upstream]]) -> Upstream:
    """What comes of asking; where a connection turns out to have been closed long since, on another.

    A server may close a connection at any time after its last answer, and llama.cpp does so after every stream
    although it promises otherwise; that shows when the next request is sent. A request that was sent on a new
    connection, or that an upstream may have been at work on, is never repeated.
    """
    left, clock = _USED_CONNECTIONS, asyncio.get_running_loop().time
    while True:
        used.set(False)
        began = clock()
        try:
            return await ask()
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if not used.get() or not left or clock() - began > _STALE:
                raise
            left -= 1


def _trusting(file: str) -> ssl.SSLContext | bool:
    """What verifies certificates: the system's authorities, and those in the user's file."""
    if not file:
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(file)
    return context
