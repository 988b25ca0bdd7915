"""Clients that are slow, silent, or do not read (C-08, C-11 to C-13)."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from upstreams import Chat, Raw

from .line import HEAD, LONGEST, PATH, error, healthy_clients, line, request, status

if TYPE_CHECKING:
    from e2e.proxy import Proxy
    from upstreams import FakeChat
    from upstreams.server import Op

    from .conftest import Started

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHORT = {
    "HEAD_TIMEOUT": "1",
    "BODY_TIMEOUT": "1",
    "BODY_TOTAL_TIMEOUT": "2",
    "WRITE_TIMEOUT": "1.5",
    "KEEP_ALIVE_TIMEOUT": "1.5",
}
POST = b"POST " + PATH.encode() + b" HTTP/1.1\r\n" + HEAD
PARSERS = pytest.mark.parametrize("parser", ["httptools", "h11"])


async def short(start: Started, parser: str = "httptools") -> Proxy:
    return await start("--http", parser, **SHORT)


# what is sent at once, what then comes byte by byte, and the status of the answer, 0 for none
SLOW: dict[str, tuple[bytes, bytes, int]] = {
    "nothing": (b"", b"", 0),
    "half a head": (b"GET / HTTP/1.1\r\nHost: loc", b"", 408),
    "a head, byte by byte": (b"", b"GET / HTTP/1.1\r\nX: " + b"x" * 1000, 408),
    "blank lines": (b"", b"\r\n" * 1000, 408),
    "no body": (POST + b"Content-Length: 10\r\n\r\n", b"", 408),
    "half a body": (POST + b"Content-Length: 10\r\n\r\n{", b"", 408),
    "a body, byte by byte": (POST + b"Content-Length: 5000\r\n\r\n", b" " * 1000, 408),
    "half a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{", b"", 408),
    "a second head": (b"GET / HTTP/1.1\r\n" + HEAD + b"\r\nGET ", b"/" * 1000, 200),
    "more of a body than anyone wanted": (POST + b"Content-Length: 40000000\r\n\r\n", b" " * 1000, 413),
}


@PARSERS
@pytest.mark.parametrize("case", SLOW)
@pytest.mark.fault("C-11", "C-12", "C-13")
async def test_a_slow_client_is_cut_off(start: Started, chat: FakeChat, case: str, parser: str) -> None:
    at_once, slowly, expected = SLOW[case]
    proxy = await short(start, parser)
    async with healthy_clients(proxy.url, chat), line(proxy.url, at_once) as slow:
        dripping = asyncio.create_task(slow.drip(slowly, 0.05))
        answer = await slow.rest()
        dripping.cancel()
    if (case, parser) == ("blank lines", "h11"):
        expected = 400  # which takes none
    assert status(answer) == expected
    if expected == 408:
        assert error(answer)["type"] == "timeout_error"


@pytest.mark.parametrize(
    ("at_once", "slowly"),
    [(b"2;", b"x" * 1000), (b"2\r\n{}\r\n0\r\nX: ", b"x" * 1000)],
    ids=["a chunk's extension", "a trailer"],
)
async def test_so_is_one_that_sends_what_is_no_body(start: Started, at_once: bytes, slowly: bytes) -> None:
    proxy = await short(start)
    async with line(proxy.url, POST + b"Transfer-Encoding: chunked\r\n\r\n" + at_once) as slow:
        dripping = asyncio.create_task(slow.drip(slowly, 0.05))
        answer = await slow.rest()
        dripping.cancel()
    assert status(answer) == 408


async def test_a_client_that_takes_its_time_within_the_limits_is_served(start: Started, chat: FakeChat) -> None:
    proxy = await short(start)
    sent = request(stream=False)
    head, body = sent[: -len(sent.partition(b"\r\n\r\n")[2])], sent.partition(b"\r\n\r\n")[2]
    async with line(proxy.url) as slow:
        for part in (head[:20], head[20:], body[:5], body[5:10], body[10:]):
            slow.writer.write(part)
            await asyncio.sleep(0.3)
        assert (await slow.answer())[0] == 200
    assert len(chat.posts) == 1


@pytest.mark.usefixtures("chat")
@pytest.mark.fault("C-12")
async def test_a_kept_connection_is_given_up(start: Started) -> None:
    proxy = await short(start)
    async with line(proxy.url, request(stream=False)) as kept:
        assert (await kept.answer())[0] == 200
        kept.writer.write(request(stream=False))
        assert (await kept.answer())[0] == 200
        assert await kept.rest() == b""


async def test_a_stream_that_is_silent_for_longer_than_any_client_may_be(start: Started, chat: FakeChat) -> None:
    proxy = await short(start)
    chat.use(by=chat.cut(Chat("Hello there", chunk=5), 4, ("sleep", 4), ("silence",)))
    async with line(proxy.url, request()) as waiting:
        await asyncio.wait_for(waiting.reader.readuntil(b"Hello"), LONGEST)
        rec = await chat.arrival()
        await rec.until_silent()
        assert not waiting.reader.at_eof()
        assert not rec.over.is_set()
    await rec.until_left()


def deaf(url: str, sent: bytes) -> socket.socket:
    """A connection whose client reads nothing, and whose system holds little."""
    host, port = url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((host, int(port)))
    raw.sendall(sent)
    return raw


KERNELS = 96 << 20  # bytes that the systems on the way may hold, at each end of two connections; a flood has far more
LARGE = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)


@PARSERS
@pytest.mark.fault("C-08")
async def test_one_that_does_not_read_a_flood(start: Started, chat: FakeChat, parser: str) -> None:
    """The flood stops where the client stops, and in time its upstream is left."""
    proxy = await short(start, parser)
    flood: list[Op] = [("raw", LARGE)]
    chat.use(Raw(flood * 4000))
    raw = deaf(proxy.url, request())
    try:
        rec = await chat.arrival()
        await rec.until_left()
        assert 0 < len(rec.sent) < KERNELS
    finally:
        raw.close()


@pytest.mark.fault("C-08")
async def test_one_that_does_not_read_a_whole_answer(start: Started, chat: FakeChat) -> None:
    """Its connection is not kept for ever, though the server is done with it."""
    proxy = await short(start)
    chat.use(Chat("x" * 20_000_000))
    raw = deaf(proxy.url, request(stream=False).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
    try:
        await (await chat.arrival()).over.wait()
        got = await asyncio.wait_for(asyncio.to_thread(_late_reading, raw, 6.0), LONGEST)
    finally:
        raw.close()
    assert got < 20_000_000


def _late_reading(raw: socket.socket, after: float) -> int:
    """How much is there to be read after some time, in which the server has closed."""
    time.sleep(after)
    raw.settimeout(LONGEST)
    got = 0
    try:
        while part := raw.recv(1 << 20):
            got += len(part)
    except ConnectionError:
        pass
    return got


@pytest.mark.fault("C-13")
async def test_a_slow_reader_that_reads_is_served(start: Started, chat: FakeChat) -> None:
    proxy = await short(start)
    chat.use(Chat("x" * 1_000_000))
    raw = deaf(proxy.url, request(stream=False))
    raw.setblocking(False)  # noqa: FBT003
    loop, got = asyncio.get_running_loop(), b""
    try:
        async with asyncio.timeout(LONGEST):
            while not got.endswith(b"}"):
                got += await loop.sock_recv(raw, 100_000)
                await asyncio.sleep(0.02)
    finally:
        raw.close()
    assert b"x" * 1_000_000 in got


@pytest.mark.fault("L-08", "C-11")
async def test_a_thousand_slow_clients(start: Started, chat: FakeChat) -> None:
    """Every kind of them at once, beside twenty good ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        proxy = await start(HEAD_TIMEOUT="4", BODY_TIMEOUT="4")
        kinds = [sent for sent, slowly, _ in SLOW.values() if not slowly]
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(healthy_clients(proxy.url, chat, 20))
            slow = [await stack.enter_async_context(line(proxy.url, kinds[i % len(kinds)])) for i in range(1000)]
            answers = await asyncio.gather(*(one.rest() for one in slow))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {status(answer) for answer in answers} <= {0, 408}
    assert len(answers) == 1000
