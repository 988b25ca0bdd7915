"""The log on standard error, and who reads it."""

from __future__ import annotations

import asyncio
import fcntl
import io
import logging
import os
import re
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest

from claude_code_proxy import log
from claude_code_proxy.cli.ports import free_port
from claude_code_proxy.log import Lines

from .terminal import LONGEST, PROGRAM, clean, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SMALLEST = 4096
"""Bytes that the smallest pipe of Linux holds."""

CTRL_S, CTRL_Q = b"\x13", b"\x11"
"""What holds a terminal, and lets it go on."""

REFUSED = {"content-type": "application/json"}


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, SMALLEST)
    yield ends
    for end in ends:
        os.close(end)


@asynccontextmanager
async def served(home: Path, stderr: int) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A server whose standard error is this, once it answers."""
    port = free_port()
    words = ("--port", str(port))
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, cwd=home, env=clean(home), stdin=asyncio.subprocess.DEVNULL, stderr=stderr
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(LONGEST), aiohttp.ClientSession() as client:
            while True:
                try:
                    async with client.get(f"{url}/healthz"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield url, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def read(end: int, until: str) -> str:
    """What comes out of a pipe, up to the line that holds this."""
    said = b""
    os.set_blocking(end, False)
    async with asyncio.timeout(LONGEST):
        while not re.search(f"{until}.*\n".encode(), said):
            with suppress(BlockingIOError):
                said += os.read(end, 1 << 16)
            await asyncio.sleep(0.01)
    return said.decode()


@pytest.mark.fault("R-19")
async def test_a_log_that_nobody_reads_holds_up_no_answer(tmp_path: Path, pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    ids = []
    async with served(tmp_path, theirs) as (url, process), aiohttp.ClientSession() as client:
        for _ in range(SMALLEST // 20):
            async with client.post(f"{url}/v1/messages", data=b"{}", headers=REFUSED) as answer:
                assert answer.status == 400
                ids.append(answer.headers["request-id"])
        said = await read(ours, ids[-1])
        assert re.findall(r"req_\w+", said) == ids
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LONGEST) == 0


@pytest.mark.fault("R-19")
async def test_nor_does_a_terminal_that_is_held(tmp_path: Path) -> None:
    async with session("--port", "0", env=clean(tmp_path), cwd=tmp_path) as shell, aiohttp.ClientSession() as client:
        url = (await shell.until(r"Claude Code Proxy on (http://127\.0\.0\.1:\d+)"))[1]
        await shell.until(r" claude\n")
        shell.press(CTRL_S)
        ids = []
        for _ in range(20):
            async with client.post(f"{url}/v1/messages", data=b"{}", headers=REFUSED) as answer:
                ids.append(answer.headers["request-id"])
        assert "req_" not in shell.screen
        shell.press(CTRL_Q)
        await shell.until(ids[-1])
        assert re.findall(r"req_\w+", shell.screen) == ids


@pytest.mark.fault("R-19")
async def test_nor_the_end(tmp_path: Path, pipe: tuple[int, int]) -> None:
    async with served(tmp_path, pipe[1]) as (url, process), aiohttp.ClientSession() as client:
        for _ in range(SMALLEST // 20):
            async with client.post(f"{url}/v1/messages", data=b"{}", headers=REFUSED) as answer:
                assert answer.status == 400
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), LONGEST) == 0


async def test_the_last_lines_are_written_before_the_end(tmp_path: Path, pipe: tuple[int, int]) -> None:
    async with served(tmp_path, pipe[1]) as (url, process), aiohttp.ClientSession() as client:
        async with client.post(f"{url}/v1/messages", data=b"{}", headers=REFUSED) as answer:
            id = answer.headers["request-id"]  # noqa: A001
        process.terminate()
        await asyncio.wait_for(process.wait(), LONGEST)
        assert id in await read(pipe[0], id)


@pytest.fixture
def told(pipe: tuple[int, int]) -> Iterator[logging.Logger]:
    """A logger that writes to the pipe, as the package's own does."""
    logger = logging.getLogger("claude_code_proxy")
    with os.fdopen(os.dup(pipe[1]), "w", encoding="utf-8") as stream:
        handler = Lines(stream)
        logger.addHandler(handler)
        yield logger
        logger.removeHandler(handler)
        handler.flush()


async def test_what_was_left_out_is_counted(
    told: logging.Logger, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST", 20)
    for number in range(100):
        told.warning("line %d %s", number, "x" * SMALLEST)
    said = await read(pipe[0], "are missing")
    lines = [int(number) for number in re.findall(r"^line (\d+)", said, re.MULTILINE)]
    missing = int(re.findall(r"(\d+) lines are missing", said)[0])
    assert len(lines) + missing == 100
    assert lines == sorted(lines)
    assert missing >= 70


def test_whoever_reads_may_go() -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        handler = Lines(stream)
        os.close(ours)
        for _ in range(2):
            handler.handle(logging.makeLogRecord({"msg": "nobody hears this"}))
            handler.flush()
            assert not handler._waiting


def test_a_stream_without_a_file_is_written_to() -> None:
    stream = io.StringIO()
    handler = Lines(stream)
    handler.handle(logging.makeLogRecord({"msg": "said"}))
    handler.flush()
    assert stream.getvalue() == "said\n"


def test_what_cannot_be_encoded_is_spelled_out(pipe: tuple[int, int]) -> None:
    with os.fdopen(os.dup(pipe[1]), "w", encoding="ascii") as stream:
        handler = Lines(stream)
        handler.handle(logging.makeLogRecord({"msg": "a → b \udc80"}))
        handler.flush()
    assert os.read(pipe[0], 100) == b"a \\u2192 b \\udc80\n"
