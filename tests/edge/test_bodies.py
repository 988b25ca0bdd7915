"""Bodies of every wrong kind and size (C-17 to C-21, C-25), and many large ones at once (R-08)."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Chat

from .line import HEAD, HELLO, LONGEST, PATH, error, healthy_clients, line, request, said, status
from .processes import PROC, resident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2e.proxy import Proxy
    from upstreams import FakeChat

    from .conftest import Started

pytestmark = pytest.mark.asyncio(loop_scope="session")

POST = f"POST {PATH} HTTP/1.1\r\n".encode() + HEAD
MOST = 32 << 20


def body(**fields: Any) -> bytes:
    return json.dumps(HELLO | fields).encode()


def with_raw(name: str, value: bytes) -> bytes:
    """A request with a field whose JSON is written by hand."""
    return body()[:-1] + b', "%b": %b}' % (name.encode(), value)


def text(value: bytes) -> bytes:
    """A request with a text whose JSON is written by hand."""
    return body(messages=[{"role": "user", "content": "HERE"}]).replace(b'"HERE"', b'"%b"' % value)


def deep(depth: int) -> bytes:
    return text(b"x").replace(b'"x"', b'[{"type":"text","text":"x","y":%b}]' % (b"[" * depth + b"]" * depth))


ODD: dict[str, tuple[bytes, set[int]]] = {
    "a raw NUL": (text(b"a\0b"), {400}),
    "an escaped NUL": (text(b"a\\u0000b"), {200}),
    "invalid UTF-8": (text(b"\xff"), {400}),
    "an overlong form": (text(b"\xc0\xaf"), {400}),
    "half a pair": (text(b"a \\ud83d"), {200}),
    "the other half": (text(b"\\ude00 b"), {200}),
    "a byte order mark": (b"\xef\xbb\xbf" + body(), {200, 400}),
    "garbage behind": (body() + b"x", {400}),
    "a second document": (body() + body(), {400}),
    "cut off": (body()[:-3], {400}),
    "nothing": (b"", {400}),
    "blanks": (b"   ", {400}),
    "NaN": (with_raw("temperature", b"NaN"), {400}),
    "Infinity": (with_raw("temperature", b"Infinity"), {400}),
    "1e999": (with_raw("temperature", b"1e999"), {200, 400}),
    "5,000 digits": (with_raw("top_k", b"9" * 5000), {200, 400}),
    "2^70": (with_raw("top_k", b"1180591620717411303424"), {200, 400}),
    "a comment": (body().replace(b"{", b"{/**/", 1), {400}),
    "a comma too many": (body()[:-1] + b",}", {400}),
    "the model twice": (with_raw("model", b'"other"'), {200, 400}),
    "201 deep": (deep(201), {200, 400}),
    "5,000 deep": (deep(5_000), {200, 400}),
    "100,000 deep": (deep(100_000), {400}),
    "a million numbers": (body(messages=[{"role": "user", "content": [1] * 1_000_000}]), {400}),
    "20,000 messages": (body(messages=[{"role": "user", "content": "x"}] * 20_000), {200, 400}),
    "1,000 tools": (
        body(tools=[{"name": f"t{i}", "input_schema": {"type": "object"}} for i in range(1000)]),
        {200, 400},
    ),
    "30 MB of escapes": (text(b"\\u00e9" * 5_000_000), {400}),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.fault("C-17", "C-18")
async def test_odd_bodies(start: Started, chat: FakeChat, case: str) -> None:
    raw, expected = ODD[case]
    proxy = await start()
    async with healthy_clients(proxy.url, chat, 2), line(proxy.url, request(raw)) as sent:
        code, _, answer = await sent.answer()
    assert code in expected, answer[:500]
    if code == 400:
        assert json.loads(answer)["error"]["type"] == "invalid_request_error"
    proxy.log.check()


@pytest.mark.parametrize("parser", ["httptools", "h11"])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("size", [MOST + 1, 40 << 20, 9 * MOST, 10**17])
@pytest.mark.fault("C-20")
async def test_a_length_that_is_too_large_is_refused_at_once(
    start: Started, size: int, expect: bytes, parser: str
) -> None:
    """Before a byte of it came, and without asking for it."""
    proxy = await start("--http", parser)
    async with line(proxy.url, POST + expect + b"Content-Length: %d\r\n\r\n" % size) as raw:
        code, headers, answer = await raw.answer()
        assert (code, json.loads(answer)["error"]["type"]) == (413, "request_too_large")
        assert (headers.get("connection") == "close") == bool(expect)


@pytest.mark.usefixtures("chat")
async def test_a_client_that_is_told_to_go_on_is_served(start: Started) -> None:
    proxy = await start()
    head, _, content = request(stream=False).replace(HEAD, HEAD + b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    async with line(proxy.url, head + b"\r\n\r\n") as raw:
        assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.writer.write(content)
        assert (await raw.answer())[0] == 200


@pytest.mark.parametrize("parser", ["httptools", "h11"])
async def test_what_follows_a_refusal_is_thrown_away(start: Started, chat: FakeChat, parser: str) -> None:
    """A client that sends it all before it reads comes to read the answer, and may ask again."""
    proxy = await start("--http", parser)
    async with line(proxy.url, POST + b"Content-Length: %d\r\n\r\n" % (MOST + (1 << 20))) as raw:
        for _ in range(33):
            raw.writer.write(b"x" * (1 << 20))
            await raw.writer.drain()
        assert (await raw.answer())[0] == 413
        raw.writer.write(request(stream=False))
        assert (await raw.answer())[0] == 200
    assert len(chat.posts) == 1


async def chunked(size: int) -> AsyncIterator[bytes]:
    yield POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for _ in range(size >> 20):
        yield b"100000\r\n" + b" " * (1 << 20) + b"\r\n"


@pytest.mark.skipif(not PROC.exists(), reason="memory is measured by /proc")
@pytest.mark.fault("C-20")
async def test_chunks_without_end(start: Started, chat: FakeChat) -> None:
    proxy = await start()
    before = resident(proxy.process.pid)
    async with healthy_clients(proxy.url, chat, 2), line(proxy.url) as raw:
        async for part in chunked(200 << 20):
            raw.writer.write(part)
            await raw.writer.drain()
        assert (await raw.answer())[0] == 413
    assert resident(proxy.process.pid) - before < 100


LIES: dict[str, tuple[bytes, bytes]] = {
    "shorter than it says": (b"Content-Length: 5000\r\n", body()),
    "longer than it says": (b"Content-Length: 5\r\n", body()),
    "no length": (b"", body()),
    "an empty chunk": (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
}


@pytest.mark.parametrize("case", LIES)
@pytest.mark.fault("C-20", "C-16")
async def test_lies_about_the_length(start: Started, chat: FakeChat, case: str) -> None:
    head, content = LIES[case]
    proxy = await start(BODY_TIMEOUT="1", HEAD_TIMEOUT="1")
    answer = await said(proxy.url, POST + head + b"Connection: close\r\n\r\n" + content)
    assert status(answer) in {400, 408, 0}
    assert chat.posts == []


ENCODED: dict[str, bytes] = {
    "gzip": gzip.compress(body()),
    "deflate": zlib.compress(body()),
    "br": b"\x0b\x02\x80",
    "zstd": b"\x28\xb5\x2f\xfd",
    "gzip, gzip": gzip.compress(gzip.compress(body())),
    "x-gzip": gzip.compress(b"0" * 50_000_000),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.fault("C-21", "C-22", "C-23", "C-24")
async def test_nothing_is_unpacked(start: Started, chat: FakeChat, encoding: str) -> None:
    proxy = await start()
    sent = request(ENCODED[encoding]).replace(HEAD, HEAD + f"Content-Encoding: {encoding}\r\n".encode())
    async with line(proxy.url, sent) as raw:
        code, _, answer = await raw.answer()
    assert code in {400, 415}
    assert b"compressed" in answer
    assert chat.posts == []


TYPES = [
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=" + "-" * 60_000),
    *("TEXT/PLAIN;charset=utf-8", "multipart/form-data"),
]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: str(kind)[:30])
@pytest.mark.fault("C-25")
async def test_what_a_form_can_send_is_refused(start: Started, chat: FakeChat, kind: str) -> None:
    proxy = await start()
    sent = request(body()).replace(b"application/json", kind.encode())
    async with line(proxy.url, sent) as raw:
        code, _, answer = await raw.answer()
    assert code == 415
    assert b"application/json" in answer
    assert chat.posts == []


@pytest.mark.skipif(not PROC.exists(), reason="memory is measured by /proc")
@pytest.mark.fault("R-08")
async def test_many_large_bodies_at_once_are_bounded(start: Started, chat: FakeChat) -> None:
    """A hundred of 8 MB where 32 MB may be held: those that fit are served, the others come again."""
    proxy = await start(BODY_MEMORY_MIB="32")
    content = body(messages=[{"role": "user", "content": "x" * (8 << 20)}])
    sent = request(content, path="/openai:house-model-7b/v1/messages")
    chat.use(Chat("Read it all."))
    before = resident(proxy.process.pid)

    async def ask() -> tuple[int, dict[str, str], bytes]:
        async with line(proxy.url, sent) as raw:
            return await raw.answer()

    answers = await asyncio.gather(*(ask() for _ in range(100)))
    codes = [code for code, _, _ in answers]
    assert set(codes) <= {200, 529}
    assert codes.count(200) >= 4 - 1
    for code, headers, answer in answers:
        if code == 529:
            assert (headers["retry-after"], headers["x-should-retry"]) == ("2", "true")
            assert json.loads(answer)["error"]["type"] == "overloaded_error"
    assert resident(proxy.process.pid) - before < 300
    assert (await ask())[0] == 200


@pytest.mark.fault("R-08", "L-02")
async def test_bodies_are_let_go_when_the_answer_has_begun(start: Started, chat: FakeChat) -> None:
    """However long it takes to its end: of five that run at once only one would fit."""
    proxy: Proxy = await start(BODY_MEMORY_MIB="1")
    large = request(
        body(messages=[{"role": "user", "content": "x" * 700_000}], stream=True),
        path="/openai:house-model-7b/v1/messages",
    )
    chat.use(by=chat.cut(Chat("Hello there", chunk=5), 3, ("silence",)))
    async with AsyncExitStack() as stack:
        for _ in range(5):
            one = await stack.enter_async_context(line(proxy.url, large))
            begun = await asyncio.wait_for(one.reader.readuntil(b"content_block_delta"), LONGEST)
            assert begun.startswith(b"HTTP/1.1 200")
    assert len(chat.posts) == 5


@pytest.mark.fault("R-08")
async def test_one_that_is_not_served_for_memory_is_served_later(start: Started, chat: FakeChat) -> None:
    """What is held is let go, also by those that were refused or left."""
    proxy: Proxy = await start(BODY_MEMORY_MIB="1")
    large = request(
        body(messages=[{"role": "user", "content": "x" * 700_000}]), path="/openai:house-model-7b/v1/messages"
    )
    for _ in range(3):
        async with line(proxy.url, large[:-10]) as leaving:
            await leaving.writer.drain()
    async with line(proxy.url, request(b"x" * 2_000_000)) as refused:
        assert (await refused.answer())[0] == 529
    async with asyncio.timeout(20), line(proxy.url) as raw:
        while True:
            raw.writer.write(large)
            if (await raw.answer())[0] == 200:
                break
    assert error(await said(proxy.url, request(b"{").replace(HEAD, HEAD + b"Connection: close\r\n")))
    assert len(chat.posts) == 1
