"""A dashboard in process, and the same behind a real server with a real browser before it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from asgi import Exchange
from claude_code_proxy.app import create_app
from claude_code_proxy.settings import load_settings
from e2e.proxy import serving
from upstreams import Chat, FakeChat

from .browser import browsing
from .rows import hostile, keep, some

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from playwright.async_api import Browser

    from claude_code_proxy.http.surface import Surface
    from e2e.proxy import Proxy

KEY = "canary-of-the-proxy-0123456789"


@dataclass
class Here:
    """An application, and what is asked of it."""

    app: Surface

    async def ask(
        self,
        path: str,
        more: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        server: str = "127.0.0.1",
        peer: str = "127.0.0.1",
        **named: str,
    ) -> Exchange:
        """The answer to a request with these headers, whose names are written with `_`."""
        path, _, query = path.partition("?")
        headers = {name.replace("_", "-"): value for name, value in {**(more or {}), **named}.items()}
        body = urlencode(form).encode() if form is not None else b""
        if form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        asked = Exchange(body, path, headers)
        asked.scope |= {"method": method, "query_string": query.encode(), "server": (server, 4000)}
        asked.scope["client"] = (peer, 50000)
        await asyncio.wait_for(asked.run(self.app), 30)
        assert asked.whole
        return asked


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that has rows, to be copied."""
    place = tmp_path_factory.mktemp("filled") / "ledger.db"
    keep(place, some(300))
    keep(place, hostile())
    return place


@pytest.fixture
def here(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Here]:
    """Makes applications with these variables, and a ledger that has rows."""

    def make(**env: str) -> Here:
        place = tmp_path / "ledger.db"
        shutil.copy(filled, place)
        everything = {"PROXY_LEDGER": str(place), "OPENAI_API_KEY": "sk-none", "CLAUDE_CODE_PROXY_ENV_FILE": "", **env}
        for name, value in everything.items():
            monkeypatch.setenv(name, value)
        return Here(create_app(load_settings()))

    return make


def cookies(answer: Exchange) -> dict[str, str]:
    """The cookies that an answer sets, with all that it says of each."""
    found = [value.decode() for name, value in answer.sent[0]["headers"] if name == b"set-cookie"]
    return {line.partition("=")[0]: line.partition("=")[2] for line in found}


@dataclass
class Served:
    """A server, its upstream, and a browser."""

    proxy: Proxy
    chat: FakeChat
    browser: Browser


@asynccontextmanager
async def served(home: Path, **env: str) -> AsyncIterator[Served]:
    """A real server with a ledger that has rows, some of them hostile, and a browser."""
    place = home / "ledger.db"
    keep(place, some(400))
    keep(place, hostile())
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        browser = await enter(browsing())
        chat = await enter(FakeChat((Chat("Hello there"),)))
        upstream = {"OPENAI_BASE_URL": chat.api, "OPENAI_API_KEY": "canary-openai-key", "PROXY_LEDGER": str(place)}
        yield Served(await enter(serving(home, **upstream, **env)), chat, browser)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def open_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server that wants no key."""
    async with served(tmp_path_factory.mktemp("open"), PROXY_CAPTURE="true") as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def locked_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One that wants its key."""
    async with served(tmp_path_factory.mktemp("locked"), PROXY_API_KEY=KEY) as running:
        yield running
