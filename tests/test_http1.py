"""Our own reading of answers: what it makes of any framing is what aiohttp makes of it, and connections serve again."""

from __future__ import annotations

import asyncio
import gc
import gzip
import zlib
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_code_proxy.http1 import Incoming, Place
from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from claude_code_proxy.upstream import Upstream

SETTINGS = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "IDLE_TIMEOUT": "5"})
HEAD_END = b"\r\n\r\n"


class Server:
    """Answers each request with the same pieces of bytes; counts connections and requests."""

    def __init__(self, *pieces: bytes, then: str = "wait") -> None:
        self._pieces, self._then = pieces, then
        self.url, self.connections, self.heads = "", 0, list[bytes]()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/x"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(HEAD_END):
                self.heads.append(head)
                await reader.readexactly(4)
                for piece in self._pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._then == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def pools() -> AsyncGenerator[Pool]:
    pool = Pool(SETTINGS)
    try:
        yield pool
    finally:
        await pool.close()


async def told(ask: Callable[..., AsyncAnswer], url: str) -> tuple[object, ...]:
    """What is read of an answer, or that it failed."""
    try:
        upstream = await ask(url, b"body", {})
    except aiohttp.ClientError:
        return ("no head", "")
    try:
        body = b"".join([chunk async for chunk in upstream.chunks()])
    except ApiError as cause:
        return (upstream.answer, cause.failed)
    finally:
        upstream.close()
    return (upstream.answer, body)


if TYPE_CHECKING:
    from collections.abc import Awaitable

    AsyncAnswer = Awaitable[Upstream]


def chunked(parts: list[bytes], trailer: bytes) -> bytes:
    lines = [b"%x%b\r\n%b\r\n" % (len(part), b";a=b" * (n % 2), part) for n, part in enumerate(parts) if part]
    return b"".join(lines) + b"0\r\n" + trailer + b"\r\n"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED: dict[bytes, Callable[[bytes], bytes]] = {
    b"": bytes,
    b"content-encoding: identity\r\n": bytes,
    b"Content-Encoding: gzip\r\n": gzip.compress,
    b"content-encoding: deflate\r\n": zlib.compress,
    b"content-encoding: Deflate\r\n": raw_deflate,
}


@st.composite
def answers(draw: st.DrawFn, packed: bool) -> tuple[bytes, str, bytes | None]:  # noqa: FBT001
    """The bytes of an answer, perhaps cut, what follows them, and the body if it was not."""
    parts = draw(st.lists(st.binary(max_size=40), max_size=6))
    encoding = draw(st.sampled_from(sorted(name for name, pack in PACKED.items() if packed == (pack is not bytes))))
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    status = draw(st.sampled_from([b"200 OK", b"200", b"429 Too Many", b"500 \xe9"]))
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * draw(st.integers(0, 2))
    version = draw(st.sampled_from([b"1.1", b"1.0"])) if framing != "chunked" else b"1.1"
    more = draw(
        st.sampled_from([b"", b"connection: close\r\n", b"x-a: 1\r\nX-A: 2\r\n", b"x-e:\r\nx-u: \xc3\xa9\xff\r\n"])
    )
    pieces = [PACKED[encoding](b"".join(parts))] if packed else parts
    if framing == "length":
        body, how = b"".join(pieces), b"content-length: %d\r\n" % len(b"".join(pieces))
    elif framing == "chunked":
        body, how = chunked(pieces, draw(st.sampled_from([b"", b"x-t: 1\r\n"]))), b"Transfer-Encoding: chunked\r\n"
    else:
        body, how = b"".join(pieces), b""
    whole = interim + b"HTTP/%b %b\r\n%b%b%b\r\n" % (version, status, how, encoding, more) + body
    end = draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    cut = end < len(whole)
    return whole[:end], "close" if cut or framing == "close" else "wait", None if cut else b"".join(parts)


def in_pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cuts), len(raw)]
    return [raw[a:b] for a, b in pairwise(places) if raw[a:b]]


CUTS = st.lists(st.integers(0, 400), max_size=8)


@given(answers(packed=False), CUTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_answer_is_read_as_aiohttp_reads_it(answer: tuple[bytes, str, bytes | None], cuts: list[int]) -> None:
    raw, then, _ = answer

    async def both() -> list[tuple[object, ...]]:
        async with Server(*in_pieces(raw, cuts), then=then).running() as server, pools() as pool:
            return [await told(ask, server.url) for ask in (pool._asked, pool._asked_by_proxy)]

    ours, theirs = asyncio.run(both())
    assert ours == theirs


@given(answers(packed=True), CUTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_packed_answer_is_unpacked_or_not_whole(answer: tuple[bytes, str, bytes | None], cuts: list[int]) -> None:
    """aiohttp takes one that ends too early for a whole one, if it is packed by gzip."""
    raw, then, whole = answer

    async def one() -> tuple[object, ...]:
        async with Server(*in_pieces(raw, cuts), then=then).running() as server, pools() as pool:
            return await told(pool._asked, server.url)

    _, body = asyncio.run(one())
    assert body == whole if whole is not None else not isinstance(body, bytes) or body == b""


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"


async def asked(pool: Pool, server: Server, times: int = 2) -> None:
    for _ in range(times):
        async with pool.post(server.url, b"body", {}) as upstream:
            assert b"".join([chunk async for chunk in upstream.chunks()]) == b"ok"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (OK + b"\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", 1),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 2),
        (OK + b"connection: close\r\n\r\nok", 2),
        (OK + b"\r\nok" + OK + b"\r\nno", 2),  # an answer that nobody has asked for
        (OK + b"\r\nok!", 2),
    ],
)
async def test_a_connection_serves_again_if_nothing_is_amiss(answer: bytes, connections: int) -> None:
    async with Server(answer).running() as server, pools() as pool:
        await asked(pool, server)
        assert server.connections == connections


@pytest.mark.parametrize("answer", [OK + b"\r\nok", OK + b"\r\no", b"SSH-2.0\r\n"])
async def test_an_answer_is_no_garbage(answer: bytes) -> None:
    """What refers to itself stays until the garbage is collected."""
    gc.collect()
    gc.disable()
    try:
        async with Server(answer, then="close").running() as server, pools() as pool:
            for _ in range(3):
                await told(pool._asked, server.url)
            left = [one for one in gc.get_objects() if isinstance(one, Incoming)]
        assert not left
    finally:
        gc.enable()


async def test_an_answer_before_the_request_is_sent_leaves_no_connection() -> None:
    """What is left of the body would be read as the beginning of the next request."""

    connections, over = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(HEAD_END)
        writer.write(OK + b"\r\nok")
        await over.wait()
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 16)
    host, port = running.sockets[0].getsockname()[:2]
    async with running, pools() as pool:
        for _ in range(2):
            async with pool.post(f"http://{host}:{port}/", bytes(64 << 20), {}) as upstream:
                assert b"".join([chunk async for chunk in upstream.chunks()]) == b"ok"
        over.set()
    assert connections == 2


async def test_what_nobody_reads_waits_at_the_upstream() -> None:
    """And silence that is ours is not held against it."""
    pool, sent = Pool(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "IDLE_TIMEOUT": "0.4"})), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(HEAD_END)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size := 96 << 20))
        while sent < size:
            writer.write(bytes(1 << 20))
            sent += 1 << 20
            await writer.drain()
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = running.sockets[0].getsockname()[:2]
    async with running:
        upstream = await pool.send(f"http://{host}:{port}/", b"body", {})
        await asyncio.sleep(1)
        assert sent < 64 << 20
        read = 0
        async for chunk in upstream.chunks():
            read += len(chunk)
        upstream.close()
        await pool.close()
    assert read == 96 << 20


@pytest.mark.parametrize("value", ["a\r\nx-b: c", "a\nb", "a\rb", "a\0b"])
async def test_a_header_cannot_begin_another(value: str) -> None:
    place = Place("http://127.0.0.1/x", {})
    with pytest.raises(ValueError, match="line break"):
        place.head({"x-a": value}, 0)
    with pytest.raises(ValueError, match="line break"):
        place.head({value: "x"}, 0)


@pytest.mark.parametrize(
    ("url", "first", "host"),
    [
        ("http://a.test/x", "POST /x HTTP/1.1", "a.test"),
        ("https://a.test:443/x", "POST /x HTTP/1.1", "a.test"),
        ("http://a.test:8080", "POST / HTTP/1.1", "a.test:8080"),
        ("http://[::1]:80/a b?c=d e", "POST /a%20b?c=d+e HTTP/1.1", "[::1]"),
        ("https://a.test/models/x:y?alt=sse#z", "POST /models/x:y?alt=sse HTTP/1.1", "a.test"),
    ],
)
async def test_a_head_is_what_aiohttp_would_send(url: str, first: str, host: str) -> None:
    place = Place(url, {"accept-encoding": "identity", "content-type": "application/json"})
    line, *lines, _, _ = place.head({"X-Api-Key": "k", "Content-Type": "text/x"}, 3).decode().split("\r\n")
    assert line == first
    assert sorted(lines) == [
        "accept-encoding: identity",
        "accept: */*",
        "content-length: 3",
        "content-type: text/x",
        f"host: {host}",
        "x-api-key: k",
    ]


async def test_a_user_in_the_address_is_a_credential() -> None:
    place = Place("http://u:p@a.test/x", {})
    assert b"authorization: Basic dTpw\r\n" in place.head({}, 0)
