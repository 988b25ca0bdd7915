"""One server before one faulty upstream, for all faults."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import trustme

from e2e.proxy import serving

pytest.register_assert_rewrite(f"{__package__}.expected", f"{__package__}.stage")

from .stage import Stage, config, environment  # noqa: E402
from .upstream import FaultUpstream  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TESTS = Path(__file__).parents[1]


def certificates(trusted: Path) -> dict[str, ssl.SSLContext]:
    """Server sides of TLS, by what is wrong with them; the authority goes into the file."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(trusted)
    past = datetime.now(UTC) - timedelta(days=1)
    made = {
        "tls": authority.issue_cert("127.0.0.1"),
        "expired": authority.issue_cert("127.0.0.1", not_before=past - timedelta(days=9), not_after=past),
        "wrong-host": authority.issue_cert("elsewhere.test"),
        "self-signed": stranger.issue_cert("127.0.0.1"),
    }
    contexts = {}
    for name, certificate in made.items():
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(contexts[name])
    return contexts


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    home = tmp_path_factory.mktemp("faults")
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FaultUpstream())
        trusted = home / "ca.pem"
        for name, context in certificates(trusted).items():
            await upstream.listen(name, context)
        chosen = home / "config.toml"
        chosen.write_text(config(upstream.ports), "utf-8")
        env = {
            **environment(upstream.ports),
            "CLAUDE_CODE_PROXY_CONFIG": str(chosen),
            "SSL_CERT_FILE": str(trusted),
            "PYTHONPATH": str(TESTS),
        }
        proxy = await stack.enter_async_context(serving(home, program=("uvicorn", "faults.served:app"), **env))
        stage = Stage(proxy.url, proxy.log, upstream)
        await stage.begin()
        yield stage


@pytest_asyncio.fixture(loop_scope="session")
async def stage(_stage: Stage) -> AsyncIterator[Stage]:
    """Give the server; after the fault it has forgotten it, and serves as ever."""
    _stage.grown = 0
    yield _stage
    await _stage.settled()
    await _stage.healthy()
    _stage.upstream.scripts.clear()
    _stage.upstream.attempts.clear()
