"""Connections that were kept open: an upstream may close them at any time, which shows when they are used."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=5\r\n\r\nok"


class Server:
    """Answers the first `answers` requests of each connection and drops it at the next."""

    def __init__(self, answers: int) -> None:
        self.answers, self.requests, self.url = answers, 0, ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/x"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for n in range(self.answers + 1):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 4" in head.lower()
            assert await reader.readexactly(4) == b"body"
            self.requests += 1
            if n < self.answers:
                writer.write(ANSWER)
        writer.close()


@asynccontextmanager
async def pool() -> AsyncGenerator[Pool]:
    made = Pool(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""}))
    try:
        yield made
    finally:
        await made.close()


async def ask(of: Pool, server: Server) -> bytes:
    async with of.post(server.url, b"body", {}) as upstream:
        return b"".join([chunk async for chunk in upstream.chunks()])


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async with Server(answers=1).running() as server, pool() as of:
        assert [await ask(of, server) for _ in range(4)] == [b"ok"] * 4
    assert server.requests == 7  # each but the first was sent on a dead connection before


async def test_a_connection_that_lives_is_used_again() -> None:
    async with Server(answers=4).running() as server, pool() as of:
        assert [await ask(of, server) for _ in range(4)] == [b"ok"] * 4
    assert server.requests == 4


async def test_a_request_on_a_new_connection_is_never_repeated() -> None:
    async with Server(answers=0).running() as server, pool() as of:
        with pytest.raises(ApiError) as raised:
            await ask(of, server)
    assert raised.value.failed.status == 502
    assert server.requests == 1


async def test_nothing_is_told_of_the_library() -> None:
    """Nor is anything sent twice that a request brings itself."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with server, pool() as of:
        for headers in ({}, {"accept": "text/x", "user-agent": "claude-cli/2", "content-type": "text/y"}):
            async with of.post(f"http://{host}:{port}/x", b"body", headers) as upstream:
                assert upstream.answer.status == 200
    told = [
        sorted(line for line in head.split(b"\r\n")[1:] if line and not line.startswith(b"host:")) for head in heads
    ]
    common = [b"accept-encoding: identity", b"content-length: 4"]
    assert told == [
        sorted([*common, b"accept: */*", b"content-type: application/json"]),
        sorted([*common, b"accept: text/x", b"content-type: text/y", b"user-agent: claude-cli/2"]),
    ]
