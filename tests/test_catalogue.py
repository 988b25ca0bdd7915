from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, Never

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from claude_code_proxy.catalogue import FAILED, KEPT, MARK, Catalogue, Model, described, listed, models_of
from claude_code_proxy.providers import Provider, ProviderError, load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import Settings, load_settings
from claude_code_proxy.tables import Limits
from claude_code_proxy.upstream import Pool
from claude_code_proxy.wire.failure import ApiError, error
from upstreams import Http, Raw, Recorded
from upstreams.server import Fake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

EVERYWHERE = {
    "CLAUDE_CODE_PROXY_ENV_FILE": "",
    "OPENAI_API_KEY": "key-openai",
    "OPENROUTER_API_KEY": "key-openrouter",
    "ANTHROPIC_API_KEY": "key-anthropic",
    "OLLAMA_API_BASE": "http://ollama.test",
    "OPENAI_BASE_URL": "http://openai.test/v1",
    "OPENROUTER_BASE_URL": "http://openrouter.test/api/v1",
    "ANTHROPIC_API_BASE": "http://anthropic.test",
}


def settings_of(**env: str) -> Settings:
    """Settings without the servers that are expected on this machine."""
    settings = load_settings(EVERYWHERE | env)
    kept = ("openai", "openrouter", "nvidia", "ollama", "gemini", "anthropic")
    return replace(settings, providers={name: settings.providers[name] for name in kept})


SETTINGS = settings_of()
OPENAI, ANTHROPIC = SETTINGS.providers["openai"], SETTINGS.providers["anthropic"]


def read(content: Any, provider: Provider = OPENAI, settings: Settings = SETTINGS) -> list[Model]:
    """The models in a provider's answer."""
    rows = listed(json.dumps(content).encode())
    assert rows is not None
    return list(models_of(rows, provider, settings))


ROWS: dict[str, tuple[Any, dict[str, Any]]] = {
    # the answer of a provider, what is known of its one model
    "OpenAI": (
        {"object": "list", "data": [{"id": "gpt-4.1", "object": "model", "created": 1744316542, "owned_by": "system"}]},
        {
            "name": "gpt-4.1",
            "display_name": "gpt-4.1 (openai)",
            "created_at": "2025-04-10T20:22:22Z",
            "context": 1_047_576,
            "max_output": 32_768,
        },
    ),
    "Anthropic": (
        {
            "data": [
                {
                    "type": "model",
                    "id": "claude-sonnet-5-5",
                    "display_name": "Claude Sonnet 5.5",
                    "created_at": "2026-10-01T00:00:00Z",
                    "lifecycle": "deprecated",
                    "max_input_tokens": 1_000_000,
                    "max_tokens": 128_000,
                    "capabilities": {"thinking": {"supported": True}},
                }
            ],
            "has_more": False,
        },
        {
            "display_name": "Claude Sonnet 5.5 (openai)",
            "created_at": "2026-10-01T00:00:00Z",
            "lifecycle": "deprecated",
            "context": 1_000_000,
            "max_output": 128_000,
        },
    ),
    "OpenRouter": (
        {
            "data": [
                {
                    "id": "qwen/qwen3-coder:free",
                    "name": "Qwen: Qwen3 Coder (free)",
                    "created": 1753230546,
                    "context_length": 262_144,
                    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
                    "top_provider": {"context_length": 131_072, "max_completion_tokens": None},
                }
            ]
        },
        {
            "name": "qwen/qwen3-coder:free",
            "display_name": "Qwen: Qwen3 Coder (free) (openai)",
            "context": 131_072,
            "max_output": 0,
        },
    ),
    "Ollama": (
        {
            "models": [
                {
                    "name": "qwen3:8b",
                    "model": "qwen3:8b",
                    "modified_at": "2026-01-01T00:00:00Z",
                    "details": {"family": "qwen3", "context_length": 40_960},
                    "capabilities": ["completion", "tools"],
                }
            ]
        },
        {"name": "qwen3:8b", "display_name": "qwen3:8b (openai)", "context": 40_960},
    ),
    "Gemini": (
        {
            "models": [
                {
                    "name": "models/gemini-x",
                    "displayName": "Gemini X",
                    "inputTokenLimit": 2_000_000,
                    "outputTokenLimit": 9_000,
                    "supportedGenerationMethods": ["generateContent", "countTokens"],
                }
            ]
        },
        {
            "name": "gemini-x",
            "display_name": "Gemini X (openai)",
            "context": 2_000_000,
            "max_output": 9_000,
        },
    ),
    "Gemini's chat endpoint": (
        {"object": "list", "data": [{"id": "models/gemini-3-pro", "object": "model", "owned_by": "google"}]},
        {"name": "gemini-3-pro", "context": 1_048_576, "max_output": 65_536},
    ),
    "llama.cpp": (
        {
            "models": [{"name": "smol", "model": "smol", "capabilities": ["completion"]}],
            "object": "list",
            "data": [{"id": "models/smol.gguf", "owned_by": "llamacpp", "meta": {"n_ctx": 8192, "n_ctx_train": 32768}}],
        },
        {"name": "models/smol.gguf", "context": 8192},
    ),
    "vLLM": (
        {"data": [{"id": "org/model", "max_model_len": 32_768, "root": "/models/x"}]},
        {"name": "org/model", "context": 32_768},
    ),
    "Groq": (
        {"data": [{"id": "llama", "active": True, "context_window": 131_072, "max_completion_tokens": 8_192}]},
        {"name": "llama", "context": 131_072, "max_output": 8_192},
    ),
    "Mistral": (
        {"data": [{"id": "m", "capabilities": {"completion_chat": True}, "max_context_length": 131_072}]},
        {"name": "m", "context": 131_072},
    ),
    "Together": (
        [{"id": "org/m", "type": "chat", "display_name": "M", "context_length": 4096, "created": 0}],
        {"name": "org/m", "display_name": "M (openai)", "context": 4096, "created_at": "1970-01-01T00:00:00Z"},
    ),
    "GitHub Models": (
        [{"id": "openai/m", "name": "M", "limits": {"max_input_tokens": 8000, "max_output_tokens": 4000}}],
        {"name": "openai/m", "display_name": "M (openai)", "context": 8000, "max_output": 4000},
    ),
}


@pytest.mark.parametrize("provider", ROWS)
def test_what_a_list_tells(provider: str) -> None:
    content, expected = ROWS[provider]
    [model] = read(content)
    assert {name: getattr(model, name) for name in expected} == expected


NO_CHAT: list[dict[str, Any]] = [
    {"id": "text-embedding-3-small"},
    {"id": "nvidia/nv-embedqa-e5-v5"},
    {"id": "whisper-1"},
    {"id": "tts-1-hd"},
    {"id": "gpt-4o-mini-tts"},
    {"id": "dall-e-3"},
    {"id": "gpt-image-2"},
    {"id": "omni-moderation-latest"},
    {"id": "gpt-realtime"},
    {"id": "x", "architecture": {"output_modalities": ["image"]}},
    {"name": "models/x", "supportedGenerationMethods": ["embedContent"]},
    {"id": "x", "capabilities": {"completion_chat": False}},
    {"id": "x", "capabilities": ["embedding"]},
    {"id": "x", "type": "rerank"},
    {"id": "x", "active": False},
    {"id": "x", "lifecycle": "retired"},
    {"id": "qwen3:8b-ctx40960"},
    {"id": ""},
    {"id": 5},
    {},
]

CHAT: list[dict[str, Any]] = [
    {"id": "gemini-2.5-flash-image", "architecture": {"output_modalities": ["image", "text"]}},
    {"id": "gpt-4o-mini"},
    {"id": "o3"},
    {"id": "x", "type": "model"},
    {"id": "x", "type": None},
    {"id": "x", "capabilities": ["streaming", "tool-calling"]},
    {"id": "x", "capabilities": [{"odd": 1}]},
]


@pytest.mark.parametrize("row", NO_CHAT, ids=str)
def test_what_is_no_chat_model_is_left_out(row: dict[str, Any]) -> None:
    assert read({"data": [row]}) == []


@pytest.mark.parametrize("row", CHAT, ids=str)
def test_what_is_a_chat_model_stays(row: dict[str, Any]) -> None:
    assert [model.name for model in read({"data": [row]})] == [row["id"]]


CREATED: list[tuple[Any, str]] = [
    (1_790_000_000, "2026-09-21T14:13:20Z"),
    (1_790_000_000_000, "1970-01-01T00:00:00Z"),
    ("2026-01-01T02:00:00.123456789+02:00", "2026-01-01T00:00:00Z"),
    ("2026-01-01", "2026-01-01T00:00:00Z"),
    ("0001-01-01T00:00:00+10:00", "1970-01-01T00:00:00Z"),
    ("soon", "1970-01-01T00:00:00Z"),
    (None, "1970-01-01T00:00:00Z"),
    (-(10**17), "1970-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(("held", "told"), CREATED)
def test_when_a_model_came_out(held: Any, told: str) -> None:
    [model] = read([{"id": "x", "created": held}])
    assert model.created_at == told


def test_a_name_cannot_move_a_terminals_cursor() -> None:
    [model] = read([{"id": "x\x1b[2J", "display_name": "\x1b]0;title\x07Nice\n"}])
    assert model.display_name == "]0;titleNice (openai)"
    assert model.name == "x\x1b[2J"  # which is sent back as it came


@pytest.mark.parametrize(("given", "window"), [("0", 40_960), ("32768", 32_768), ("128000", 40_960)])
def test_the_window_that_ollama_is_told_to_give(given: str, window: int) -> None:
    settings = settings_of(OLLAMA_NUM_CTX=given)
    [model] = read(ROWS["Ollama"][0], settings.providers["ollama"], settings)
    assert model.context == window


def test_a_model_is_listed_once() -> None:
    assert [model.name for model in read([{"id": "a"}, {"id": "b"}, {"id": "a", "name": "Again"}])] == ["a", "b"]


def test_a_list_without_end_is_cut() -> None:
    assert len(read([{"id": f"m{n}"} for n in range(5000)])) == 2000


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"5", b'"x"', b"{}", b'{"error":{}}', b'{"data":5}', b"[" * 9999])
def test_what_is_no_list_is_none(body: bytes) -> None:
    assert listed(body) is None


@pytest.mark.parametrize("body", [b"[]", b'{"data":null}', b'{"data":[]}', b'{"data":[5,null,"x"]}', b'{"models":[]}'])
def test_a_list_may_be_empty(body: bytes) -> None:
    assert listed(body) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "id",
    "name",
    "type",
    "created",
    "created_at",
    "capabilities",
    "context_length",
    "meta",
    "limits",
    "lifecycle",
)
any_row = st.dictionaries(st.sampled_from(FIELDS), json_values)


@given(st.lists(any_row, max_size=4) | st.fixed_dictionaries({"data": json_values}) | json_values)
def test_nothing_a_provider_answers_breaks_the_reader(content: Any) -> None:
    rows = listed(json.dumps(content).encode())
    assert all(model.id and model.display_name for model in models_of(rows or [], OPENAI, SETTINGS))


# --- the ids


IDS: list[tuple[str, str, str, str]] = [
    # preferred provider, the model's provider, its name there, its id here
    ("openai", "openai", "gpt-4.1", "claude-via-openai:gpt-4.1"),
    ("openai", "openrouter", "qwen/qwen3:free", "claude-via-openrouter:qwen/qwen3:free"),
    ("openai", "openai", "qwen/qwen3", "claude-via-openai:qwen/qwen3"),
    ("openai", "ollama", "hf.co/x/y:q4", "claude-via-ollama:hf.co/x/y:q4"),
    ("anthropic", "anthropic", "claude-sonnet-5-5", "claude-sonnet-5-5"),
    # elsewhere this name stands for BIG_MODEL, so it needs another
    ("openai", "anthropic", "claude-sonnet-5-5", "claude-via-anthropic:claude-sonnet-5-5"),
    ("openai", "openrouter", "anthropic/claude-sonnet-5.5", "anthropic/claude-sonnet-5.5"),
    ("openai", "nvidia", "anthropic/claude-x", "claude-via-nvidia:anthropic/claude-x"),
    # another proxy like this one
    ("openai", "openai", "claude-via-ollama:x", "claude-via-openai:claude-via-ollama:x"),
    ("openai", "openai", "claude-via-nobody:x", "claude-via-openai:claude-via-nobody:x"),
]


@pytest.mark.parametrize(("preferred", "provider", "name", "ident"), IDS)
def test_the_id_of_a_model(preferred: str, provider: str, name: str, ident: str) -> None:
    settings = settings_of(PREFERRED_PROVIDER=preferred)
    model = described(name, {}, settings.providers[provider], settings)
    assert model
    assert model.id == ident


@given(
    st.sampled_from(sorted(SETTINGS.providers)),
    st.sampled_from(["openai", "ollama", "anthropic"]),
    st.text(min_size=1) | st.from_regex(r"(claude|anthropic|qwen|openai)?[:/-]?[a-z0-9:/.-]+", fullmatch=True),
)
def test_every_id_is_shown_and_leads_back_to_its_model(provider: str, preferred: str, name: str) -> None:
    settings = settings_of(PREFERRED_PROVIDER=preferred)
    model = described(name, {}, settings.providers[provider], settings)
    assert model
    assert "claude" in model.id.lower() or "anthropic" in model.id.lower()
    target = route("", model.id, settings)
    assert (target.provider.name, target.model) == (provider, name)
    again = route("", f"{model.id}[1m]", settings)
    assert (again.provider.name, again.model) == (provider, name)


def test_a_model_that_no_id_leads_to_is_left_out() -> None:
    assert described("odd[1m]", {}, OPENAI, SETTINGS) is None
    assert [model.name for model in read([{"id": "odd[1m]"}, {"id": "even"}])] == ["even"]


VIA: list[tuple[str, str]] = [
    ("claude-via-ollama:llama3:8b", "ollama:llama3:8b"),
    ("claude-via-openrouter:qwen/qwen3:free", "openrouter:qwen/qwen3:free"),
    ("claude-via-openai:qwen/qwen3", "openai:qwen/qwen3"),
    ("claude-via-google:gemini-3-pro", "gemini:gemini-3-pro"),
    ("CLAUDE-VIA-Ollama:Llama", "ollama:Llama"),
    ("claude-via-openai:claude-haiku", "openai:claude-haiku"),
    ("claude-via-openai", "openai:gpt-4.1"),  # one of Claude's names, for all we know
]


@pytest.mark.parametrize(("model", "target"), VIA)
def test_where_an_alias_goes(model: str, target: str) -> None:
    assert str(route("", model, SETTINGS)) == target


def test_an_alias_may_be_the_users_big_model() -> None:
    settings = settings_of(BIG_MODEL="claude-via-ollama:llama3")
    assert str(route("", "claude-opus-5-5", settings)) == "ollama:llama3"


@pytest.mark.parametrize("model", ["claude-via-nobody:x", "claude-via-:x", "claude-via-openai:"])
def test_an_alias_of_nobody_is_not_another_model(model: str) -> None:
    with pytest.raises(ApiError) as raised:
        route("", model, SETTINGS)
    assert (raised.value.failed.type, raised.value.failed.status) == ("not_found_error", 404)


# --- asking


class Lists(Pool):
    """A pool whose upstreams answer from a table, by URL; an event is waited for first."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__(SETTINGS)
        self.answers = dict(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, url: str, headers: Mapping[str, str], *, within: float) -> tuple[int, bytes]:
        assert within <= 10
        self.asked.append((url, {name: value for name, value in headers.items() if name != MARK}))
        answer = self.answers.get(url, 404)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = self.answers[f"{url} then"]
        if answer is None:
            raise error("api_error", "Cannot connect.", status=502)
        return (answer, b"") if isinstance(answer, int) else (200, json.dumps(answer).encode())

    @property
    def urls(self) -> list[str]:
        return sorted(url for url, _ in self.asked)


ADDRESSES = {
    "openai": "http://openai.test/v1/models",
    "openrouter": "http://openrouter.test/api/v1/models",
    "anthropic": "http://anthropic.test/v1/models?limit=1000",
    "ollama": "http://ollama.test/api/tags",
}
ANSWERS: dict[str, Any] = {
    ADDRESSES["openai"]: {"data": [{"id": "gpt-4.1"}]},
    ADDRESSES["openrouter"]: {"data": [{"id": "qwen/qwen3"}]},
    ADDRESSES["anthropic"]: {"data": [{"id": "claude-sonnet-5-5"}]},
    ADDRESSES["ollama"]: {"models": [{"name": "llama3:8b"}]},
}
ALL = ["openai:gpt-4.1", "openrouter:qwen/qwen3", "ollama:llama3:8b", "anthropic:claude-sonnet-5-5"]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asking:
    """A catalogue over a table of answers."""

    def __init__(self, changes: Mapping[str, Any] | None = None, settings: Settings = SETTINGS) -> None:
        self.pool, self.clock = Lists(ANSWERS | dict(changes or {})), Clock()
        self.catalogue = Catalogue(settings, self.pool, clock=self.clock, patience=0.02)

    async def names(self) -> list[str]:
        return [f"{model.provider}:{model.name}" for model in await self.catalogue.models()]


@pytest.fixture
async def asking() -> AsyncIterator[Callable[..., Asking]]:
    made: list[Asking] = []

    def make(changes: Mapping[str, Any] | None = None, settings: Settings = SETTINGS) -> Asking:
        made.append(Asking(changes, settings))
        return made[-1]

    yield make
    for one in made:
        await one.catalogue.close()


async def test_every_provider_that_is_set_up_is_asked_once_with_its_own_key(asking: Callable[..., Asking]) -> None:
    world = asking()
    assert world.pool.asked == []  # before somebody wants to know
    assert await world.names() == ALL
    assert await world.names() == ALL
    assert dict(world.pool.asked) == {
        ADDRESSES["openai"]: {"authorization": "Bearer key-openai"},
        ADDRESSES["openrouter"]: {"authorization": "Bearer key-openrouter"},
        ADDRESSES["anthropic"]: {"x-api-key": "key-anthropic", "anthropic-version": "2023-06-01"},
        ADDRESSES["ollama"]: {"anthropic-version": "2023-06-01"},
    }
    assert len(world.pool.asked) == 4


async def test_the_preferred_provider_comes_first(asking: Callable[..., Asking]) -> None:
    world = asking(settings=settings_of(PREFERRED_PROVIDER="ollama"))
    assert await world.names() == [ALL[2], ALL[0], ALL[1], ALL[3]]


async def test_many_who_want_to_know_at_once_ask_once(asking: Callable[..., Asking]) -> None:
    world = asking()
    assert await asyncio.gather(*(world.names() for _ in range(20))) == [ALL] * 20
    assert len(world.pool.asked) == 4


@pytest.mark.parametrize("answer", [None, 401, 404, 500, 302, "nonsense", {"error": "x"}, {"data": None}], ids=str)
async def test_a_provider_without_a_list_contributes_nothing_for_a_while(
    asking: Callable[..., Asking], answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = asking({ADDRESSES["openai"]: answer})
    assert await world.names() == ALL[1:]
    world.pool.answers[ADDRESSES["openai"]] = ANSWERS[ADDRESSES["openai"]]
    world.clock.now += FAILED - 1
    assert await world.names() == ALL[1:]
    world.clock.now += 2
    assert await world.names() == ALL
    assert "key-" not in caplog.text


async def test_a_list_is_kept_and_the_old_one_told_while_it_is_asked_for_again(asking: Callable[..., Asking]) -> None:
    world = asking()
    assert await world.names() == ALL
    gate = asyncio.Event()
    url = ADDRESSES["openai"]
    world.pool.answers |= {url: gate, f"{url} then": {"data": [{"id": "newer"}]}}
    world.clock.now += KEPT - 1
    await world.names()
    assert len(world.pool.asked) == 4
    world.clock.now += 2
    assert await world.names() == ALL
    assert await world.names() == ALL
    gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await world.names() == ["openai:newer", *ALL[1:]]
    assert len(world.pool.asked) == 8


async def test_what_a_list_told_of_a_model_is_known_without_asking(asking: Callable[..., Asking]) -> None:
    row = {"id": "qwen/qwen3", "context_length": 65_536, "max_completion_tokens": 4096}
    world = asking({ADDRESSES["openrouter"]: {"data": [row]}})
    provider = SETTINGS.providers["openrouter"]
    assert world.catalogue.limits(provider, "qwen/qwen3") == Limits()
    assert world.pool.asked == []
    await world.names()
    assert world.catalogue.limits(provider, "qwen/qwen3") == Limits(65_536, 4096)
    assert world.catalogue.limits(provider, "qwen/other") == Limits()
    world.clock.now += KEPT + 1
    assert world.catalogue.limits(provider, "qwen/qwen3") == Limits(65_536, 4096)
    assert len(world.pool.asked) == 4


async def test_a_provider_that_hangs_is_not_waited_for_twice(asking: Callable[..., Asking]) -> None:
    gate = asyncio.Event()
    url = ADDRESSES["openai"]
    world = asking({url: gate, f"{url} then": ANSWERS[url]})
    assert await world.names() == ALL[1:]
    world.catalogue._patience = 3600
    assert await asyncio.wait_for(world.names(), 20) == ALL[1:]
    gate.set()  # what comes too late for one answer serves the next
    for _ in range(5):
        await asyncio.sleep(0)
    assert await world.names() == ALL
    assert len(world.pool.asked) == 4


async def test_a_provider_whose_key_is_missing_is_not_asked(asking: Callable[..., Asking]) -> None:
    world = asking(settings=settings_of(OPENAI_API_KEY="", ANTHROPIC_API_KEY=""))
    assert await world.names() == [ALL[1], ALL[2]]
    assert world.pool.urls == sorted([ADDRESSES["openrouter"], ADDRESSES["ollama"]])
    assert await world.catalogue.of(SETTINGS.providers["nvidia"]) == ()


async def test_ollama_of_old_is_asked_for_its_other_list(asking: Callable[..., Asking]) -> None:
    other = "http://ollama.test/v1/models"
    world = asking({ADDRESSES["ollama"]: 404, other: {"object": "list", "data": [{"id": "old:1b"}]}})
    assert "ollama:old:1b" in await world.names()


async def test_one_provider_is_asked_alone(asking: Callable[..., Asking]) -> None:
    world = asking()
    [model] = await world.catalogue.of(OPENAI)
    assert (model.name, world.pool.urls) == ("gpt-4.1", [ADDRESSES["openai"]])


async def test_a_providers_list_may_be_elsewhere(asking: Callable[..., Asking]) -> None:
    row = {"dialect": "openai_chat", "base_url": "http://own.test", "path_prefix": "/v9", "models_paths": ["/list"]}
    settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""}, providers={"own": row})
    world = asking({"http://own.test/v9/list": [{"id": "m"}]}, settings)
    [model] = await world.catalogue.of(settings.providers["own"])
    assert model.id == "claude-via-own:m"


def test_a_path_that_would_be_another_host_is_refused() -> None:
    with pytest.raises(ProviderError, match="models_paths"):
        load_providers({}, {"openai": {"models_paths": ["@elsewhere.test/models"]}})


async def test_closing_stops_the_asking(asking: Callable[..., Asking]) -> None:
    world = asking({ADDRESSES["openai"]: asyncio.Event()})
    await world.names()
    assert world.catalogue._asking
    await world.catalogue.close()
    assert not world.catalogue._asking


# --- the pool


class Place(Fake[Never]):
    """A server that answers every request from its script."""

    def front(self, rec: Recorded) -> None:
        """Answer nothing itself."""

    def render(self, reply: Never, rec: Recorded) -> Never:
        """Render nothing."""
        raise NotImplementedError


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(SETTINGS)
    yield pool
    await pool.close()


async def test_get_reads_the_whole_answer(pool: Pool) -> None:
    parts = Raw([("raw", b"[1,"), ("sleep", 0.01), ("raw", b"2]")], status=201)
    async with Place([parts]) as place:
        assert await pool.get(f"{place.url}/x?y=z", {"x-api-key": "k"}, within=20) == (201, b"[1,2]")
    [asked] = place.requests
    assert (asked.method, asked.path, asked.query, asked.headers["x-api-key"]) == ("GET", "/x", "y=z", "k")


async def test_get_follows_no_redirect(pool: Pool) -> None:
    async with Place([Http(307, b"", {"location": "/elsewhere"})]) as place:
        assert (await pool.get(place.url, {}, within=20))[0] == 307
    assert len(place.requests) == 1


@pytest.mark.parametrize("ops", [[("silence",)], [("headers",), ("silence",)], [("raw", b"["), ("silence",)]], ids=str)
async def test_get_gives_up_on_silence(pool: Pool, ops: list[Any]) -> None:
    async with Place([Raw(ops)]) as place:
        with pytest.raises(ApiError, match="silent"):
            await pool.get(place.url, {}, within=0.1)


async def test_get_gives_up_on_a_flood(pool: Pool) -> None:
    async with Place([Raw([("raw", bytes(1 << 20))] * 20)]) as place:
        with pytest.raises(ApiError, match="too much"):
            await pool.get(place.url, {}, within=20)


async def test_get_tells_what_cannot_be_reached(pool: Pool) -> None:
    async with Place() as place:
        url = place.url
    with pytest.raises(ApiError, match="Cannot connect"):
        await pool.get(url, {}, within=20)
