"""Routes, and input of every wrong kind."""

from __future__ import annotations

import asyncio
import copy
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from upstreams import Chat

from .http_client import CHAT, HEADERS, HELLO, NATIVE, send, told_text
from .world import BIG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOOL: dict[str, Any] = {"name": "Read", "description": "Read a file.", "input_schema": {"type": "object"}}


async def test_the_root_says_who_it_is(world: World) -> None:
    answer = await send(world.url, "/", method="GET")
    assert (answer.status, answer.body) == (200, b'{"message":"Claude Code Proxy"}')


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/hello",
        "/openai:gpt-4.1",
        "/openai:some/model:free",
        "/openai:some/model:free/api/hello",
        "/ollama:some-model:latest/api/hello",
    ],
)
async def test_head_is_answered_on_any_base(world: World, path: str) -> None:
    answer = await send(world.url, path, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health(world: World, path: str) -> None:
    assert (await send(world.url, path, method="GET")).status == 200


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/messages", BIG),
        ("/v1/messages?beta=true", BIG),
        ("//v1/messages", BIG),
        ("/openai:gpt-4.1-mini/v1/messages", "gpt-4.1-mini"),
        ("/openai:gpt-4.1-mini//v1/messages?beta=true", "gpt-4.1-mini"),
        ("/openai%3Agpt-4.1-mini/v1/messages", "gpt-4.1-mini"),
        ("/OpenAI:gpt-4.1-mini/v1/messages", "gpt-4.1-mini"),
        ("/openai:some:model:free/v1/messages", "some:model:free"),
    ],
)
async def test_the_ways_to_the_messages(world: World, path: str, model: str) -> None:
    world.chat.use(Chat("Hello"))
    answer = await send(world.url, path, HELLO)
    assert told_text(answer) == "Hello"
    assert answer.headers["request-id"]
    assert [body["model"] for body in world.only(world.chat)] == [model]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("PUT", CHAT, 405),
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("POST", "/v1/messages/nowhere", 404),
    ],
)
@pytest.mark.fault("C-26")
async def test_other_routes(world: World, method: str, path: str, status: int) -> None:
    answer = await send(world.url, path, HELLO, method=method)
    assert answer.status in {404, status}
    answer.error()


@pytest.mark.parametrize("tail", ["", "/count_tokens"])
@pytest.mark.parametrize("base", ["/nosuch:model", "/openai:", "/:model", "/gpt-4.1", "/openai"])
async def test_bad_bases(world: World, base: str, tail: str) -> None:
    answer = await send(world.url, f"{base}/v1/messages{tail}", HELLO)
    assert answer.status in {400, 404}
    answer.error()
    assert world.only(world.chat) == []


async def test_an_unknown_provider_is_named_beside_those_known(world: World) -> None:
    message = (await send(world.url, "/nosuch:model/v1/messages", HELLO)).error()["message"]
    for name in ("nosuch", "anthropic", "ollama", "openai", "openrouter"):
        assert name in message


def deep(count: int = 5000) -> bytes:
    return b"[" * count + b"]" * count


def hello(**fields: Any) -> dict[str, Any]:
    return HELLO | fields


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in HELLO.items() if key != name}


def message(content: Any, role: Any = "user") -> dict[str, Any]:
    return hello(messages=[{"role": role, "content": content}])


BAD_BODIES: dict[str, Any] = {
    "empty": b"",
    "cut off": b'{"model": "claude-sonnet-5-5", "messages": [',
    "not JSON": b"model=claude&messages=hello",
    "no UTF-8": b'{"model": "\xff\xfe"}',
    "no UTF-8 in a message": b'{"model":"x","max_tokens":9,"messages":[{"role":"user","content":"\xff"}]}',
    "a byte order mark and nonsense": b"\xef\xbb\xbf{",
    "a lone surrogate": b'{"model": "\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}',
    "two documents": b"{}{}",
    "NaN": b'{"model": "x", "max_tokens": NaN, "messages": [{"role": "user", "content": "x"}]}',
    "null": b"null",
    "a list": [],
    "a string": b'"hello"',
    "a number": b"42",
    "an empty object": {},
    "model missing": without("model"),
    "model empty": hello(model=""),
    "model null": hello(model=None),
    "model a number": hello(model=4),
    "model a list": hello(model=["claude"]),
    "messages missing": without("messages"),
    "messages empty": hello(messages=[]),
    "messages null": hello(messages=None),
    "messages a string": hello(messages="Hello"),
    "messages an object": hello(messages={"role": "user", "content": "Hello"}),
    "a message a string": hello(messages=["Hello"]),
    "a message null": hello(messages=[None]),
    "role missing": hello(messages=[{"content": "Hello"}]),
    "role unknown": message("Hello", "robot"),
    "role a number": message("Hello", 3),
    "role a list": message("Hello", ["user"]),
    "content missing": hello(messages=[{"role": "user"}]),
    "content null": message(None),
    "content a number": message(3),
    "content an object": message({"type": "text", "text": "Hello"}),
    "a block a string": message(["Hello"]),
    "a block null": message([None]),
    "a block without a type": message([{"text": "Hello"}]),
    "a block's type a number": message([{"type": 3}]),
    "text missing": message([{"type": "text"}]),
    "text a number": message([{"type": "text", "text": 3}]),
    "an image without a source": message([{"type": "image"}]),
    "an image's source a string": message([{"type": "image", "source": "x"}]),
    "a call without a name": message([{"type": "tool_use", "id": "t", "input": {}}], "assistant"),
    "a call's id a number": message([{"type": "tool_use", "id": 3, "name": "Read", "input": {}}], "assistant"),
    "a result without an id": message([{"type": "tool_result", "content": "x"}]),
    "a result's content a number": message([{"type": "tool_result", "tool_use_id": "t", "content": 3}]),
    "system a number": hello(system=3),
    "system a list of numbers": hello(system=[3]),
    "tools a string": hello(tools="Read"),
    "tools an object": hello(tools={"Read": {}}),
    "a tool a string": hello(tools=["Read"]),
    "a tool without a name": hello(tools=[{"input_schema": {"type": "object"}}]),
    "a tool's name a number": hello(tools=[{**TOOL, "name": 3}]),
    "a tool's schema a string": hello(tools=[{**TOOL, "input_schema": "object"}]),
    "tool_choice a string": hello(tools=[TOOL], tool_choice="auto"),
    "stream a string": hello(stream="yes"),
    "max_tokens a string": hello(max_tokens="many"),
    "max_tokens a list": hello(max_tokens=[1]),
    "stop_sequences a string": hello(stop_sequences=3),
    "temperature a string": hello(temperature="hot"),
    "thinking a string": hello(thinking="adaptive"),
    "output_config a list": hello(output_config=["high"]),
    "nested 5,000 deep": deep(),
    "nested 5,000 deep in a message": b'{"model":"x","max_tokens":9,"messages":[{"role":"user","content":%b}]}'
    % deep(),
    "nested 5,000 deep where nobody looks": b'{"model":"x","metadata":%b,"max_tokens":9,"messages":[]}' % deep(),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"], ids=["messages", "count"])
@pytest.mark.fault("C-17")
async def test_bad_bodies(world: World, path: str, body: Any) -> None:
    answer = await send(world.url, path, body)
    counted_anyway = path.endswith("count_tokens") and answer.status == 200
    if not counted_anyway:  # counting need not look at everything, but it must not break
        assert answer.status == 400, answer.body[:300]
        assert answer.error()["type"] == "invalid_request_error"
    assert world.only(world.chat) == []


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_bad_bodies_for_a_native_upstream(world: World, body: Any) -> None:
    """They are refused here or there, but always clearly."""
    world.native.use()
    answer = await send(world.url, NATIVE, body)
    accepted_there = any(rec.refusal is None for rec in world.native.posts)
    assert answer.status == (500 if accepted_there else 400), answer.body[:300]
    if not accepted_there:
        assert answer.json["type"] == "error"
        assert answer.json["error"]["type"] == "invalid_request_error"
    world.native.use()  # the fake's own refusals are what was wanted


async def test_a_message_says_what_is_wrong(world: World) -> None:
    error = (await send(world.url, "/v1/messages", message(3))).error()
    assert "messages" in error["message"]
    assert "content" in error["message"]


def big(size: int) -> bytes:
    return b'{"model":"x","max_tokens":9,"messages":[{"role":"user","content":"%b"}]}' % (b"x" * size)


async def parts_of(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]


@pytest.mark.parametrize("path", ["/v1/messages", NATIVE, "/v1/messages/count_tokens"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
@pytest.mark.fault("C-20")
async def test_forty_megabytes(world: World, path: str, *, chunked: bool) -> None:
    body = big(40_000_000)
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(world.url + path, data=parts_of(body) if chunked else io.BytesIO(body)) as got,
    ):
        told = await got.json()
        assert (got.status, told["error"]["type"]) == (413, "request_too_large")
        assert told["request_id"] == got.headers["request-id"]
    assert world.only(world.chat) == []


async def test_thirty_megabytes_are_fine(world: World) -> None:
    """An image-laden session comes near to what Anthropic's own API takes."""
    world.chat.use(Chat("Read it all."))
    assert told_text(await send(world.url, "/openai:house-model-7b/v1/messages", big(30_000_000))) == "Read it all."


@pytest.mark.fault("C-19")
async def test_unknown_fields_are_nobodys_business(world: World) -> None:
    world.chat.use(Chat("Hello"))
    body = hello(
        brand_new={"x": [1]},
        tools=[{**TOOL, "brand_new": 1}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi", "brand_new": True}], "brand_new": 1},
        ],
    )
    answer = await send(world.url, "/v1/messages", body, **{"anthropic-beta": "brand-new-2030-01-01"})
    assert told_text(answer) == "Hello"


@pytest.mark.parametrize("base", ["", "/openai:gpt-4.1", "/ollama:some-model:latest"])
async def test_counting(world: World, base: str) -> None:
    async def count(**fields: Any) -> int:
        body = {key: value for key, value in hello(**fields).items() if key != "max_tokens"}
        answer = await send(world.url, f"{base}/v1/messages/count_tokens?beta=true", body)
        assert (answer.status, set(answer.json)) == (200, {"input_tokens"})
        counted: int = answer.json["input_tokens"]
        return counted

    few = await count()
    assert 0 < few < 100
    assert await count(tools=[]) == few
    assert few < await count(tools=[TOOL]) < await count(tools=[TOOL, {**TOOL, "name": "Write"}])
    assert few + 50 < await count(system="Be kind. " * 50)
    more = copy.deepcopy(HELLO["messages"])
    more += [{"role": "assistant", "content": [{"type": "text", "text": "Hello there. " * 50}]}]
    assert few + 50 < await count(messages=more)
    used = {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "/some/where " * 50}}
    assert few + 50 < await count(messages=[*more[:1], {"role": "assistant", "content": [used]}])
    assert [up.requests for up in world.upstreams] == [[], [], [], []]


async def test_counting_25_at_once(world: World) -> None:
    """What `/context` does."""
    body = {key: value for key, value in hello(tools=[TOOL] * 20).items() if key != "max_tokens"}
    answers = await asyncio.gather(*(send(world.url, "/v1/messages/count_tokens?beta=true", body) for _ in range(25)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["input_tokens"] for answer in answers}) == 1
    assert [up.requests for up in world.upstreams] == [[], [], [], []]
