"""What a model can hold: told, kept to before the upstream is asked, and counted ever better."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Chat, FakeMessages, Http, Msg, Raw, text, tool_use
from upstreams.ollama import DEFAULT_CTX, FakeOllama, Model

from .http_client import HELLO, send, told_text
from .tool_loop import answered, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from upstreams import Recorded

    from .claude import Claude
    from .proxy import Proxy, Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

CTX = 32_768
HI = [Msg([text("Hello")])]
OVER = "prompt is too long: "


def long(tokens: int, **fields: Any) -> dict[str, Any]:
    """Make a conversation that is estimated at about so many tokens."""
    said = "word " * (tokens * 7 // 10 // 20)
    roles = ["user", "assistant"] * 9 + ["user"]
    return {**HELLO, "messages": [{"role": role, "content": said} for role in roles], **fields}


async def refused(url: str, path: str, body: dict[str, Any], window: int) -> None:
    """The request is refused as too long for this window."""
    answer = await send(url, path, body)
    error = answer.error()
    assert (answer.status, error["type"]) == (400, "invalid_request_error"), error
    tokens, _, limit = error["message"].removeprefix(OVER).partition(" tokens > ")
    assert limit == f"{window} maximum"
    assert int(tokens) > window


async def configured(proxy: Start, tmp_path: Path, config: str, **env: str) -> Proxy:
    """Start a server with this config.toml."""
    path = tmp_path / "config.toml"
    path.write_text(config)
    return await proxy(**{**env, "CLAUDE_CODE_PROXY_CONFIG": str(path)})


# -- Ollama, which drops what does not fit without a word


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_ollama_is_not_asked_what_it_would_cut(proxy: Start, *, stream: bool) -> None:
    async with FakeOllama(HI, m=Model(window=CTX)) as ollama:
        ours = await proxy(OLLAMA_API_BASE=ollama.url)
        await refused(ours.url, "/ollama:m/v1/messages", long(2 * CTX, stream=stream), CTX)
        assert ollama.served == []
        answer = await send(ours.url, "/ollama:m/v1/messages", long(CTX // 2, stream=stream))
        assert answer.status == 200
        assert [(one.num_ctx, one.dropped) for one in ollama.served] == [(CTX, 0)]


async def test_a_window_that_nobody_knows_refuses_nothing(proxy: Start) -> None:
    async with FakeOllama(
        HI,
        untold=Model(window=None),
        away=Model(window=None, remote_host="https://ollama.test"),
        refusing=Model(window=CTX),
    ) as ollama:
        ours = await proxy(OLLAMA_API_BASE=ollama.url)
        for name in ("untold", "away", "refusing"):
            if name == "refusing":
                ollama.refuse["/api/create"] = Http(403, {"error": "not here"})
            assert told_text(await send(ours.url, f"/ollama:{name}/v1/messages", long(2 * CTX))) == "Hello"
        assert {one.num_ctx for one in ollama.served} == {DEFAULT_CTX}


async def test_the_window_in_the_cloud_is_not_ours(proxy: Start) -> None:
    """OLLAMA_NUM_CTX means nothing there."""
    async with FakeOllama(HI, far=Model(window=262_144, remote_host="https://ollama.test")) as ollama:
        ours = await proxy(OLLAMA_API_BASE=ollama.url, OLLAMA_NUM_CTX=str(CTX))
        assert told_text(await send(ours.url, "/ollama:far/v1/messages", long(2 * CTX))) == "Hello"


@dataclass
class Filling:
    """A model of Ollama whose commands fill its window, until the conversation is summarised."""

    rounds: int = 0
    compactions: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, rec: Recorded) -> Msg:
        self.bodies.append(rec.json)
        usage = {"input_tokens": len(rec.raw) // 4, "output_tokens": 12}
        tail = "".join(text_of(message["content"]) for message in rec.json["messages"][-2:])
        if "summary of the conversation" in tail or "<analysis>" in tail:
            self.compactions += 1
            return Msg(
                [text("<analysis>Short.</analysis>\n<summary>\n1. The word was plover.\n</summary>")], usage=usage
            )
        if self.compactions:
            return Msg([text("All is done.")], usage=usage)
        self.rounds += 1
        command = f"printf 'round-{self.rounds} %d ' $(seq 2000)"
        return Msg([tool_use("Bash", {"command": command, "description": "Print"}, f"call_{self.rounds}")], usage=usage)


async def test_the_client_compacts_before_ollama_forgets(claude: Claude, proxy: Start) -> None:
    script = Filling()
    async with FakeOllama(script, m=Model(window=CTX)) as ollama:
        ours = await proxy(OLLAMA_API_BASE=ollama.url)
        run = await claude.run(f"{ours.url}/ollama:m", "--bare", "--tools", "Bash")
        assert run.answer == "All is done."
        assert any(line.get("subtype") == "compact_boundary" for line in run.lines)
        assert script.compactions == 1
        assert script.rounds > 2
        assert "The word was plover." in str(script.bodies[-1]["messages"])
        assert len(answered(script.bodies[-1])) < script.rounds  # the rest is in the summary
        assert {one.dropped for one in ollama.served} == {0}
        await ours.log.until(" 400 ")


# -- other providers


MODELS = """
[models."openai:house-model"]
context = 20000
max_output = 500

[models."openrouter:house/model"]
context = 20000

[models."anthropic:claude-sonnet-5-5"]
context = 20000

[routing.aliases]
both = ["openai:house-model", "openrouter:house/other"]
"""


async def test_the_users_word_on_a_model(world: World, proxy: Start, tmp_path: Path) -> None:
    world.chat.use(Chat("Hello"))
    world.native.use(Msg([text("Hello")]))
    ours = await configured(proxy, tmp_path, MODELS, **world.env)
    await refused(ours.url, "/openai:house-model/v1/messages", long(40_000), 20_000)
    await refused(ours.url, "/openrouter:house/model/v1/messages", long(40_000), 20_000)
    await refused(ours.url, "/v1/messages", long(40_000, model="both"), 20_000)  # as if the upstream had said so
    assert [up.requests for up in world.upstreams] == [[], [], [], []]
    answer = await send(ours.url, "/openai:house-model/v1/messages", long(15_000))
    assert told_text(answer) == "Hello"
    assert [body["max_completion_tokens"] for body in world.only(world.chat)] == [500]
    native = "/anthropic:claude-sonnet-5-5/v1/messages"
    assert told_text(await send(ours.url, native, long(40_000))) == "Hello"  # which knows best itself


async def test_a_change_of_it_holds_at_once(world: World, proxy: Start, tmp_path: Path) -> None:
    world.chat.use(Chat("Hello"))
    ours = await configured(proxy, tmp_path, MODELS, **world.env)
    (tmp_path / "config.toml").write_text(MODELS.replace("20000", "60000"))
    await ours.log.until("The settings were changed")
    assert told_text(await send(ours.url, "/openai:house-model/v1/messages", long(40_000))) == "Hello"


async def test_what_a_list_told(world: World, proxy: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts once somebody has asked for it."""
    front, told = world.router.front, {"id": "house/listed", "context_length": 20_000, "max_completion_tokens": 700}

    def with_models(rec: Recorded) -> Http | None:
        return Http(200, {"data": [told]}) if rec.path == "/api/v1/models" else front(rec)

    monkeypatch.setattr(world.router, "front", with_models)
    world.router.use(Chat("Hello"))
    ours = await proxy(**world.env)
    path = "/openrouter:house/listed/v1/messages"
    assert told_text(await send(ours.url, path, long(40_000))) == "Hello"
    listed = await send(ours.url, "/openrouter:house/listed/v1/models", method="GET")
    assert listed.json["data"][0]["max_input_tokens"] == 20_000
    await refused(ours.url, path, long(40_000), 20_000)
    assert told_text(await send(ours.url, path, long(10_000))) == "Hello"
    limits = [rec.json["max_tokens"] for rec in world.router.posts]
    assert limits == [HELLO["max_tokens"], 700]


# -- counting


async def counted(url: str, path: str, body: dict[str, Any]) -> int:
    answer = await send(url, f"{path}/v1/messages/count_tokens?beta=true", body)
    assert (answer.status, list(answer.json)) == (200, ["input_tokens"])
    count: int = answer.json["input_tokens"]
    return count


def without_limit(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "max_tokens"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_counting_learns_from_what_comes_back(
    world: World, proxy: Start, tmp_path: Path, *, stream: bool
) -> None:
    ours = await configured(proxy, tmp_path, MODELS, **world.env)
    path, question = "/openai:house-model", without_limit(long(10_000))
    estimate = await counted(ours.url, path, question)
    usage = {"prompt_tokens": estimate * 13 // 10, "completion_tokens": 5, "total_tokens": estimate * 13 // 10 + 5}
    world.chat.use(Chat("Hello", usage=usage))
    for done in range(3):
        assert await counted(ours.url, path, question) == estimate
        body = long(10_000, stream=stream, model="last" if done == 2 else "m")
        assert (await send(ours.url, f"{path}/v1/messages", body)).status == 200
        assert len(world.chat.posts) == done + 1
    await ours.log.until("POST /openai:house-model/v1/messages last ")  # it learns when the client has its answer
    assert await counted(ours.url, path, question) == pytest.approx(estimate * 1.3, rel=0.01)
    assert await counted(ours.url, "/openai:another", question) == estimate
    await refused(ours.url, f"{path}/v1/messages", long(19_000), 20_000)  # 24,700 by now


async def test_anthropic_counts_for_itself(world: World) -> None:
    body = without_limit(HELLO)
    path = "/anthropic:claude-sonnet-5-5"
    few = await counted(world.url, path, body)
    more = await counted(world.url, path, {**body, "system": "Be kind. " * 50})
    assert [rec.path for rec in world.native.requests] == ["/v1/messages/count_tokens"] * 2
    assert [rec.query for rec in world.native.requests] == ["beta=true"] * 2
    raw = [len(rec.raw) // 4 for rec in world.native.requests]
    assert [few, more] == raw


async def test_two_dozen_counts_at_once(proxy: Start) -> None:
    async with FakeMessages(lenient=True) as server:
        ours = await proxy(VLLM_API_BASE=server.url)
        many = [counted(ours.url, "/vllm:m", without_limit(HELLO)) for _ in range(25)]
        assert len(set(await asyncio.gather(*many))) == 1
        assert len(server.requests) == 25


COUNTERS: list[tuple[str, Http | Raw]] = [
    ("none", Http(404, "404 page not found")),
    ("broken", Http(500, {"type": "error", "error": {"type": "api_error", "message": "no"}})),
    ("busy", Http(429, {"type": "error", "error": {"type": "rate_limit_error", "message": "no"}})),
    ("nonsense", Http(200, "<html>")),
    ("no number", Http(200, {"input_tokens": "many"})),
    ("a negative one", Http(200, {"input_tokens": -5})),
    ("silence", Raw([("silence",)])),
]


@pytest.mark.parametrize("answer", [row[1] for row in COUNTERS], ids=[row[0] for row in COUNTERS])
async def test_a_counter_that_fails_costs_one_try(
    world: World, proxy: Start, monkeypatch: pytest.MonkeyPatch, answer: Http | Raw
) -> None:
    body = without_limit(long(1000))
    estimate = await counted(world.url, "/openai:gpt-4.1", body)
    async with FakeMessages(lenient=True) as server:
        monkeypatch.setattr(server, "front", lambda _: answer)
        ours = await proxy(SGLANG_API_BASE=server.url)
        assert [await counted(ours.url, "/sglang:m", body) for _ in range(3)] == [estimate] * 3
        assert len(server.requests) == 1


async def test_a_request_that_a_counter_refuses_is_estimated(world: World) -> None:
    """The next one is counted again."""
    odd = {**without_limit(HELLO), "brand_new": 1}
    assert await counted(world.url, "/anthropic:claude-sonnet-5-5", odd) > 0
    assert world.native.requests[-1].refusal
    world.native.requests[-1].refusal = None  # as it was to be
    assert await counted(world.url, "/anthropic:claude-sonnet-5-5", without_limit(HELLO)) > 0
    assert len(world.native.requests) == 2


async def test_without_a_key_nobody_is_asked(world: World, proxy: Start) -> None:
    ours = await proxy(ANTHROPIC_API_BASE=world.native.url)
    assert await counted(ours.url, "/anthropic:claude-sonnet-5-5", without_limit(HELLO)) > 0
    assert world.native.requests == []


async def test_the_counter_gets_its_own_key_and_nobody_elses(world: World) -> None:
    await counted(world.url, "/anthropic:claude-sonnet-5-5", HELLO | {"stream": True, "top_k": 5})
    [rec] = world.native.requests
    assert rec.headers["x-api-key"] == world.env["ANTHROPIC_API_KEY"]
    assert "authorization" not in rec.headers
    assert json.loads(rec.raw) == without_limit(HELLO)
