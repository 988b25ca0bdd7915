"""What Responses APIs really sent comes out whole through the server itself, and Anthropic's own library reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anthropic
import pytest

from grammar import read
from machines import sized
from recordings import NEEDED, content
from responses_reader import STREAMS, WHOLE, assert_same, events, framed, told_in_response, told_in_stream
from upstreams import Http, Raw

from .http_client import HELLO, send

if TYPE_CHECKING:
    from pathlib import Path

    from .world import Responses

pytestmark = [NEEDED, pytest.mark.asyncio(loop_scope="session")]

PIECES = 500
"""The most pieces that a recording is cut into here; into more it is cut where no socket is in between."""


@pytest.mark.parametrize("file", STREAMS)
async def test_a_recorded_stream(responses: Responses, file: Path) -> None:
    stream, said = framed(file), told_in_stream(events(file))
    for size in (7, 1000, len(stream)):
        pieces = sized(stream, max(size, len(stream) // PIECES + 1))
        responses.fake.use(Raw([("raw", piece) for piece in pieces]))
        answer = await send(responses.url, "/v1/messages", HELLO | {"stream": True})
        assert answer.status == 200
        assert_same(read(answer.body), said)


@pytest.mark.parametrize("file", STREAMS)
async def test_a_recorded_stream_is_read_by_the_client_library(responses: Responses, file: Path) -> None:
    stream, said = framed(file), told_in_stream(events(file))
    responses.fake.use(Raw([("raw", stream)]))
    api = anthropic.AsyncAnthropic(base_url=responses.url, api_key="any", max_retries=0)
    messages = [{"role": "user", "content": "Hello"}]
    async with api, api.messages.stream(model="m", max_tokens=100, messages=messages) as told:  # type: ignore[arg-type]
        message = await told.get_final_message()
    assert "".join(block.text for block in message.content if block.type == "text") == "".join(said.texts)
    assert [(block.name, block.input) for block in message.content if block.type == "tool_use"] == said.calls
    assert message.usage.output_tokens == said.usage.output_tokens


@pytest.mark.parametrize("file", WHOLE)
async def test_a_recorded_response(responses: Responses, file: Path) -> None:
    recorded = content(file)
    said = told_in_response(recorded.decode())
    responses.fake.use(Http(200, recorded, {"content-type": "application/json"}))
    message = json.loads((await send(responses.url, "/v1/messages", HELLO)).body)
    blocks = message["content"]
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == "".join(said.texts)
    assert "".join(block["thinking"] for block in blocks if block["type"] == "thinking") == "".join(said.thoughts)
    assert [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"] == said.calls
    streamed = await send(responses.url, "/v1/messages", HELLO | {"stream": True})  # a server that does not stream
    assert_same(read(streamed.body), said)
