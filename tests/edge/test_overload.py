"""More clients than there is room for (L-06 in small), and too few descriptors (R-07)."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.proxy import serving
from upstreams import Chat, Raw

from .line import LONGEST, line, provider, request
from .processes import PROC, busy

if TYPE_CHECKING:
    from pathlib import Path

    from upstreams import FakeChat, Recorded

    from .conftest import Started

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROOM = {"MAX_STREAMS": "5", "MAX_QUEUE": "3", "QUEUE_TIMEOUT": "1"}


@pytest.mark.fault("L-06")
async def test_what_there_is_no_room_for_comes_again(start: Started, chat: FakeChat) -> None:
    """Those inside notice nothing, nor does who asks how the proxy is; afterwards there is room again."""
    proxy = await start(**ROOM)
    go_on = asyncio.Event()

    async def waiting(_: Recorded) -> Chat:
        await go_on.wait()
        return Chat("Hello there")

    chat.use(by=waiting)
    async with AsyncExitStack() as stack:
        inside = [await stack.enter_async_context(line(proxy.url, request(stream=False))) for _ in range(5)]
        await chat.arrival(5)
        more = [await stack.enter_async_context(line(proxy.url, request())) for _ in range(40)]
        answers = [await one.answer() for one in more]
        health = await stack.enter_async_context(line(proxy.url))
        for path in (b"/healthz", b"/readyz", b"/"):
            health.writer.write(GET % path)
            assert (await health.answer())[0] == 200
        go_on.set()
        assert [(await one.answer())[0] for one in inside] == [200] * 5
    assert {code for code, _, _ in answers} == {529}
    for _, headers, body in answers:
        assert (headers["retry-after"], headers["x-should-retry"]) == ("2", "true")
        assert json.loads(body)["error"]["type"] == "overloaded_error"
    assert len(chat.posts) == 5
    async with line(proxy.url, request(stream=False)) as later:
        assert (await later.answer())[0] == 200


async def test_who_waits_a_little_is_served(start: Started, chat: FakeChat) -> None:
    proxy = await start(**ROOM | {"QUEUE_TIMEOUT": "20"})
    chat.use(by=chat.cut(Chat("Hello"), 0, ("sleep", 0.5), ("abort",)))
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(line(proxy.url, request()))
        await chat.arrival(5)
        chat.use(Chat("Hello there"))
        queued = await stack.enter_async_context(line(proxy.url, request(stream=False)))
        assert (await queued.answer())[0] == 200


@pytest.mark.fault("C-03")
async def test_who_leaves_the_queue_never_reaches_an_upstream(start: Started, chat: FakeChat) -> None:
    proxy = await start(**ROOM | {"QUEUE_TIMEOUT": "2"})
    chat.use(Raw([("silence",)]))
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(line(proxy.url, request()))
        await chat.arrival(5)
        async with line(proxy.url, request()) as leaving:
            await leaving.writer.drain()
    chat.use(Chat("Hello there"))
    async with line(proxy.url, request(stream=False)) as later:
        assert (await later.answer())[0] == 200
    assert len(chat.posts) <= 2  # it may have its turn in the moment in which it leaves


async def test_strangers_and_slow_clients_take_nobodys_place(start: Started, chat: FakeChat) -> None:
    proxy = await start(PROXY_API_KEY="canary-of-the-proxy", **ROOM)
    key = b"\r\nX-Api-Key: canary-of-the-proxy\r\n"
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(line(proxy.url, request()[:-5]))
            await stack.enter_async_context(line(proxy.url, request().replace(b"\r\n", key, 1)[:-5]))
        one = await stack.enter_async_context(line(proxy.url, request(stream=False).replace(b"\r\n", key, 1)))
        assert (await one.answer())[0] == 200
    assert len(chat.posts) == 1


@pytest.mark.fault("R-07")
async def test_more_connections_than_descriptors(chat: FakeChat, tmp_path: Path) -> None:
    """Those that have one are served, nothing runs wild, and with room all is as it was."""
    if not PROC.exists():
        pytest.skip("the use of the processor is read from /proc")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 1024)), hard))
    async with serving(tmp_path, **provider(chat)) as proxy:
        pid = proxy.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, hard))
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(line(proxy.url, request(stream=False)))
            assert (await first.answer())[0] == 200
            for _ in range(200):
                await stack.enter_async_context(line(proxy.url))
            before, began = busy(pid), time.monotonic()
            await asyncio.sleep(2)
            assert busy(pid) - before < 0.5 * (time.monotonic() - began)
            first.writer.write(GET % b"/healthz")
            assert (await first.answer())[0] == 200
        async with asyncio.timeout(LONGEST):
            while not await served(proxy.url):  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # nothing tells when
        proxy.log.checked = len(proxy.log.lines)  # the server tells that it could not accept


async def test_as_many_descriptors_as_streams_need(chat: FakeChat, tmp_path: Path) -> None:
    """Where a system allows 1024 unless it is asked, a thousand streams would be too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        async with serving(tmp_path, **provider(chat)) as proxy:
            allowed, _ = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert allowed >= min(4000, hard)


async def served(url: str) -> bool:
    """Whether a request is answered, and not dropped as it came too soon."""
    try:
        async with line(url, request(stream=False)) as one:
            return (await one.answer())[0] == 200
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
