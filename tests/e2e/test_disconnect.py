"""A client that leaves takes its upstream request with it, whatever the server was waiting for."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Chat, FakeChat, FakeMessages, Msg, Raw, text

from .http_client import CHAT, HELLO, NATIVE, send, told_text

if TYPE_CHECKING:
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOON = 1.0  # seconds; the promise that is tested
LONGEST_WAIT = 10.0

# phase: the request's `stream`, how many of the reply's writes the upstream sends (None: not even headers),
# and what the client waits for before it leaves.
PHASES: dict[str, tuple[bool, int | None, bytes]] = {
    "before the upstream's headers": (True, None, b""),
    "before its first event": (True, 0, b""),
    "in the middle of its stream": (True, 4, b"Hello"),
    "while it thinks about a whole answer": (False, None, b""),
}


def script(upstream: FakeChat | FakeMessages, writes: int | None) -> None:
    if writes is None:
        upstream.use(Raw([("silence",)]))
    elif isinstance(upstream, FakeChat):
        upstream.use(by=upstream.cut(Chat("Hello there, how are you?", chunk=5), writes, ("silence",)))
    else:
        upstream.use(by=upstream.cut(Msg([text("Hello there, how are you?")], chunk=5), writes, ("silence",)))


def request(path: str, body: Any) -> bytes:
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw


@pytest.mark.parametrize("manner", ["close", "abort"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
@pytest.mark.fault("C-04", "C-05", "C-06")
async def test_leaving(world: World, path: str, phase: str, manner: str) -> None:
    upstream: FakeChat | FakeMessages = world.chat if path == CHAT else world.native
    stream, writes, awaited = PHASES[phase]
    script(upstream, writes)
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request(path, HELLO | {"stream": stream}))
        rec = await upstream.arrival()
        await rec.until_silent()
        if awaited:
            await asyncio.wait_for(reader.readuntil(awaited), LONGEST_WAIT)
    finally:
        left = time.monotonic()
        writer.close() if manner == "close" else writer.transport.abort()
    assert await rec.until_left() - left < SOON
    assert len(upstream.posts) == 1


@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
@pytest.mark.fault("C-04")
async def test_leaving_disturbs_nobody_else(world: World, path: str) -> None:
    """Another request that runs at the time goes on."""
    upstream: FakeChat | FakeMessages = world.chat if path == CHAT else world.native
    whole: Chat | Msg = Chat("Stayed.") if path == CHAT else Msg([text("Stayed.")])
    go_on = asyncio.Event()

    async def replies(rec: Any) -> Any:
        if rec is upstream.requests[0]:
            return Raw([("silence",)])
        await go_on.wait()
        return whole

    upstream.use(by=replies)
    leaving = asyncio.create_task(send(world.url, path, HELLO))
    first = await upstream.arrival(1)
    staying = asyncio.create_task(send(world.url, path, HELLO))
    await upstream.arrival(2)
    leaving.cancel()
    await first.until_left()
    go_on.set()
    assert told_text(await asyncio.wait_for(staying, LONGEST_WAIT)) == "Stayed."
