"""What providers really sent comes out whole through the server itself, over HTTP, however it is cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from grammar import read
from machines import sized
from recordings import (
    NEEDED,
    SIZES,
    STREAMS,
    WHOLE,
    assert_same,
    content,
    documents,
    framed,
    said_in_chunks,
    said_in_message,
)
from upstreams import Http, Raw

from .http_client import CHAT, HELLO, send

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

pytestmark = [NEEDED, pytest.mark.asyncio(loop_scope="session")]

PIECES = 2000
"""The most pieces that a recording is cut into here; into more it is cut where no socket is in between."""


@pytest.mark.parametrize("file", STREAMS)
async def test_a_recorded_stream(world: World, file: Path) -> None:
    stream, said = framed(file), said_in_chunks(documents(file))
    for size in SIZES:
        pieces = sized(stream, max(size, len(stream) // PIECES + 1))
        world.chat.use(Raw([("raw", piece) for piece in pieces], headers={"content-type": "text/event-stream"}))
        answer = await send(world.url, CHAT, HELLO | {"stream": True})
        assert answer.status == 200
        assert_same(answer.body, said)


@pytest.mark.parametrize("file", WHOLE)
async def test_a_recorded_message(world: World, file: Path) -> None:
    recorded = content(file)
    said = said_in_message(recorded.decode())
    world.chat.use(Http(200, recorded, {"content-type": "application/json"}))
    message = json.loads((await send(world.url, CHAT, HELLO)).body)
    blocks = message["content"]
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == said.text
    assert "".join(block["thinking"] for block in blocks if block["type"] == "thinking") == said.thinking
    assert [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"] == said.inputs
    assert message["stop_reason"] == said.stop_reason
    streamed = await send(world.url, CHAT, HELLO | {"stream": True})  # a server that does not stream, asked to
    assert read(streamed.body).text == said.text
