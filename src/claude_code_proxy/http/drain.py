"""How the proxy stops when it is told to: what runs may end, then it is ended properly.

uvicorn waits for running answers without a limit, or cuts them, and ends by the signal that stopped it. Here the first
SIGTERM or SIGINT lets nothing new in and gives running requests some time; then each is cancelled, which its endpoint
makes an error that the client understands, and the process ends with status 0. The same signal again ends them at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.wire.failure import ApiError, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

STOPPING: Final = Failed(
    "overloaded_error",
    "The proxy is stopping. Try again.",
    503,
    ((b"retry-after", b"1"), (b"x-should-retry", b"true"), (b"connection", b"close")),
)
"""What a request is told that comes too late, or takes too long."""

LAST_WORDS: Final = 1.0
"""Seconds in which a client that is told so must take it."""

_ECHO: Final = 0.5
"""Seconds within which a signal that comes twice is one: to a process group it is sent by several."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger(__name__)


class Drain:
    """Whether the proxy is stopping. `stopping` is called once it is."""

    def __init__(self, stopping: Callable[[], None]) -> None:
        self._stopping = stopping
        self.begun = False

    def check(self) -> None:
        """Raises `ApiError` (503) once the proxy is stopping."""
        if self.begun:
            raise ApiError(STOPPING)

    @contextmanager
    def on_signals(self, seconds: Callable[[], float]) -> Iterator[None]:
        """Take over the signals that uvicorn's server handles, if it does; `seconds` are what requests have to end."""
        loop = asyncio.get_running_loop()
        taken: dict[signal.Signals, Any] = {}
        seen: dict[int, float] = {}

        def handle(number: int, _: FrameType | None) -> None:
            server = taken[signal.Signals(number)].__self__
            server.should_exit = True
            now = time.monotonic()
            first = seen.setdefault(number, now)
            if now == first:
                loop.call_soon_threadsafe(self._begin, server, seconds())
            elif now - first > _ECHO:
                for one, handler in taken.items():
                    signal.signal(one, handler)  # a third time is for uvicorn, which then waits for nothing
                loop.call_soon_threadsafe(_end, server)

        if threading.current_thread() is threading.main_thread():
            for one in _SIGNALS:
                handler = signal.getsignal(one)
                if hasattr(getattr(handler, "__self__", None), "server_state"):
                    taken[one] = handler
                    signal.signal(one, handle)
        try:
            yield
        finally:
            for one, handler in taken.items():
                if signal.getsignal(one) is handle:
                    signal.signal(one, handler)

    def _begin(self, server: Any, seconds: float) -> None:
        if self.begun:
            return
        self.begun = True
        self._stopping()
        running = server.server_state.tasks
        if running:
            _log.info("Stopping: %d requests have %g s to end. Once more stops at once.", len(running), seconds)
        asyncio.get_running_loop().call_later(seconds, _end, server)


def _end(server: Any) -> None:
    """Cancel what runs; each request then has a moment for its last words."""
    running = server.server_state.tasks
    if running:
        _log.warning("Stopping: %d requests are ended.", len(running))
    for task in list(running):
        task.cancel()
    asyncio.get_running_loop().call_later(2 * LAST_WORDS, _drop, server)


def _drop(server: Any) -> None:
    """Close the connections of those that do not even take that."""
    for connection in list(server.server_state.connections):
        connection.transport.abort()
