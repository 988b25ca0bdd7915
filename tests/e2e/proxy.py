"""Our own server, started as a user starts it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiohttp

from canaries import secrets_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
LONGEST_START = 30.0
LONGEST_STOP = 10.0
LONGEST_WAIT = 10.0
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Log:
    """Every line the server has printed, without colours."""

    lines: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    checked: int = 0

    async def pump(self, stream: asyncio.StreamReader) -> None:
        """Take lines until the server is gone."""
        while line := await stream.readline():
            self.lines.append(COLOURS.sub("", line.decode(errors="replace").rstrip("\n")))
            async with self.news:
                self.news.notify_all()

    async def until(self, part: str) -> list[str]:
        """Wait for a line that holds this, and give all that do."""

        def those() -> list[str]:
            return [line for line in self.lines if part in line]

        async with self.news:
            return await asyncio.wait_for(self.news.wait_for(those), LONGEST_WAIT)

    def keeps(self, env: Mapping[str, str]) -> None:
        """Fail if any secret of these variables was printed, ever."""
        for secret in secrets_of(env):
            assert not any(secret in line for line in self.lines), "a key is in the log"

    def check(self) -> None:
        """Fail if a traceback was printed since the last check."""
        fresh = self.lines[self.checked :]
        self.checked = len(self.lines)
        assert not any("Traceback" in line or "Exception Group" in line for line in fresh), "\n".join(fresh)


@dataclass(frozen=True)
class Proxy:
    """A running server."""

    url: str
    log: Log
    process: asyncio.subprocess.Process


class Start(Protocol):
    """Starts a server with these variables."""

    async def __call__(self, **env: str) -> Proxy: ...


@asynccontextmanager
async def serving(
    home: Path, *options: str, program: Sequence[str] = ("uvicorn", "server:app"), **env: str
) -> AsyncIterator[Proxy]:
    """Run the server with these variables and no others, and these options of its program, until the block ends."""
    port = _free_port()
    clean = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "CLAUDE_CODE_PROXY_ENV_FILE": "",  # a developer's own .env must not decide what is tested
        "PYTHONUNBUFFERED": "1",
        "UPSTREAM_RETRIES": "0",  # each answer of an upstream is tested as it is; test_attempts.py is about the retries
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *program, "--host", "127.0.0.1", "--port", str(port)),
        *options,
        cwd=ROOT,
        env=clean | env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    log = Log()
    pump = asyncio.create_task(log.pump(process.stdout))
    try:
        await asyncio.wait_for(_until_healthy(process, f"http://127.0.0.1:{port}", log), LONGEST_START)
        yield Proxy(f"http://127.0.0.1:{port}", log, process)
    finally:
        await _stop(process)
        await asyncio.wait_for(pump, LONGEST_STOP)
    log.keeps(env)
    log.check()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


async def _until_healthy(process: asyncio.subprocess.Process, url: str, log: Log) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            assert process.returncode is None, "\n".join(["the server did not start:", *log.lines])
            try:
                async with session.get(f"{url}/healthz") as response:
                    assert response.status == 200, (response.status, log.lines)
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)  # nobody listens yet, and nothing tells when


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), LONGEST_STOP)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
