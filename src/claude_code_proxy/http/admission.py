"""How much is done at once: what is too much is refused early, and what runs is not disturbed.

A refusal is one that clients repeat by themselves after a short while. A request's turn comes after its key was looked
at and its body is here, so that neither strangers nor slow clients take the place of others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

from claude_code_proxy.http.asgi import read_body
from claude_code_proxy.wire.failure import ApiError, Failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_code_proxy.http.asgi import Receive, Scope
    from claude_code_proxy.settings import Settings

_COME_AGAIN: Final = ((b"retry-after", b"2"), (b"x-should-retry", b"true"))
_BUSY: Final = Failed(
    "overloaded_error", "The proxy is busy: it is answering as many requests as it may.", 529, _COME_AGAIN
)
_FULL: Final = Failed("overloaded_error", "The proxy holds as many request bodies as it may.", 529, _COME_AGAIN)

_log = logging.getLogger(__name__)


class Held:
    """A request's body, the room that was made for it, and its place among the running requests, as a block."""

    __slots__ = ("_admission", "_receive", "_scope", "body", "size")

    def __init__(self, admission: Admission, scope: Scope, receive: Receive) -> None:
        self._admission, self._scope, self._receive = admission, scope, receive
        self.body, self.size = b"", 0

    async def __aenter__(self) -> Self:
        admission = self._admission
        try:
            self.body = await admission.body(self._scope, self._receive, self)
            await admission.enter()
        except BaseException:
            self.let_go()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._admission.leave()
        self.let_go()

    def hold(self, size: int) -> None:
        """Make room for a part of this size. Raises `ApiError` (529) where there is none."""
        self._admission.hold(size)
        self.size += size

    def let_go(self) -> None:
        """Hold it no longer. The body is nobody else's to keep."""
        self._admission.give_back(self.size)
        self.body, self.size = b"", 0


class Admission:
    """The places for requests that are being answered, and the memory for their bodies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running = self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refusing = False

    def use(self, settings: Settings) -> None:
        """Keep to these settings from now on."""
        self._settings = settings

    def admitted(self, scope: Scope, receive: Receive) -> Held:
        """A request's body, and a place among the running requests, for a block.

        Entering it raises `ApiError` like `enter`, `hold` and `read_body`, and `ClientGone`.
        """
        return Held(self, scope, receive)

    async def body(self, scope: Scope, receive: Receive, held: Held) -> bytes:
        """The body of a request. Raises `ApiError` like `hold` and `read_body`, and `ClientGone`."""
        settings = self._settings
        return await read_body(scope, receive, settings.max_body, settings.body_total_timeout, held.hold)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place among the running requests, for a block. Entering it raises `ApiError`, see `enter`."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    async def enter(self) -> None:
        """Take a place, to be left. Raises `ApiError` (529) if none becomes free in time."""
        if self._running < self._settings.max_streams and not self._waiting:
            self._running += 1
        else:
            await self._wait()

    def leave(self) -> None:
        """Let another have the place."""
        self._running -= 1
        self._next()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._settings.max_queue:
            raise self._refused(_BUSY)
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._settings.queue_timeout):
                await place
        except BaseException as cause:
            if place.done() and not place.cancelled():  # it was given to one that can no longer take it
                self.leave()
            else:
                self._waiting.remove(place)
            if isinstance(cause, TimeoutError):
                raise self._refused(_BUSY) from None
            raise

    def _next(self) -> None:
        while self._waiting and self._running < self._settings.max_streams:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._running += 1
        if not self._waiting:
            self._refusing = False

    def hold(self, size: int) -> None:
        """Make room for a part of a body. Raises `ApiError` (529) where there is none."""
        if self._held + size > self._settings.body_memory_mib << 20:
            raise self._refused(_FULL)
        self._held += size

    def give_back(self, size: int) -> None:
        """So much of a body is held no longer."""
        self._held -= size

    def _refused(self, failure: Failed) -> ApiError:
        if not self._refusing:  # once, not for each
            self._refusing = True
            _log.warning("%s More are told to come again.", failure.message)
        return ApiError(failure)
