"""Gemini's own API through the server itself, over HTTP and with the official SDK."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import pytest_asyncio

from machines import sized
from recordings import NEEDED, SIZES, content, documents
from recordings_gemini import STREAMS, WHOLE, assert_same, framed, said_in
from upstreams import Call, Chat, FakeChat, FakeGemini, Gemini, Http, Raw

from .claude import CLIENT_TOKEN
from .http_client import HELLO, send
from .proxy import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from .proxy import Proxy, Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "canary-gemini-key"
PIECES = 2000
PATH = "/gemini:gemini-3-pro-preview/v1/messages"
TOOLS: list[Any] = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


@dataclass
class Place:
    """The server and the Gemini behind it."""

    gemini: FakeGemini
    proxy: Proxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        gemini = await stack.enter_async_context(FakeGemini())
        env = {"GEMINI_API_BASE": gemini.api, "GEMINI_API_KEY": KEY, "PREFERRED_PROVIDER": "gemini"}
        yield Place(gemini, await stack.enter_async_context(serving(tmp_path_factory.mktemp("gemini"), **env)))


@pytest.fixture
def place(_place: Place) -> Iterator[Place]:
    _place.gemini.use()
    yield _place
    _place.proxy.log.check()
    assert _place.gemini.refusals == []
    assert KEY not in "\n".join(_place.proxy.log.lines)


@NEEDED
@pytest.mark.parametrize("file", STREAMS)
async def test_a_recorded_stream(place: Place, file: Path) -> None:
    stream, said = framed(file), said_in(documents(file))
    for size in SIZES:
        pieces = sized(stream, max(size, len(stream) // PIECES + 1))
        place.gemini.use(Raw([("raw", piece) for piece in pieces], headers={"content-type": "text/event-stream"}))
        answer = await send(place.proxy.url, PATH, HELLO | {"stream": True})
        assert answer.status == 200
        assert_same(answer.body, said)


@NEEDED
@pytest.mark.parametrize("file", WHOLE)
async def test_a_recorded_reply(place: Place, file: Path) -> None:
    recorded = content(file)
    said = said_in([recorded.decode()])
    place.gemini.use(Http(200, recorded, {"content-type": "application/json"}))
    message = json.loads((await send(place.proxy.url, PATH, HELLO)).body)
    blocks = message["content"]
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == said.text
    assert [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"] == said.calls
    assert message["stop_reason"] == said.stop_reason


@pytest.mark.parametrize("stream", [True, False])
async def test_the_sdk_goes_on_with_signatures(place: Place, *, stream: bool) -> None:
    call = Call("weather", {"city": "Łódź"}, "call_0123456789")
    place.gemini.use(Gemini("Let me see.", [call], "Hm."), Gemini("Sunny in Łódź."))
    client = anthropic.AsyncAnthropic(base_url=f"{place.proxy.url}/gemini:gemini-3-pro-preview", api_key=CLIENT_TOKEN)
    history: list[Any] = [{"role": "user", "content": "Weather in Łódź?"}]
    ask: dict[str, Any] = {"model": "claude-x", "max_tokens": 1024, "tools": TOOLS}

    async def answer() -> anthropic.types.Message:
        if not stream:
            made: anthropic.types.Message = await client.messages.create(messages=history, **ask)
            return made
        async with client.messages.stream(messages=history, **ask) as running:
            return await running.get_final_message()

    first = await answer()
    assert first.stop_reason == "tool_use"
    [use] = [block for block in first.content if block.type == "tool_use"]
    assert (use.id, use.input) == (call.id, call.arguments)
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    history += [{"role": "assistant", "content": first.to_dict()["content"]}, {"role": "user", "content": [result]}]
    second = await answer()
    assert [block.text for block in second.content if block.type == "text"] == ["Sunny in Łódź."]
    usage = second.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (100, 20, 34)
    [part] = [part for part in place.gemini.posts[-1].json["contents"][1]["parts"] if "functionCall" in part]
    assert part["thoughtSignature"] in place.gemini.issued
    await client.close()


async def test_its_models_are_listed_with_its_own_key(place: Place) -> None:
    answer = await send(place.proxy.url, "/v1/models?limit=1000", method="GET")
    ids = [row["id"] for row in answer.json["data"]]
    assert ids == ["claude-via-gemini:gemini-3-pro-preview", "claude-via-gemini:gemini-2.5-flash"]
    [asked] = place.gemini.requests
    assert (asked.path, asked.query, asked.headers["x-goog-api-key"]) == ("/v1beta/models", "pageSize=1000", KEY)


async def test_the_compatible_endpoint_can_still_be_asked(proxy: Start) -> None:
    async with FakeChat(base="/v1beta/openai") as chat:
        base = chat.url + "/v1beta"
        ours = await proxy(GEMINI_API_BASE=base, GEMINI_API_KEY=KEY, GEMINI_DIALECT="openai_chat")
        chat.use(Chat("Hello."))
        answer = await send(ours.url, PATH, HELLO)
        assert answer.status == 200
        assert chat.posts[0].headers["authorization"] == f"Bearer {KEY}"
        assert chat.posts[0].path == "/v1beta/openai/chat/completions"
