"""The list of models: Claude Code's picker and the SDK read it, and what they choose from it is what they get."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Never

import anthropic
import pytest
import pytest_asyncio

from claude_code_proxy.providers import load_providers
from upstreams import Chat, Http, Raw, Recorded
from upstreams.server import Fake

from .claude import CLIENT_TOKEN, Claude
from .http_client import send
from .world import ANTHROPIC_KEY, OPENAI_KEY, OPENROUTER_KEY, SECRETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .proxy import Proxy, Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

CODER = "claude-via-openrouter:qwen/qwen3-coder:free"
MODEL = {
    "id": "qwen/qwen3-coder:free",
    "name": "Qwen: Qwen3 Coder (free)",
    "created": 1_753_230_546,
    "context_length": 262_144,
    "architecture": {"output_modalities": ["text"]},
    "top_provider": {"context_length": 262_000, "max_completion_tokens": 32_000},
}
TAGS = {"models": [{"name": "qwen3:8b", "model": "qwen3:8b", "details": {"context_length": 40_960}}]}
NOWHERE = "http://127.0.0.1:9"


class Lists(Fake[Never]):
    """A server that answers by path; what is not in the table is 404."""

    def __init__(self, **answers: Http | Raw) -> None:
        """Serve these answers."""
        super().__init__(lambda rec: self.answers.get(rec.path, Http(404, "404 page not found")))
        self.answers: dict[str, Http | Raw] = answers

    def front(self, rec: Recorded) -> None:
        """Answer nothing itself."""

    def render(self, reply: Never, rec: Recorded) -> Never:
        """Render nothing: every answer is whole."""
        raise NotImplementedError


@pytest_asyncio.fixture(loop_scope="session")
async def ollama() -> AsyncIterator[Lists]:
    async with Lists(**{"/api/tags": Http(200, TAGS)}) as fake:
        yield fake


@pytest_asyncio.fixture(loop_scope="session")
async def ours(world: World, proxy: Start, ollama: Lists, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """Start a server whose every upstream is here: nothing is to be asked of what else runs on this machine."""
    front = world.router.front

    def with_models(rec: Recorded) -> Http | None:
        return Http(200, {"data": [MODEL]}) if rec.path == "/api/v1/models" else front(rec)

    monkeypatch.setattr(world.router, "front", with_models)
    elsewhere = {row.base_url_env: NOWHERE for row in load_providers({}).values() if row.base_url_env}
    return await proxy(**elsewhere | world.env | {"OLLAMA_API_BASE": ollama.url})


async def test_every_key_goes_to_its_own_list(world: World, ours: Proxy, ollama: Lists) -> None:
    answer = await send(ours.url, "/v1/models?limit=1000", method="GET")
    assert answer.status == 200
    assert [model["id"] for model in answer.json["data"]] == [
        "claude-via-openai:gpt-4.1",
        "claude-via-openai:gpt-4.1-mini",
        CODER,
        "claude-via-ollama:qwen3:8b",
        "claude-via-anthropic:claude-sonnet-5-5",
    ]
    asked: dict[str, Fake[Any]] = {
        "openai": world.chat,
        "openrouter": world.router,
        "anthropic": world.native,
        "ollama": ollama,
    }
    keys = {"openai": OPENAI_KEY, "openrouter": OPENROUTER_KEY, "anthropic": ANTHROPIC_KEY, "ollama": ""}
    for name, fake in asked.items():
        [got] = fake.requests
        seen = f"{got.headers} {got.path} {got.query}"
        assert [secret for secret in (*SECRETS, CLIENT_TOKEN) if secret in seen] == [keys[name]] * bool(keys[name])
    told = f"{answer.headers} {answer.body!r} {ours.log.lines}"
    assert [secret for secret in (*SECRETS, CLIENT_TOKEN) if secret in told] == []


async def test_a_provider_that_hangs_keeps_nobody_waiting(ours: Proxy, ollama: Lists) -> None:
    ollama.answers["/api/tags"] = Raw([("silence",)])
    async with anthropic.AsyncAnthropic(base_url=ours.url, api_key="x", max_retries=0, timeout=5) as api:
        ids = [model.id async for model in api.models.list(limit=1000)]
        assert "claude-via-openai:gpt-4.1" in ids
        assert not [ident for ident in ids if "ollama" in ident]
    assert ollama.requests


async def test_the_sdk_lists_and_retrieves(ours: Proxy) -> None:
    async with anthropic.AsyncAnthropic(base_url=ours.url, api_key="x", max_retries=0, timeout=20) as api:
        every = [model async for model in api.models.list(limit=2)]
        assert len(every) == 5
        assert {model.type for model in every} == {"model"}
        coder = await api.models.retrieve(CODER)
        assert coder in every
        assert (coder.display_name, coder.created_at.year) == ("Qwen: Qwen3 Coder (free) (openrouter)", 2025)
        assert (coder.max_input_tokens, coder.max_tokens) == (262_000, 32_000)
        with pytest.raises(anthropic.NotFoundError):
            await api.models.retrieve("claude-via-openai:nothing")
    pinned = f"{ours.url}/ollama:qwen3:8b"
    async with anthropic.AsyncAnthropic(base_url=pinned, api_key="x", max_retries=0, timeout=20) as api:
        [only] = [model async for model in api.models.list()]
        assert (only.id, only.max_input_tokens) == ("claude-via-ollama:qwen3:8b", 40_960)


class Curious(Claude):
    """The CLI that asks its gateway for models."""

    def env(self, url: str) -> dict[str, str]:
        """The whole environment of a run."""
        return super().env(url) | {"CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"}


async def test_the_cli_finds_them_and_gets_the_one_it_chose(claude: Claude, world: World, ours: Proxy) -> None:
    await send(ours.url, "/v1/models", method="GET")  # a run that is over does not wait for the list
    world.router.use(Chat("Hello from the coder."))
    curious = Curious(claude.binary, claude.home, claude.cwd)
    run = await curious.run(ours.url, "--model", CODER)
    assert run.answer == "Hello from the coder."
    assert {asked.json["model"] for asked in world.router.posts} == {"qwen/qwen3-coder:free"}
    kept = json.loads((claude.home / ".claude" / "cache" / "gateway-models.json").read_text())
    assert kept["baseUrl"] == ours.url
    assert len(kept["models"]) == 5
    about = {"description": "qwen/qwen3-coder:free at openrouter, 262,000 tokens"}
    assert {"id": CODER, "display_name": "Qwen: Qwen3 Coder (free) (openrouter)", **about} in kept["models"]
