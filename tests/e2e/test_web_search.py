"""Claude Code's WebSearch on a provider without one: the user's own engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Call, Chat, Http, Msg, text
from upstreams.server import Fake

from .http_client import send

if TYPE_CHECKING:
    from upstreams import Raw, Recorded

    from .claude import Claude
    from .proxy import Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "canary-search-key"
PAGES = [
    {"url": "https://birds.test/plover", "title": "Plovers", "content": "A plover is a wader."},
    {"url": "https://waders.test/", "title": "Waders 😀", "content": "Waders wade."},
]
ASK: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 100,
    "stream": True,
    "tools": [{"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["birds.test"]}],
    "messages": [{"role": "user", "content": "Perform a web search for the query: plover facts"}],
}


class Engine(Fake[Http]):
    """A search engine."""

    def front(self, rec: Recorded) -> Http | None:
        ours = rec.headers.get("authorization") == f"Bearer {KEY}"
        return None if ours and rec.path == "/search" else Http(401)

    def render(self, reply: Http, rec: Recorded) -> Http | Raw:
        return reply


def searching(engine: Engine) -> dict[str, str]:
    return {"WEB_SEARCH": "tavily", "WEB_SEARCH_API_KEY": KEY, "WEB_SEARCH_BASE_URL": engine.url}


async def test_the_cli_shows_what_the_engine_found(claude: Claude, world: World, proxy: Start) -> None:
    call = Call("WebSearch", {"query": "plover facts"})

    def script(rec: Recorded) -> Chat:
        done = any(message["role"] == "tool" for message in rec.json["messages"])
        return Chat("It is a wader.") if done else Chat(tool_calls=[call])

    async with Engine([Http(200, {"results": PAGES})]) as engine:
        ours = await proxy(**world.env, **searching(engine))
        world.chat.use(by=script)
        run = await claude.run(f"{ours.url}/openai:gpt-4.1")
    assert run.answer == "It is a wader."
    [asked] = engine.requests
    assert asked.json["query"] == "plover facts"
    told = json.dumps(world.chat.posts[-1].json, ensure_ascii=False)
    assert all(page["url"] in told and page["title"] in told and page["content"] in told for page in PAGES)
    assert len(world.chat.posts) == 2  # no model was asked for the search
    assert KEY not in "\n".join(ours.log.lines)


async def test_a_native_server_is_not_asked_for_what_it_has_not(world: World, proxy: Start) -> None:
    world.native.use(Msg([text("I am Claude.")]))
    async with Engine([Http(200, {"results": PAGES})]) as engine:
        ours = await proxy(**world.env, **searching(engine))
        found = await send(ours.url, "/ollama:qwen3/v1/messages", {**ASK, "stream": False})
        claude = await send(ours.url, "/anthropic:claude-x/v1/messages", {**ASK, "stream": False})
    assert [block["type"] for block in found.json["content"]] == ["server_tool_use", "web_search_tool_result", "text"]
    assert [hit["url"] for hit in found.json["content"][1]["content"]] == ["https://birds.test/plover"]
    assert world.ollama.posts == []
    assert claude.json["content"][0]["text"] == "I am Claude."
    assert len(engine.requests) == len(world.native.posts) == 1


@pytest.mark.parametrize("answer", [Http(500, "down"), Http(200, "<html>"), Http(429)])
async def test_an_engine_that_fails_is_told(world: World, proxy: Start, answer: Http) -> None:
    async with Engine([answer]) as engine:
        ours = await proxy(**world.env, **searching(engine))
        got = await send(ours.url, "/openai:gpt-4.1/v1/messages", ASK)
    assert got.status == 200
    result = got.events()[4]["content_block"]
    assert result["content"] == {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    assert world.chat.posts == []
    assert [request.json["include_domains"] for request in engine.requests] == [["birds.test"]]


async def test_without_an_engine_the_setting_is_named(world: World) -> None:
    got = await send(world.url, "/openai:gpt-4.1/v1/messages", {**ASK, "stream": False})
    use, result, text = got.json["content"]
    assert (use["input"], result["content"]["error_code"]) == ({"query": "plover facts"}, "unavailable")
    assert "WEB_SEARCH" in text["text"]
