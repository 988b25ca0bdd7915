"""Clients that leave, at every moment and in great numbers (C-01 to C-07, C-09), or vanish (C-10)."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from upstreams import Call, Chat, Raw

from .line import HELLO, LONGEST, healthy_clients, line, request
from .processes import PROC, descriptors, resident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from e2e.proxy import Proxy
    from upstreams import FakeChat, Recorded
    from upstreams.server import Op

    from .conftest import Started

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOON = 1.0  # seconds; the promise that is tested
TOOLS = {"tools": [{"name": "Read", "input_schema": {"type": "object"}}]}
CALL = Chat("Hello there", tool_calls=[Call("Read", '{"path":"/a/very/long/path/to/a/file"}')], chunk=5)


@pytest_asyncio.fixture(loop_scope="session")
async def quiet(start: Started) -> AsyncIterator[Proxy]:
    """A server whose log has no word of an error afterwards."""
    proxy = await start()
    seen = len(proxy.log.lines)
    yield proxy
    fresh = proxy.log.lines[seen:]
    assert not [told for told in fresh if re.search("ERROR|never retrieved|Traceback", told)]


@pytest.mark.parametrize("manner", ["close", "half-close", "abort"])
@pytest.mark.parametrize("part", [1, 40, 150, -1])
@pytest.mark.fault("C-01", "C-02")
async def test_in_the_middle_of_a_request(quiet: Proxy, chat: FakeChat, part: int, manner: str) -> None:
    async with healthy_clients(quiet.url, chat, 1), line(quiet.url, request(stream=False)[:part]) as leaving:
        await leaving.writer.drain()
        if manner == "half-close":
            leaving.writer.write_eof()
            await leaving.rest()
        elif manner == "close":
            leaving.writer.close()
    assert all(rec.json["stream"] for rec in chat.posts)  # those of the healthy only


@pytest.mark.fault("C-09")
async def test_half_a_close_is_a_close(quiet: Proxy, chat: FakeChat) -> None:
    """A client that will send no more is taken for one that has left, by uvicorn."""
    chat.use(Raw([("silence",)]))
    async with line(quiet.url, request()) as leaving:
        rec = await chat.arrival()
        await rec.until_silent()
        left = time.monotonic()
        leaving.writer.write_eof()
        assert await rec.until_left() - left < SOON


@pytest.mark.fault("C-05")
async def test_in_the_middle_of_a_call(quiet: Proxy, chat: FakeChat) -> None:
    chat.use(by=lambda rec: Raw([("headers",), *whole(chat, rec)[:-4], ("silence",)]))
    async with line(quiet.url, request(HELLO | TOOLS)) as leaving:
        await asyncio.wait_for(leaving.reader.readuntil(b"input_json_delta"), LONGEST)
        rec = await chat.arrival()
        await rec.until_silent()
        left = time.monotonic()
    assert await rec.until_left() - left < SOON


@pytest.mark.fault("C-05")
async def test_after_the_end(quiet: Proxy, chat: FakeChat) -> None:
    async with line(quiet.url, request()) as leaving:
        await asyncio.wait_for(leaving.reader.readuntil(b"message_stop"), LONGEST)
    assert (await chat.arrival()).left is None


def whole(chat: FakeChat, rec: Recorded) -> Sequence[Op]:
    """The writes of a stream with a call."""
    rendered = chat.render(CALL, rec)
    assert isinstance(rendered, Raw)
    return rendered.ops


@pytest.mark.skipif(not PROC.exists(), reason="descriptors and memory are read from /proc")
@pytest.mark.fault("C-07")
async def test_a_storm_of_them(quiet: Proxy, chat: FakeChat) -> None:
    """Two thousand, a hundred at a time, each at a moment of its own: nothing is left of them."""
    chance = random.Random(7)

    def slow(rec: Recorded) -> Raw:
        rendered = chat.render(CALL, rec)
        said = rendered.ops if isinstance(rendered, Raw) else ()
        return Raw([("sleep", 0.1), *said[:4], ("sleep", 0.1), *said[4:-4], ("silence",)])

    chat.use(by=slow)
    pid = quiet.process.pid

    async def come_and_go() -> None:
        for _ in range(20):
            sent = request(stream=chance.random() < 0.7)
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                async with line(quiet.url, sent[: chance.choice((10, 100, -5, None, None, None))]) as leaving:
                    async with asyncio.timeout(chance.uniform(0.0, 0.4)):
                        await leaving.reader.readuntil(b"never")

    await come_and_go()
    before, memory = descriptors(pid), resident(pid)
    await asyncio.gather(*(come_and_go() for _ in range(100)))
    async with asyncio.timeout(LONGEST):
        while descriptors(pid) > before + 5:  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # nothing tells when
        while not all(rec.over.is_set() for rec in chat.requests):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert resident(pid) - memory < 40
    chat.use(Chat("Hello there"))
    async with line(quiet.url, request(stream=False)) as later:
        assert (await later.answer())[0] == 200


@pytest.mark.skipif(sys.platform != "linux", reason="what the system offers differs")
@pytest.mark.fault("C-10")
async def test_one_that_vanishes_is_noticed_by_the_system(start: Started, chat: FakeChat) -> None:
    """Which is asked to look: there is no timer of ours that could tell."""
    proxy = await start(WRITE_TIMEOUT="40")
    async with line(proxy.url, request(stream=False)) as kept:
        assert (await kept.answer())[0] == 200
        port, client = int(proxy.url.rpartition(":")[2]), kept.writer.get_extra_info("sockname")[1]
        table = (PROC / "net" / "tcp").read_text("utf-8")
    rows = [row.split() for row in table.splitlines()]
    [row] = [row for row in rows if row[1].endswith(f":{port:04X}") and row[2].endswith(f":{client:04X}")]
    timer, expires = row[5].split(":")
    assert len(chat.posts) == 1
    assert timer == "02"  # the kernel's number for its keep-alive
    assert 0 < int(expires, 16) <= 1000  # hundredths of a second: 40 s, in quarters
