"""Raw connections, and clients that must go on being served well beside them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp

from upstreams import Chat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstreams import FakeChat

LONGEST = 30.0
"""Seconds that anything may take on a busy machine."""

PATH = "/openai:gpt-4.1/v1/messages"
HELLO: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"


def provider(chat: FakeChat) -> dict[str, str]:
    """The variables of a server before this upstream."""
    return {"OPENAI_BASE_URL": chat.api, "OPENAI_API_KEY": "canary-openai-key"}


def request(body: dict[str, Any] | bytes = HELLO, *, stream: bool = True, path: str = PATH) -> bytes:
    """A whole request for a message, as it goes over the wire."""
    raw = body if isinstance(body, bytes) else json.dumps(body | {"stream": stream}).encode()
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path.encode(), HEAD, len(raw), raw)


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def drip(self, data: bytes, every: float) -> None:
        """Send byte by byte until that is no longer possible."""
        with suppress(ConnectionError):
            for byte in data:
                self.writer.write(bytes([byte]))
                await self.writer.drain()
                await asyncio.sleep(every)

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self._rest(), LONGEST)

    async def _rest(self) -> bytes:
        got = b""
        with suppress(ConnectionError):
            while part := await self.reader.read(1 << 16):
                got += part
        return got

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One answer that tells its length: status, headers, body."""
        async with asyncio.timeout(LONGEST):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            return int(first.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))


@asynccontextmanager
async def line(url: str, sent: bytes = b"") -> AsyncIterator[Line]:
    """A connection on which this was sent."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def said(url: str, sent: bytes) -> bytes:
    """All that a server says to this until it closes."""
    async with line(url, sent) as raw:
        return await raw.rest()


def status(answer: bytes) -> int:
    """The status of the first answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def error(answer: bytes) -> dict[str, str]:
    """The error in Anthropic's envelope, and nothing else, that this answer is."""
    head, _, body = answer.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert b"content-type: application/json" in head
    assert b"request-id: " + told["request_id"].encode() in head
    assert (set(told), told["type"]) == ({"type", "error", "request_id"}, "error")
    kind: dict[str, str] = told["error"]
    return kind


@asynccontextmanager
async def healthy_clients(url: str, chat: FakeChat, count: int = 4) -> AsyncIterator[None]:
    """Clients that stream one answer after the other; each must be whole, and each client gets some."""
    if not callable(chat.script):
        chat.use(Chat("Hello there"))
    served = [0] * count
    over = False

    async def go_on(number: int) -> None:
        timeout = aiohttp.ClientTimeout(total=LONGEST)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not over or not served[number]:
                async with session.post(url + PATH, json=HELLO | {"stream": True}) as got:
                    text = await got.text()
                    assert got.status == 200, text
                    assert "event: message_stop" in text
                    served[number] += 1
                await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(go_on(number))
        try:
            yield
        finally:
            over = True
    assert all(served)
