"""The proxy in this process with a local model behind it, for the commands that need both."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from claude_code_proxy.local.server import LocalModel
    from claude_code_proxy.settings import Settings

PROVIDER: Final = "local"
"""The name of the provider that leads to the local model."""

_EXTRA: Final = ("xllamacpp", "rich", "pip")
"""What the extra `local` installs."""

_START: Final = 30.0
"""Seconds for the proxy to start."""


class NotStartedError(Exception):
    """The proxy did not start."""


def extra_is_missing() -> bool:
    """Whether a part of the extra `local` is not installed."""
    return any(importlib.util.find_spec(name) is None for name in _EXTRA)


def rows(upstream: LocalModel) -> dict[str, dict[str, Any]]:
    """The provider table that leads to the model. It knows no tools but keeps to a schema."""
    row = {"base_url": upstream.base_url, "api_key": upstream.api_key, "dialect": "openai_chat"}
    return {PROVIDER: {**row, "local": True, "quirks": {"tools": "schema"}}}


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """The address of a proxy with these settings, on a free port of this machine, while it runs in this event loop."""
    import uvicorn

    from claude_code_proxy.app import create_app

    class Server(uvicorn.Server):
        """Leaves signals to the event loop, and says when it has started."""

        ready = asyncio.Event()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await super().startup(sockets)
            except SystemExit:  # the application failed to start, which ends uvicorn's own program
                self.should_exit = True
            finally:
                self.ready.set()

    app = create_app(settings)
    server = Server(uvicorn.Config(app, log_level="warning", log_config=None, timeout_graceful_shutdown=5))
    # With the protocol named, or asyncio leaves Nagle's algorithm on, and small pieces wait for 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        serving = asyncio.create_task(server.serve([listener]))
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(server.ready.wait(), _START)
            if not server.started:
                raise NotStartedError("The proxy did not start.")
            host, port = listener.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await serving
