"""An upstream for all, and a server for each test."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio

pytest.register_assert_rewrite(f"{__package__}.kit")

from edge.processes import PROC  # noqa: E402

from .kit import serving_load, upstreams  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .kit import Server


class Begin(Protocol):
    """Starts a server with these variables."""

    async def __call__(self, **env: str) -> Server: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def upstream() -> AsyncIterator[int]:
    async with upstreams() as port:
        yield port


@pytest_asyncio.fixture(loop_scope="session")
async def begin(upstream: int, tmp_path: Path) -> AsyncIterator[Begin]:
    if not PROC.exists():
        pytest.skip("memory and descriptors are read from /proc")
    async with AsyncExitStack() as stack:

        async def begin(**env: str) -> Server:
            return await stack.enter_async_context(serving_load(tmp_path, upstream, **env))

        yield begin
