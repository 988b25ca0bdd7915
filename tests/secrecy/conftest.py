"""A server with every secret, at its most talkative, for the tests of one file."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

from e2e.proxy import serving
from faults.ops import KEEP, sized
from faults.upstream import FaultUpstream

from .place import Place
from .stage import GOOGLE_TOKEN, environment, google_account

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

TESTS = Path(__file__).parents[1]
TOKENS = 999_999
"""The case of the upstream that gives tokens."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    home = tmp_path_factory.mktemp("secrecy")
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FaultUpstream())
        at = upstream.ports["plain"]
        upstream.scripts[TOKENS] = (
            [sized(json.dumps({"access_token": GOOGLE_TOKEN, "expires_in": 3600}).encode()), KEEP],
        )
        account, private = google_account(home, f"http://127.0.0.1:{at}/case-{TOKENS}")
        env = environment(at, account, home / "config.toml")
        talkative = {**env, "PYTHONPATH": str(TESTS), "PYTHONASYNCIODEBUG": "1"}
        options = ("--log-level", "debug", "--loop", "asyncio")
        proxy = await stack.enter_async_context(
            serving(home, *options, program=("uvicorn", "secrecy.served:app"), **talkative)
        )
        yield Place(proxy, upstream, env, (private,))
        proxy.log.checked = len(proxy.log.lines)  # mistakes were made on purpose
