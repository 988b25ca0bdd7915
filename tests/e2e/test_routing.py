"""The [routing] tables at work: fallbacks that nobody notices, kinds of request, and tables that change meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from claude_code_proxy.kinds import AGENT
from upstreams import Chat, Http, Msg, Raw, failure, text

from .http_client import HELLO, events_of, send, told_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .proxy import Proxy, Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = """
[routing.aliases]
everything = ["openai:first", "openrouter:second", "anthropic:third"]
keyless = ["groq:nobody", "openrouter:second"]
[routing.kinds]
image = "anthropic:sees"
subagent = "openrouter:helper"
background = "openai:small"
"""
SAID = {"stream": True}
BUSY = Http(529, {"error": {"message": "busy"}}, {"retry-after": "7"})
GONE = Http(404, {"error": {"message": "no such model"}})
REFUSED = [BUSY, GONE, Http(500, "<html>"), Http(401, {"error": {"message": "bad key"}})]


@pytest_asyncio.fixture(loop_scope="session")
async def tables(world: World, proxy: Start, tmp_path: Path) -> AsyncIterator[Proxy]:
    """A server with these tables."""
    path = tmp_path / "config.toml"
    path.write_text(TABLES, "utf-8")
    yield await proxy(**world.env, CLAUDE_CODE_PROXY_CONFIG=str(path))


def asked(world: World) -> list[Any]:
    """The models that were asked, by upstream."""
    return [[post.json["model"] for post in up.posts] for up in (world.chat, world.router, world.native)]


def said(events: list[dict[str, Any]]) -> str:
    """The text of a stream."""
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


@pytest.mark.parametrize("stream", [True, False])
async def test_the_next_target_answers_for_one_that_fails(world: World, tables: Proxy, stream: bool) -> None:  # noqa: FBT001
    for refusal in REFUSED:
        world.chat.use(refusal)
        world.router.use(Chat("from the second"))
        answer = await send(tables.url, "/v1/messages", {**HELLO, "model": "everything", "stream": stream})
        assert answer.status == 200
        assert (said(answer.events()) if stream else told_text(answer)) == "from the second"
        assert "retry-after" not in answer.headers
        assert asked(world) == [["first"], ["second"], []]
    await tables.log.until("everything → openrouter:second 200")
    world.chat.use(Chat("from the first"))
    answer = await send(tables.url, "/v1/messages", {**HELLO, "model": "everything", "stream": stream})
    assert asked(world) == [[], ["second", "second"], []]  # a key that was refused rests


async def test_an_upstream_that_is_not_there_is_passed_over(world: World, proxy: Start, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[routing.tiers]\nopus = ["openai:x", "openrouter:second"]', "utf-8")
    nowhere = {**world.env, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    started = await proxy(**nowhere, CLAUDE_CODE_PROXY_CONFIG=str(path))
    world.router.use(Chat("second"))
    assert told_text(await send(started.url, "/v1/messages", {**HELLO, "model": "opus"})) == "second"


async def test_a_target_without_a_key_is_passed_over(world: World, tables: Proxy) -> None:
    world.router.use(Chat("second"))
    assert told_text(await send(tables.url, "/v1/messages", {**HELLO, "model": "keyless"})) == "second"


async def test_a_stream_without_a_word_is_passed_over(world: World, tables: Proxy) -> None:
    world.chat.use(Raw([("headers",)]))
    world.router.use(Chat("second"))
    answer = await send(tables.url, "/v1/messages", {**HELLO, **SAID, "model": "everything"})
    assert [event["type"] for event in answer.events()].count("message_start") == 1
    assert asked(world) == [["first"], ["second"], []]


async def test_a_stream_that_has_begun_is_not_begun_again(world: World, tables: Proxy) -> None:
    world.chat.use(by=world.chat.cut(Chat("some words of an answer"), 3, ("abort",)))
    answer = await send(tables.url, "/v1/messages", {**HELLO, **SAID, "model": "everything"})
    assert answer.events()[-1]["type"] == "error"
    assert asked(world) == [["first"], [], []]


async def test_a_request_at_fault_goes_no_further(world: World, tables: Proxy) -> None:
    world.chat.use(Http(400, {"error": {"message": "maximum context length is 10 tokens", "code": "x"}}))
    answer = await send(tables.url, "/v1/messages", {**HELLO, "model": "everything"})
    assert (answer.status, asked(world)) == (400, [["first"], [], []])
    assert answer.error()["message"].startswith("prompt is too long")


async def test_when_all_fail_the_client_is_told_what_may_pass(world: World, tables: Proxy) -> None:
    world.chat.use(GONE)
    world.router.use(BUSY)
    world.native.use(failure(500, "api_error", "third"))
    answer = await send(tables.url, "/v1/messages", {**HELLO, "model": "everything"})
    assert (answer.status, answer.headers["retry-after"]) == (529, "7")
    assert answer.error()["type"] == "overloaded_error"
    assert asked(world) == [["first"], ["second"], ["third"]]


async def test_a_native_target_may_follow_a_translated_one(world: World, tables: Proxy) -> None:
    world.chat.use(BUSY)
    world.router.use(BUSY)
    world.native.use(Msg([text("third")]))
    answer = await send(tables.url, "/v1/messages", {**HELLO, **SAID, "model": "everything"})
    assert "third" in json.dumps(answer.events())
    assert "retry-after" not in answer.headers


async def test_a_client_that_leaves_stops_the_turn(world: World, tables: Proxy) -> None:
    world.chat.use(BUSY)
    world.router.use(Raw([("headers",), ("silence",)]))
    asking = asyncio.create_task(send(tables.url, "/v1/messages", {**HELLO, **SAID, "model": "everything"}))
    second = await world.router.arrival()
    await second.until_silent()
    asking.cancel()
    assert await second.until_left()
    assert asked(world) == [["first"], ["second"], []]


async def test_a_kind_of_request_has_its_own_target(world: World, tables: Proxy) -> None:
    world.chat.use(Chat("a title"))
    world.router.use(Chat("helped"))
    world.native.use(Msg([text("seen")]))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    sees = {**HELLO, "messages": [{"role": "user", "content": [image]}]}
    cli = {"user-agent": "claude-cli/2.1.330 (external, cli)"}
    told = [
        await send(tables.url, "/v1/messages", sees),
        await send(tables.url, "/v1/messages", HELLO, **{AGENT: "a1"}),
        await send(tables.url, "/v1/messages", HELLO, **cli),
        await send(tables.url, "/openai:pinned/v1/messages", sees),
    ]
    assert [told_text(one) for one in told] == ["seen", "helped", "a title", "a title"]
    assert asked(world) == [["small", "pinned"], ["helper"], ["sees"]]


async def test_tables_change_while_a_stream_runs(world: World, proxy: Start, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[routing.tiers]\nopus = "openai:old"', "utf-8")
    started = await proxy(**world.env, CLAUDE_CODE_PROXY_CONFIG=str(path))
    said = Chat("before and after")

    async def slowly(recorded: Any) -> Raw:
        whole = world.chat.render(said, recorded)
        assert isinstance(whole, Raw)
        first, *rest = [op for op in whole.ops if op[0] == "raw"]
        return Raw([first, rest[0], ("sleep", 2.5), *rest[1:]], headers=whole.headers)

    world.chat.use(by=slowly)
    world.router.use(Chat("new"))
    body = {**HELLO, "model": "opus", **SAID}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{started.url}/v1/messages", json=body) as running,
    ):
        got = await running.content.readany()
        path.write_text('[routing.tiers]\nopus = "nobody:x"', "utf-8")
        told = await started.log.until("cannot be used; those before stay")
        assert "'nobody:x' names no provider" in told[0]
        path.write_text('[routing.tiers]\nopus = "openrouter:new"', "utf-8")
        await started.log.until("hold from now on")
        assert told_text(await send(started.url, "/v1/messages", {**HELLO, "model": "opus"})) == "new"
        got += await running.content.read()
    assert [event["type"] for event in events_of(got)][-1] == "message_stop"
    assert asked(world) == [["old"], ["new"], []]


async def test_a_key_in_the_env_file_holds_when_it_is_written(world: World, proxy: Start, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("BIG_MODEL=one\n", "utf-8")
    env = {**world.env, "CLAUDE_CODE_PROXY_ENV_FILE": str(path)}
    key = env.pop("OPENAI_API_KEY")
    del env["BIG_MODEL"]
    started = await proxy(**env)
    world.chat.use(Chat("hi"))
    refused = await send(started.url, "/v1/messages", HELLO)
    assert (refused.status, refused.error()["type"]) == (401, "authentication_error")
    path.write_text(f"BIG_MODEL=two\nOPENAI_API_KEY={key}\n", "utf-8")
    await started.log.until("hold from now on")
    assert told_text(await send(started.url, "/v1/messages", HELLO)) == "hi"
    assert asked(world)[0] == ["two"]
