"""Ollama: the real clients, the server, and a faithful fake of Ollama that has models and windows."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import anthropic
import pytest
import pytest_asyncio

from upstreams import FakeOllama, Http, Model, Msg, Raw, text, thinking, tool_use
from upstreams.messages import sse
from upstreams.ollama import DEFAULT_CTX, messages_error, native_error, page_not_found

from .http_client import HEADERS, HELLO, send, told_text
from .proxy import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .claude import Claude
    from .proxy import Proxy, Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

STREAM = HELLO | {"stream": True}
WIDE = Model(window=262_144)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _ours(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[FakeOllama, Proxy]]:
    async with (
        FakeOllama() as fake,
        serving(tmp_path_factory.mktemp("ollama"), OLLAMA_API_BASE=fake.url) as proxy,
    ):
        yield fake, proxy


@pytest.fixture
def ollama(_ours: tuple[FakeOllama, Proxy]) -> FakeOllama:
    """Give the fake without models; each test names its own, so that it is their first request."""
    fake = _ours[0]
    fake.use(Msg([text("Hello")]))
    fake.models, fake.served, fake.pulled, fake.refuse = {}, [], [], {}
    return fake


@pytest.fixture
def url(_ours: tuple[FakeOllama, Proxy]) -> str:
    return _ours[1].url


@pytest.fixture
def log(_ours: tuple[FakeOllama, Proxy]) -> list[str]:
    return _ours[1].log.lines


def said(lines: list[str], *parts: str) -> int:
    return sum(all(part in line for part in parts) for line in lines)


# -- the real Claude Code


async def test_hello(claude: Claude, ollama: FakeOllama, url: str) -> None:
    ollama.models["cli-hello:8b"] = WIDE
    ollama.use(Msg([thinking("Greet."), text("Hello from home.")]))
    run = await claude.run(f"{url}/ollama:cli-hello:8b")
    assert run.answer == "Hello from home."
    assert [block["thinking"] for block in run.blocks("thinking")] == ["Greet."]
    assert [(one.model, one.num_ctx) for one in ollama.served] == [("cli-hello:8b-ctx128000", 128_000)]


async def test_a_tool_loop(claude: Claude, ollama: FakeOllama, url: str) -> None:
    ollama.models["cli-loop:8b"] = Model(window=65_536)
    (claude.cwd / "a.txt").write_text("alpha\n")
    ollama.use(
        Msg(
            [thinking("Plan."), text("Reading."), tool_use("Read", {"file_path": str(claude.cwd / "a.txt")}, "call_a1")]
        ),
        Msg([tool_use("Bash", {"command": "echo from-$((40 + 2))", "description": "Echo"}, "call_b2")]),
        Msg([thinking("Now answer."), text("All done.")]),
    )
    run = await claude.run(f"{url}/ollama:cli-loop:8b")
    assert run.answer == "All done."
    shown = str(run.blocks("tool_result"))
    assert "alpha" in shown
    assert "from-42" in shown
    assert [block["thinking"] for block in run.blocks("thinking")] == ["Plan.", "Now answer."]
    assert {(one.model, one.num_ctx, one.dropped) for one in ollama.served} == {("cli-loop:8b-ctx65536", 65_536, 0)}
    assert len(ollama.asked("/api/show")) == len(ollama.asked("/api/create")) == 1


# -- OLLAMA_NUM_CTX

LONG: list[dict[str, str]] = [
    {"role": "user" if n % 2 == 0 else "assistant", "content": f"{n} " + "word " * 1000} for n in range(21)
]


async def test_a_long_conversation_fits(ollama: FakeOllama, url: str, proxy: Start) -> None:
    """Without the setting Ollama drops most of it and says nothing."""
    ollama.models["long"] = Model(window=131_072)
    answer = await send(url, "/ollama:long/v1/messages", HELLO | {"messages": LONG})
    assert told_text(answer) == "Hello"
    without = await proxy(OLLAMA_API_BASE=ollama.url, OLLAMA_NUM_CTX="0")
    assert told_text(await send(without.url, "/ollama:long/v1/messages", HELLO | {"messages": LONG})) == "Hello"
    with_it, without_it = ollama.served
    assert (with_it.model, with_it.num_ctx, with_it.dropped) == ("long:latest-ctx128000", 128_000, 0)
    assert (without_it.model, without_it.num_ctx) == ("long", DEFAULT_CTX)
    assert without_it.dropped > 10


WINDOWS: list[tuple[str, Model, str, int]] = [
    ("wide", WIDE, "wide:latest-ctx128000", 128_000),
    ("narrow:7b", Model(window=40_960), "narrow:7b-ctx40960", 40_960),
    ("small-of-its-own", Model(num_ctx=8192), "small-of-its-own:latest-ctx40960", 40_960),
    ("large-of-its-own", Model(window=262_144, num_ctx=200_000), "large-of-its-own:latest-ctx128000", 128_000),
    ("right", Model(num_ctx=40_960), "right", 40_960),
    ("library/of/models:q4", WIDE, "library/of/models:q4-ctx128000", 128_000),
    ("far-away", Model(remote_host="https://ollama.test"), "far-away", DEFAULT_CTX),
    ("untold", Model(window=None), "untold", DEFAULT_CTX),
]


@pytest.mark.parametrize("row", WINDOWS, ids=[row[0] for row in WINDOWS])
async def test_the_window_of_a_model(ollama: FakeOllama, url: str, row: tuple[str, Model, str, int]) -> None:
    name, model, served, num_ctx = row
    ollama.models[name] = model
    answers = await asyncio.gather(*(send(url, f"/ollama:{name}/v1/messages", HELLO) for _ in range(5)))
    streamed = await send(url, f"/ollama:{name}/v1/messages", STREAM)
    assert {answer.status for answer in (*answers, streamed)} == {200}
    assert {(one.model, one.num_ctx) for one in ollama.served} == {(served, num_ctx)}
    assert len(ollama.asked("/api/show")) == 1  # once for all that came at the same time, and never again
    assert len(ollama.asked("/api/create")) == (0 if served == name else 1)
    assert {answer.json["model"] for answer in answers} == {streamed.events()[0]["message"]["model"]} == {name}


async def test_the_variable_sets_the_window(ollama: FakeOllama, proxy: Start) -> None:
    ollama.models["set"] = WIDE
    ours = await proxy(OLLAMA_API_BASE=ollama.url, OLLAMA_NUM_CTX="60000", PREFERRED_PROVIDER="ollama", BIG_MODEL="set")
    assert told_text(await send(ours.url, "/v1/messages", HELLO)) == "Hello"
    assert [(one.model, one.num_ctx) for one in ollama.served] == [("set:latest-ctx60000", 60_000)]
    assert ollama.asked("/api/create") == [
        {"model": "set:latest-ctx60000", "from": "set", "parameters": {"num_ctx": 60_000}, "stream": False},
    ]


async def test_a_model_too_small_for_claude_code_is_warned_of_once(
    ollama: FakeOllama, url: str, log: list[str]
) -> None:
    ollama.models["tiny"] = Model(window=8192)
    for _ in range(3):
        await send(url, "/ollama:tiny/v1/messages", HELLO)
    assert ollama.served[-1].num_ctx == 8192
    assert said(log, "'tiny'", "8192", "Claude Code needs") == 1


REFUSED: list[tuple[str, str, Http]] = [
    ("show-unknown", "/api/show", page_not_found()),
    ("create-unknown", "/api/create", page_not_found()),
    ("create-forbidden", "/api/create", native_error(403, "not here")),
    ("create-broken", "/api/create", native_error(500, "no space left on device")),
    ("show-nonsense", "/api/show", Http(200, "<html>")),
]


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
async def test_where_it_cannot_be_done_the_model_itself_is_asked(
    ollama: FakeOllama, url: str, log: list[str], row: tuple[str, str, Http]
) -> None:
    name, path, refusal = row
    ollama.models[name] = WIDE
    ollama.refuse[path] = refusal
    for _ in range(3):
        assert told_text(await send(url, f"/ollama:{name}/v1/messages", HELLO)) == "Hello"
    assert {(one.model, one.num_ctx) for one in ollama.served} == {(name, DEFAULT_CTX)}
    assert said(log, repr(name), "OLLAMA_NUM_CTX has no effect") == 1
    assert len(ollama.asked(path)) == 1


async def test_a_model_that_is_not_there_is_not_fetched(ollama: FakeOllama, url: str, log: list[str]) -> None:
    for body in (HELLO, STREAM):
        answer = await send(url, "/ollama:missing/v1/messages", body)
        assert answer.status == 404
        assert answer.json["error"] == {"type": "not_found_error", "message": "model 'missing' not found"}
    assert ollama.asked("/api/create") == ollama.pulled == []
    ollama.models["missing"] = WIDE  # the user has fetched it
    assert told_text(await send(url, "/ollama:missing/v1/messages", HELLO)) == "Hello"
    assert ollama.served[-1].num_ctx == 128_000
    assert said(log, "'missing'", "no effect") == 0


async def test_a_derived_model_that_was_removed_is_made_again(ollama: FakeOllama, url: str) -> None:
    ollama.models["kept"] = WIDE
    assert told_text(await send(url, "/ollama:kept/v1/messages", HELLO)) == "Hello"
    del ollama.models["kept:latest-ctx128000"]
    assert (await send(url, "/ollama:kept/v1/messages", HELLO)).status == 404
    assert told_text(await send(url, "/ollama:kept/v1/messages", HELLO)) == "Hello"
    assert ollama.served[-1].num_ctx == 128_000


# -- what Ollama sends arrives


async def test_every_byte_of_a_stream_arrives_but_the_name(ollama: FakeOllama, url: str) -> None:
    ollama.models["bytes"] = WIDE
    ollama.use(Msg([thinking("Hm."), text("größer \u2028 x-ctx1"), tool_use("f", {"a": [1]}, "call_1")]))
    answer = await send(url, "/ollama:bytes/v1/messages", STREAM)
    sent = bytes(ollama.posts[-1].sent)
    assert answer.body == sent.replace(b'"model":"bytes:latest-ctx128000"', b'"model":"bytes"', 1)
    assert sent.count(b"bytes:latest-ctx128000") == 1
    ours = json.loads(ollama.posts[-1].raw)
    assert ours == STREAM | {"model": "bytes:latest-ctx128000"}


async def test_a_stream_is_relayed_while_it_comes(ollama: FakeOllama, url: str) -> None:
    """The fake says no more until the client, which has read the first piece, leaves."""
    ollama.models["live"] = WIDE
    start, opened, delta, *_ = Msg([text("Hello there")], chunk=5, ping=False).events("live:latest-ctx128000")
    ollama.use(Raw([("raw", sse(event)) for event in (start, opened, delta)] + [("silence",)]))
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(f"{url}/ollama:live/v1/messages", json=STREAM) as answer,
    ):
        seen = b""
        while b'"Hello"' not in seen:
            seen += await asyncio.wait_for(answer.content.readany(), 10)
    assert seen.count(b"content_block_delta") == 2  # the event and its type
    await ollama.posts[-1].until_left()


async def test_the_sdk_reads_a_stream(ollama: FakeOllama, url: str) -> None:
    ollama.models["sdk"] = WIDE
    ollama.use(Msg([thinking("Hm."), text("Hi there"), tool_use("f", {"a": 1}, "call_1")]))
    ask: dict[str, Any] = HELLO | {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}
    async with anthropic.AsyncAnthropic(base_url=f"{url}/ollama:sdk", api_key="any", max_retries=0) as api:
        async with api.messages.stream(**ask) as stream:
            assert [piece async for piece in stream.text_stream] == ["Hi there"]
            message = await stream.get_final_message()
        whole = await api.messages.create(**ask)
        for told in (message, whole):
            assert [block.type for block in told.content] == ["thinking", "text", "tool_use"]
            assert told.content[2].input == {"a": 1}  # type: ignore[union-attr]
            assert (told.stop_reason, told.stop_sequence) == ("tool_use", None)
            assert (told.usage.input_tokens, told.usage.output_tokens) == (25, 12)
            assert told.model == "sdk"
        ollama.use(Msg([]), Msg([], stop_reason=""), Msg([tool_use("f", {}, "call_1")]))
        silent, untold, bare = [await api.messages.create(**ask) for _ in range(3)]
        assert silent.content == untold.content == []
        assert (silent.stop_reason, untold.stop_reason) == ("end_turn", "end_turn")
        assert bare.content[0].input == {}


async def test_a_stream_that_just_ends_is_an_error(ollama: FakeOllama, url: str) -> None:
    """Ollama swallows an error in the middle of a stream."""
    ollama.models["cut"] = WIDE
    reply = Msg([text("Hello there, all of you")], chunk=5)
    for writes in (3, 5):
        ollama.use(by=ollama.cut(reply, writes))
        answer = await send(url, "/ollama:cut/v1/messages", STREAM)
        assert answer.status == 200
        assert answer.events()[-1]["type"] == "error"
        assert b"message_stop" not in answer.body
    ollama.use(by=ollama.cut(reply, 1))
    answer = await send(url, "/ollama:cut/v1/messages", STREAM)
    assert answer.status == 502
    assert answer.error()["type"] == "api_error"


STATUSES = [
    (400, "invalid_request_error", "invalid image source type: url. Only base64 images are supported."),
    (404, "not_found_error", "model 'gone' not found"),
    (429, "rate_limit_error", "slow down"),
    (503, "overloaded_error", "server busy, please try again. maximum pending requests exceeded"),
    (500, "api_error", "llama runner process has terminated"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("status", "kind", "message"), STATUSES)
async def test_an_error_keeps_its_status_and_bytes(
    ollama: FakeOllama, url: str, status: int, kind: str, message: str, *, stream: bool
) -> None:
    name = f"fails-{status}-{stream}"
    ollama.models[name] = WIDE
    refusal = messages_error(status, kind, message)
    ollama.use(refusal)
    answer = await send(url, f"/ollama:{name}/v1/messages", HELLO | {"stream": stream})
    assert answer.status == status
    assert answer.json == refusal.body


async def test_a_host_that_ollama_does_not_serve(ollama: FakeOllama, proxy: Start, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[providers.ollama]\nheaders = { host = "elsewhere.test" }\n')
    ours = await proxy(OLLAMA_API_BASE=ollama.url, CLAUDE_CODE_PROXY_CONFIG=str(config))
    answer = await send(ours.url, "/ollama:any/v1/messages", HELLO)
    assert answer.status == 403
    assert answer.error()["type"] == "permission_error"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_nobody_is_there(proxy: Start, *, stream: bool) -> None:
    async with FakeOllama() as gone:
        where = gone.url
    ours = await proxy(OLLAMA_API_BASE=where)
    for _ in range(2):
        answer = await send(ours.url, "/ollama:any/v1/messages", HELLO | {"stream": stream})
        assert answer.status == 502
        assert answer.error()["type"] == "api_error"
    assert said(ours.log.lines, "no effect") == 0


async def test_the_fake_has_ollamas_routes(ollama: FakeOllama) -> None:
    ollama.models["x"] = WIDE
    assert (await send(ollama.url, "/v1/messages/count_tokens", HELLO)).body == b"404 page not found"
    assert (await send(ollama.url, "/v1/messages", method="GET")).status == 405
    assert (await send(ollama.url, "/", method="GET")).body == b"Ollama is running"
    assert (await send(ollama.url, "/api/version", method="GET")).json == {"version": "0.33.0"}
    tags = (await send(ollama.url, "/api/tags", method="GET")).json["models"]
    assert [(one["name"], one["details"]["context_length"]) for one in tags] == [("x:latest", 262_144)]
    assert (await send(ollama.url, "/v1/models", method="GET")).json["data"][0]["id"] == "x:latest"
    assert (await send(ollama.url, "/api/show", {"model": "y"})).json == {"error": "model 'y' not found"}
    assert (await send(ollama.url, "/v1/messages", {**HELLO, "model": "x"})).json["content"][0]["text"] == "Hello"
    loaded = (await send(ollama.url, "/api/ps", method="GET")).json["models"]
    assert [one["context_length"] for one in loaded] == [DEFAULT_CTX]
    assert (await send(ollama.url, "/api/tags", method="GET", host="evil.test")).status == 403
