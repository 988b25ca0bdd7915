"""The processes of a load test, and what is measured of the server under it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from claude_code_proxy.ledger.reading import Chosen, read
from e2e.proxy import serving
from edge.processes import descriptors, held, resident

from .client import Kind, Plan, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2e.proxy import Proxy

TESTS = Path(__file__).parents[1]
SECONDS = float(os.environ.get("LOAD_SECONDS", "0"))
"""How long to load, where the figures are to be held against what is promised; 0: a short look, with no clock."""

SETTLED = 45.0
"""Seconds within which nothing may be left of what was asked."""


@asynccontextmanager
async def upstreams() -> AsyncIterator[int]:
    """An upstream, by its port."""
    process = await _started("upstream")
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def played(plan: Plan) -> Report:
    """What came of a plan."""
    process = await _started("client")
    try:
        out, _ = await process.communicate(msgspec.json.encode(plan))
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return msgspec.json.decode(out, type=Report)


async def _started(program: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"load.{program}"),
        cwd=TESTS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


@dataclass(frozen=True)
class Server:
    """A server under load, before an upstream."""

    proxy: Proxy
    upstream: int
    home: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.proxy.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """Its process."""
        return self.proxy.process.pid

    async def load(self, *kinds: Kind, total: int, at_once: int, **more: Any) -> Report:
        """Requests that must all be answered as they should be."""
        report = await played(Plan(self.port, list(kinds), total, at_once, **more))
        assert not report.wrong, report
        assert sum(report.ends.values()) == total, report
        return report

    async def direct(self, *kinds: Kind, total: int, at_once: int, **more: Any) -> Report:
        """The same without the server."""
        return await played(Plan(self.upstream, list(kinds), total, at_once, prefix="", **more))

    async def asked(self) -> int:
        """Requests that the upstream has got."""
        return int((await _json(f"http://127.0.0.1:{self.upstream}/counts"))["requests"])

    async def tasks(self) -> int:
        """Tasks of its event loop, after all that nobody holds was let go."""
        return len((await _json(f"{self.proxy.url}/__probe"))["tasks"])

    async def written(self, rows: int) -> None:
        """Wait until the ledger has a row for each of so many messages, and none that runs."""
        place = self.home / ".local" / "state" / "claude-code-proxy" / "ledger.db"
        async with asyncio.timeout(SETTLED):
            while _messages(place) != (rows, 0):  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # another process writes, and tells nobody

    def peak(self) -> int:
        """The most memory that it has had, in MiB."""
        return resident(self.pid)

    def memory(self) -> float:
        """The memory that it has, in MiB."""
        return held(self.pid)

    async def settled(self, most: int) -> None:
        """Wait until it has no more descriptors open than this."""
        async with asyncio.timeout(SETTLED):
            while descriptors(self.pid) > most:  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # nothing tells when


async def _json(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.json()


@asynccontextmanager
async def serving_load(home: Path, upstream: int, **env: str) -> AsyncIterator[Server]:
    """A server before this upstream."""
    own = {"OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1", "OPENAI_API_KEY": "canary-openai-key"}
    place = {"PYTHONPATH": str(TESTS)}
    async with serving(home, program=("uvicorn", "faults.served:app"), **own, **place, **env) as proxy:
        yield Server(proxy, upstream, home)


def _messages(place: Path) -> tuple[int, int]:
    """The requests for messages that a ledger has, and those of them that run."""
    with read(str(place)) as reader:
        return reader.total(Chosen()).requests, reader.total(Chosen(state="running")).requests


def dated(figure: str) -> str:
    """A figure with the day on which it was measured."""
    return f"{figure} ({datetime.now(UTC):%Y-%m-%d})"


def beside(ours: Report, direct: Report) -> str:
    """The delays of a load, beside those of the same load without the server."""
    return (
        f"first event {_pair(ours.first, direct.first, 'p50')}, {_pair(ours.first, direct.first, 'p99')};"
        f" each event {_pair(ours.delay, direct.delay, 'p50')}, {_pair(ours.delay, direct.delay, 'p99')}"
    )


def _pair(ours: dict[str, float], direct: dict[str, float], share: str) -> str:
    return f"{share} {ours[share]:.1f} ms (without us {direct[share]:.1f})"
