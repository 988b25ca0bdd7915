"""One server and one set of upstreams for all tests; each test brings its own scripts."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from upstreams import FakeChat, FakeMessages, FakeResponses

from .claude import Claude, NoCliError, find_cli
from .proxy import serving
from .relay import Relay
from .world import BIG, OPENAI_KEY, SMALL, Responses, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from .proxy import Proxy, Start


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        chat = await enter(FakeChat())
        router = await enter(FakeChat(base="/api/v1", extras=True))
        native = await enter(FakeMessages())
        ollama = await enter(FakeMessages(lenient=True))
        world = World(chat, router, native, ollama)
        world.proxy = await enter(serving(tmp_path_factory.mktemp("server"), **world.env))
        yield world


@pytest.fixture
def world(_world: World) -> Iterator[World]:
    """Give the server of most tests; nothing may have gone wrong unseen."""
    for upstream in _world.upstreams:
        upstream.use()
    yield _world
    _world.proxy.log.check()
    assert [up.refusals for up in _world.upstreams] == [[], [], [], []]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _responses(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Responses]:
    home = tmp_path_factory.mktemp("responses")
    async with FakeResponses() as fake:
        responses = Responses(fake)
        config = home / "config.toml"
        config.write_text(responses.config)
        env = {"OPENAI_API_KEY": OPENAI_KEY, "BIG_MODEL": BIG, "SMALL_MODEL": SMALL}
        async with serving(home, CLAUDE_CODE_PROXY_CONFIG=str(config), **env) as responses.proxy:
            yield responses


@pytest.fixture
def responses(_responses: Responses) -> Iterator[Responses]:
    """Give a server before a Responses API; nothing that this was sent may have been refused."""
    _responses.fake.use()
    yield _responses
    _responses.proxy.log.check()
    assert _responses.fake.refusals == []


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(tmp_path: Path) -> AsyncIterator[Start]:
    """Start servers of other settings, for one test."""
    async with AsyncExitStack() as stack:

        async def start(**env: str) -> Proxy:
            return await stack.enter_async_context(serving(tmp_path / "server", **env))

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def relay(world: World) -> AsyncIterator[Relay]:
    """Stand between client and server, to see what the client sent."""
    async with Relay(world.url) as between:
        yield between


@pytest.fixture(scope="session")
def _cli() -> Path:
    try:
        return find_cli()
    except NoCliError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def claude(_cli: Path, tmp_path: Path) -> Claude:
    """Give the CLI a new home and an empty working directory."""
    home, cwd = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    cwd.mkdir()
    return Claude(_cli, home, cwd)
