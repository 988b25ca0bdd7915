"""Told to stop: what runs may end, or is ended properly (R-09); and a worker that dies alone (R-04)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from e2e.proxy import serving
from upstreams import Chat, Raw

from .line import HELLO, LONGEST, PATH, error, line, provider, request, status
from .processes import holders, workers_of
from .test_deadlines import LARGE, deaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from e2e.proxy import Proxy
    from upstreams import FakeChat, Recorded
    from upstreams.server import Op

    from .line import Line

pytestmark = pytest.mark.asyncio(loop_scope="session")

UVICORN, OURS = ("uvicorn", "server:app"), ("claude_code_proxy",)
PROGRAMS = pytest.mark.parametrize("program", [UVICORN, OURS], ids=["uvicorn", "ours"])
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
SAID = Chat("Hello there, how are you?", chunk=5)


def pausing(chat: FakeChat, seconds: float) -> Callable[[Recorded], Raw]:
    """A stream, or a whole answer, that takes so long in the middle."""

    def script(rec: Recorded) -> Raw:
        whole = chat.render(SAID, rec)
        if isinstance(whole, Raw):
            return Raw([("headers",), *whole.ops[:4], ("sleep", seconds), *whole.ops[4:]])
        return Raw([("silence",)])

    return script


@asynccontextmanager
async def streams(proxy: Proxy, chat: FakeChat, count: int) -> AsyncIterator[list[Line]]:
    """So many streams that have begun."""
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(proxy.url, request())) for _ in range(count)]
        async with asyncio.timeout(LONGEST):
            for one in lines:
                await one.reader.readuntil(b"Hello")
        await chat.arrival(count)
        yield lines


async def stopped(proxy: Proxy) -> int:
    return await asyncio.wait_for(proxy.process.wait(), LONGEST)


def ended(stream: bytes) -> bool:
    """Whether the chunks of a stream have their end."""
    return stream.endswith(b"\r\n0\r\n\r\n")


@SIGNALS
@PROGRAMS
@pytest.mark.fault("R-09")
async def test_what_can_end_in_time_ends(
    chat: FakeChat, tmp_path: Path, program: tuple[str, ...], number: signal.Signals
) -> None:
    chat.use(by=pausing(chat, 2))
    async with serving(tmp_path, program=program, **provider(chat)) as proxy, streams(proxy, chat, 20) as lines:
        proxy.process.send_signal(number)
        for one in lines:
            rest = await one.rest()
            assert b"event: message_stop" in rest
            assert ended(rest)
        assert await stopped(proxy) == 0


@SIGNALS
@PROGRAMS
@pytest.mark.fault("R-09")
async def test_what_cannot_is_told(
    chat: FakeChat, tmp_path: Path, program: tuple[str, ...], number: signal.Signals
) -> None:
    """A stream by its last event, what has not begun by its status; the upstreams are left."""
    chat.use(by=pausing(chat, 60))
    async with (
        serving(tmp_path, program=program, DRAIN_TIMEOUT="1", **provider(chat)) as proxy,
        streams(proxy, chat, 50) as lines,
        line(proxy.url, request(stream=False)) as whole,
        line(proxy.url, request(stream=False)[:-5]) as half,
    ):
        await chat.arrival(51)
        chat.use(Raw([("silence",)]))
        async with line(proxy.url, request()) as unbegun:
            await chat.arrival(1)
            proxy.process.send_signal(number)
            for one in lines:
                rest = await one.rest()
                assert rest.count(b"event: error") == 1
                assert b'"type":"overloaded_error"' in rest
                assert b"message_stop" not in rest
                assert ended(rest)
            for one in (whole, unbegun, half):
                answer = await one.rest()
                assert status(answer) == 503
                assert error(answer)["type"] == "overloaded_error"
                assert b"x-should-retry: true" in answer
                assert b"connection: close" in answer
        assert await stopped(proxy) == 0


@PROGRAMS
@pytest.mark.fault("R-09")
async def test_nothing_new_is_begun(chat: FakeChat, tmp_path: Path, program: tuple[str, ...]) -> None:
    """Who waits on an open connection is let go, and nobody listens any more."""
    chat.use(by=pausing(chat, 2))
    async with serving(tmp_path, program=program, **provider(chat)) as proxy, streams(proxy, chat, 1) as [running]:
        async with (
            line(proxy.url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as kept,
            line(proxy.url) as fresh,
        ):
            assert (await kept.answer())[0] == 200
            proxy.process.send_signal(signal.SIGTERM)
            assert await kept.rest() == b""
            assert await fresh.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            async with line(proxy.url):
                pass
        assert b"message_stop" in await running.rest()
        assert await stopped(proxy) == 0
    assert len(chat.posts) == 1


@SIGNALS
@PROGRAMS
@pytest.mark.fault("R-09")
async def test_the_second_time_at_once(
    chat: FakeChat, tmp_path: Path, program: tuple[str, ...], number: signal.Signals
) -> None:
    chat.use(by=pausing(chat, 60))
    async with serving(tmp_path, program=program, **provider(chat)) as proxy, streams(proxy, chat, 3) as lines:
        proxy.process.send_signal(number)
        await proxy.log.until("requests have 25 s to end")
        await asyncio.sleep(1)  # one that comes sooner is an echo
        assert proxy.process.returncode is None
        proxy.process.send_signal(number)
        for one in lines:
            assert ended(await one.rest())
        assert await stopped(proxy) == 0


async def test_a_signal_that_comes_twice_at_once_is_one(chat: FakeChat, tmp_path: Path) -> None:
    chat.use(by=pausing(chat, 2))
    async with serving(tmp_path, **provider(chat)) as proxy, streams(proxy, chat, 1) as [running]:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            proxy.process.send_signal(number)
            await asyncio.sleep(0.02)
        assert b"message_stop" in await running.rest()
        assert await stopped(proxy) == 0


async def test_one_that_does_not_read_holds_nobody_up(chat: FakeChat, tmp_path: Path) -> None:
    flood: list[Op] = [("raw", LARGE)]
    chat.use(Raw(flood * 1000))
    async with serving(tmp_path, DRAIN_TIMEOUT="1", **provider(chat)) as proxy:
        raw = deaf(proxy.url, request())
        try:
            await chat.arrival()
            await asyncio.sleep(1)
            proxy.process.send_signal(signal.SIGTERM)
            assert await stopped(proxy) == 0
        finally:
            raw.close()


async def test_uvicorns_own_limit_ends_streams_properly_too(chat: FakeChat, tmp_path: Path) -> None:
    chat.use(by=pausing(chat, 60))
    options = ("--timeout-graceful-shutdown", "1")
    async with serving(tmp_path, *options, **provider(chat)) as proxy, streams(proxy, chat, 5) as lines:
        proxy.process.send_signal(signal.SIGTERM)
        for one in lines:
            rest = await one.rest()
            assert b"event: error" in rest
            assert ended(rest)
        assert await stopped(proxy) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which worker serves whom")
async def test_a_worker_that_is_killed_takes_only_its_own(chat: FakeChat, tmp_path: Path) -> None:
    """Another takes its place, and all end properly when told to."""
    chat.use(by=pausing(chat, 4))
    async with serving(tmp_path, "--workers", "2", **provider(chat)) as proxy:
        workers = workers_of(proxy.process.pid)
        assert len(workers) == 2
        async with streams(proxy, chat, 20) as lines:
            proxy_port = int(proxy.url.rpartition(":")[2])
            ports = [one.writer.get_extra_info("sockname")[1] for one in lines]
            served = {port: holders(proxy_port, port, workers) for port in ports}
            victim = min(served[ports[0]])
            os.kill(victim, signal.SIGKILL)
            others = [one for one, port in zip(lines, ports, strict=True) if victim not in served[port]]
            for one in others:
                rest = await asyncio.wait_for(one.reader.readuntil(b"0\r\n\r\n"), LONGEST)
                assert b"event: message_stop" in rest
        async with asyncio.timeout(LONGEST):
            while len(workers_of(proxy.process.pid)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # nothing tells when
        chat.use(SAID)
        async with aiohttp.ClientSession() as session:
            for _ in range(10):
                async with session.post(proxy.url + PATH, json=HELLO | {"stream": True}) as got:
                    assert "message_stop" in await got.text()
        chat.use(by=pausing(chat, 2))
        async with streams(proxy, chat, 10) as lines:
            proxy.process.send_signal(signal.SIGTERM)
            for one in lines:
                assert b"event: message_stop" in await one.rest()
        assert await stopped(proxy) == 0
