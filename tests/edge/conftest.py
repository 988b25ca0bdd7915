"""An upstream, and servers before it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

import pytest_asyncio

from e2e.proxy import serving
from upstreams import Chat, FakeChat

from .line import provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from e2e.proxy import Proxy


class Started(Protocol):
    """Starts a server with these options and variables; one for those that ask for the same."""

    async def __call__(self, *options: str, **env: str) -> Proxy: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _chat() -> AsyncIterator[FakeChat]:
    async with FakeChat() as chat:
        yield chat


@pytest_asyncio.fixture(loop_scope="session")
async def chat(_chat: FakeChat) -> FakeChat:
    """The upstream, which greets."""
    _chat.use(Chat("Hello there"))
    return _chat


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def start(_chat: FakeChat, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Started]:
    """Start servers for the tests of one file."""
    home: Path = tmp_path_factory.mktemp("edge")
    running: dict[object, Proxy] = {}
    async with AsyncExitStack() as stack:

        async def start(*options: str, **env: str) -> Proxy:
            key = (options, tuple(env.items()))
            if key not in running:
                running[key] = await stack.enter_async_context(serving(home, *options, **provider(_chat), **env))
            return running[key]

        yield start
