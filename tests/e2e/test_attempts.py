"""What the client sees, and the upstreams, when an upstream does not answer at once."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from upstreams import Call, Chat, Http, Msg, Raw, failure, text

from .http_client import CHAT, HELLO, NATIVE, send
from .world import BIG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .proxy import Proxy, Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = [f"canary-key-{n}" for n in range(3)]
STREAM = {**HELLO, "stream": True}
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
PATHS = pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
NO_WORD = Raw([("headers",)])


@pytest_asyncio.fixture(loop_scope="session")
async def patient(world: World, proxy: Start) -> AsyncIterator[Proxy]:
    """A server that asks again, and is in a hurry."""
    env = {**world.env, "UPSTREAM_RETRIES": "2", "OPENAI_API_KEY": ", ".join(KEYS)}
    yield await proxy(**env, LOCAL_FIRST_BYTE_TIMEOUT="20")


@pytest_asyncio.fixture(loop_scope="session")
async def hurried(world: World, proxy: Start) -> AsyncIterator[Proxy]:
    """A server that waits for nobody."""
    short = {"LOCAL_FIRST_BYTE_TIMEOUT": "0.6", "ANSWER_TIMEOUT": "1", "STREAM_TIMEOUT": "2", "UPSTREAM_RETRIES": "2"}
    yield await proxy(**world.env, **short)


def upstream(world: World, path: str) -> Any:
    return world.chat if path == CHAT else world.native


def reply(path: str, said: str) -> Any:
    return Chat(said) if path == CHAT else Msg([text(said)])


FAULTS = [
    Http(503, "<html>"),
    failure(529, "overloaded_error", "busy", {"retry-after": "1"}),
    failure(429, "rate_limit_error", "slow down", {"retry-after": "1"}),
    Raw([("abort",)]),
    Raw([("headers",), ("abort",)]),
    NO_WORD,
]


@pytest.mark.parametrize("fault", FAULTS, ids=["503", "529", "429", "reset", "reset after the head", "nothing"])
@PATHS
@pytest.mark.fault("U-04", "U-05")
async def test_what_passes_is_not_noticed(world: World, patient: Proxy, path: str, fault: Any) -> None:
    for stream in (False, True):
        upstream(world, path).use(fault, reply(path, "at last"))
        answer = await send(patient.url, path, {**HELLO, "stream": stream})
        assert (answer.status, b"at last" in answer.body) == (200, True)
        assert len(upstream(world, path).posts) == 2
        assert "retry-after" not in answer.headers
    told = [line for line in await patient.log.until("tried=[") if "tried=[" in line]
    assert ": ok]" in told[0]


@pytest.mark.fault("U-25")
async def test_a_longer_wait_is_the_clients(world: World, patient: Proxy) -> None:
    world.native.use(failure(429, "rate_limit_error", "slow down", {"retry-after": "31"}))
    answer = await send(patient.url, NATIVE, HELLO)
    assert (answer.status, answer.headers["retry-after"], len(world.native.posts)) == (429, "31", 1)


@pytest.mark.fault("U-26")
async def test_a_key_that_is_limited_or_refused_gives_way_to_the_next(world: World, patient: Proxy) -> None:
    used: list[str] = []

    def by_key(rec: Any) -> Any:
        used.append(rec.headers["authorization"].removeprefix("Bearer "))
        refusals = {KEYS[0]: failure(429, "rate_limit_error", "x", {"retry-after": "50"}), KEYS[1]: Http(401, {})}
        return refusals.get(used[-1], Chat("by the third"))

    world.chat.use(by=by_key)
    for _ in range(2):
        assert (await send(patient.url, CHAT, HELLO)).status == 200
    assert used == [*KEYS, KEYS[2]]
    lines = await patient.log.until("tried=[")
    assert "openai:gpt-4.1 with key 1 of 3: 429, openai:gpt-4.1 with key 2 of 3: 401" in lines[0]
    assert not any(key in line for key in KEYS for line in patient.log.lines)


@pytest.mark.fault("U-26")
async def test_when_every_key_is_limited_the_client_is_told_the_shortest_wait(world: World, patient: Proxy) -> None:
    waits = dict(zip(KEYS, ("50", "40", "45"), strict=True))

    def by_key(rec: Any) -> Any:
        wait = waits[rec.headers["authorization"].removeprefix("Bearer ")]
        return failure(429, "rate_limit_error", "x", {"retry-after": wait})

    world.chat.use(by=by_key)
    answer = await send(patient.url, CHAT, HELLO)
    assert (answer.status, answer.headers["retry-after"], len(world.chat.posts)) == (429, "40", 3)


async def test_a_session_keeps_its_key(world: World, patient: Proxy) -> None:
    world.chat.use(Chat("hi"))
    sessions = [f"00000000-0000-4000-8000-{n:012}" for n in range(6)]
    for session in sessions * 2:
        assert (await send(patient.url, CHAT, HELLO, **{"x-claude-code-session-id": session})).status == 200
    used = [post.headers["authorization"] for post in world.chat.posts]
    assert used[:6] == used[6:]
    assert len(set(used)) > 1


@BOTH
@pytest.mark.fault("U-08")
async def test_a_silent_upstream_costs_one_time_limit_whatever_the_retries(
    world: World, hurried: Proxy, *, stream: bool
) -> None:
    world.chat.use(Raw([("silence",)]))
    began = time.monotonic()
    answer = await send(hurried.url, CHAT, {**HELLO, "stream": stream})
    assert time.monotonic() - began < 1 + 2
    assert (answer.status, answer.error()["type"], len(world.chat.posts)) == (504, "timeout_error", 1)


@PATHS
@pytest.mark.fault("U-18")
async def test_pings_alone_are_no_answer(world: World, hurried: Proxy, path: str) -> None:
    upstream(world, path).use(Raw([("raw", b": ping\n\n"), ("sleep", 0.1)] * 100))
    answer = await send(hurried.url, path, STREAM)
    assert (answer.status, answer.error()["type"]) == (504, "timeout_error")


@PATHS
@pytest.mark.fault("U-18")
async def test_a_stream_that_never_ends_is_ended(world: World, hurried: Proxy, path: str) -> None:
    asked: Any = SimpleNamespace(json={**STREAM, "model": BIG})
    whole = upstream(world, path).render(reply(path, "x" * 400), asked)
    first, *rest = [op for op in whole.ops if op[0] == "raw"]
    slow: list[Any] = [op for part in [first, *rest[:3], *rest[2:3] * 60] for op in (part, ("sleep", 0.1))]
    upstream(world, path).use(Raw(slow))
    answer = await send(hurried.url, path, STREAM)
    kinds = [event["type"] for event in answer.events()]
    assert (answer.status, kinds[-1], "message_stop" in kinds) == (200, "error", False)
    assert kinds.count("error") == 1
    assert answer.events()[-1]["error"]["type"] == "timeout_error"


@pytest.mark.fault("U-06")
async def test_a_stream_that_has_begun_is_never_begun_again(world: World, patient: Proxy) -> None:
    calling = Chat("Looking.", [Call("Read", {"file_path": "/a" * 50})], chunk=4)
    world.chat.use(by=world.chat.cut(calling, 9, ("abort",)))
    answer = await send(patient.url, CHAT, {**STREAM, "tools": [{"name": "Read", "input_schema": {"type": "object"}}]})
    events = answer.events()
    assert events[-1]["type"] == "error"
    assert [event["type"] for event in events].count("error") == 1
    begun = [event["index"] for event in events if event["type"] == "content_block_start"]
    ended = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert (len(begun), ended) == (2, [0])  # a call that is not whole is not closed
    assert len(world.chat.posts) == 1


@pytest.mark.fault("C-04")
async def test_a_client_that_leaves_during_a_pause_stops_the_retries(world: World, patient: Proxy) -> None:
    world.chat.use(failure(529, "overloaded_error", "busy", {"retry-after": "2"}), Chat("too late"))
    asking = asyncio.create_task(send(patient.url, CHAT, STREAM))
    await patient.log.until("again in")
    asking.cancel()
    lines = await patient.log.until(" 499 ")
    assert len(lines) == 1
    assert len(world.chat.posts) == 1


@pytest.mark.fault("U-24")
async def test_a_redirect_is_not_followed(world: World, patient: Proxy) -> None:
    world.chat.use(Http(307, b"", {"location": world.native.url + "/v1/messages"}))
    answer = await send(patient.url, CHAT, HELLO)
    assert (answer.status, answer.error()["type"], len(world.chat.posts)) == (502, "api_error", 1)
    assert world.native.url not in json.dumps(answer.json)
    assert world.native.requests == []


@BOTH
@pytest.mark.fault("U-01")
async def test_nobody_there_is_told_soon(world: World, proxy: Start, *, stream: bool) -> None:
    env = {**world.env, "UPSTREAM_RETRIES": "2", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    started = await proxy(**env)
    began = time.monotonic()
    answer = await send(started.url, CHAT, {**HELLO, "stream": stream})
    assert time.monotonic() - began < 15
    assert (answer.status, answer.error()["type"]) == (502, "api_error")
    assert "Cannot connect" in answer.error()["message"]
    tried = await started.log.until("tried=[")
    assert tried[0].count("openai:gpt-4.1: 502") == 3
