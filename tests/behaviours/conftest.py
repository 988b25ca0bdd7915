"""One set of upstreams and one server for all of these tests; further servers start when they are first wanted."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from e2e.proxy import serving
from upstreams import FakeChat, FakeMessages

from .stage import FakeGemini, FakeNvidia, Stage, hang_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        stage = Stage(
            await enter(FakeChat()),
            await enter(FakeChat(base="/api/v1", extras=True)),
            await enter(FakeNvidia()),
            await enter(FakeGemini()),
            await enter(FakeMessages()),
            await enter(FakeMessages(lenient=True)),
        )
        proxy = await enter(serving(tmp_path_factory.mktemp("server"), **stage.env))
        stage.url, stage.log = proxy.url, proxy.log
        yield stage
        await hang_up()
        await stage.close()


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """Give the upstreams, which all say hello; none of them may have been sent what it refuses."""
    _stage.answer()
    yield _stage
    _stage.log.check()
    assert {name: up.refusals for name, up in _stage.upstreams.items() if up.refusals} == {}
