"""Behaviours 13 to 26: which provider is asked for which model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.settings import ENV_FILE, load_settings

from .stage import BIG, KEYS, SMALL, hello, model_of, post

if TYPE_CHECKING:
    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

OF_OPENROUTER = [
    "stepfun", "qwen", "mistralai", "x-ai", "anthropic", "google", "openai", "meta-llama", "deepseek", "microsoft",
    "cognitive", "nousresearch", "liquid", "fireworks", "perplexity", "sophosympatheia", "gradual",
]  # fmt: skip
OF_NVIDIA = ("nvidia", "meta")
PREFERRED = ("openai", "ollama", "google", "gemini", "anthropic", "openrouter", "nvidia")


async def goes(stage: Stage, model: str, *, base: str = "", **env: str) -> dict[str, list[str]]:
    """Ask a server with these variables, and say who was asked for which model."""
    stage.answer()
    url = await stage.serve(**env) if env else stage.url
    for stream in (False, True):
        answer = await post(url, f"{base}/v1/messages", hello(model, stream=stream))
        assert answer.status == 200, answer.body
    asked = stage.asked()
    assert all(models[0] == models[1] for models in asked.values()), asked
    return {name: models[:1] for name, models in asked.items()}


@pytest.mark.parametrize("vendor", OF_OPENROUTER)
async def test_13_vendors_of_openrouter(stage: Stage, vendor: str) -> None:
    model = f"{vendor}/Some-Model_1.5:free"
    assert (await post(stage.url, f"/openai:{model}/v1/messages", hello())).status == 200
    asked = stage.only("openrouter")
    assert asked.path == "/api/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEYS['OPENROUTER_API_KEY']}"
    assert asked.json["model"] == model


@pytest.mark.parametrize("vendor", OF_NVIDIA)
async def test_14_vendors_of_nvidia(stage: Stage, vendor: str) -> None:
    """The key of OpenRouter is set, too."""
    model = f"{vendor}/nemotron-3-nano-30b-a3b"
    assert (await post(stage.url, f"/openai:{model}/v1/messages", hello())).status == 200
    asked = stage.only("nvidia")
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEYS['NVIDIA_API_KEY']}"
    assert asked.json["model"] == model


@pytest.mark.parametrize("model", ["gpt-4.1", "o4-mini", "my-own", "llama3", "gpt-oss:20b"])
async def test_15_a_bare_name_is_openais(stage: Stage, model: str) -> None:
    assert (await post(stage.url, f"/openai:{model}/v1/messages", hello())).status == 200
    asked = stage.only("openai")
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEYS['OPENAI_API_KEY']}"
    assert asked.json["model"] == model


async def test_15_openais_own_address() -> None:
    row = load_settings({ENV_FILE: "", "OPENAI_API_KEY": "k"}).providers["openai"]
    assert (row.root, row.credentials()) == ("https://api.openai.com/v1", {"authorization": "Bearer k"})


async def test_16_openai_as_a_vendor_is_openrouters(stage: Stage) -> None:
    assert await goes(stage, "x", base="/openai:openai/gpt-4.1") == {"openrouter": ["openai/gpt-4.1"]}


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("QWEN/Qwen3-Coder", "openrouter"),
        ("Stepfun/Step-3.5-Flash:free", "openrouter"),
        ("X-AI/grok-3", "openrouter"),
        ("NVIDIA/Nemotron", "nvidia"),
        ("Meta/Llama-3", "nvidia"),
        ("Meta-LLAMA/llama-3", "openrouter"),
        ("OpenAI/gpt-4.1", "openrouter"),
    ],
)
async def test_17_prefixes_in_any_case(stage: Stage, model: str, provider: str) -> None:
    assert await goes(stage, "x", base=f"/openai:{model}") == {provider: [model]}
    assert await goes(stage, model) == {provider: [model]}


NO_KEY = [
    ("/openai:qwen/qwen3", "x", "OPENROUTER_API_KEY"),
    ("/openai:openai/gpt-4.1", "x", "OPENROUTER_API_KEY"),
    ("/openrouter:gpt-4.1", "x", "OPENROUTER_API_KEY"),
    ("", "x-ai/grok-3", "OPENROUTER_API_KEY"),
    ("/openai:nvidia/nemotron", "x", "NVIDIA_API_KEY"),
    ("", "meta/llama", "NVIDIA_API_KEY"),
    ("/gemini:g", "x", "GEMINI_API_KEY"),
    ("", "gemini/g", "GEMINI_API_KEY"),
    ("/anthropic:claude-sonnet-4", "x", "ANTHROPIC_API_KEY"),
    ("/openai:gpt-4.1", "x", "OPENAI_API_KEY"),
    ("", "claude-opus-4", "OPENAI_API_KEY"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("base", "model", "variable"), NO_KEY)
async def test_17_a_provider_without_a_key_is_told(
    stage: Stage, base: str, model: str, variable: str, *, stream: bool
) -> None:
    """Nobody else is asked in its place."""
    url = await stage.serve(**{variable: ""})
    answer = await post(url, f"{base}/v1/messages", hello(model, stream=stream), **{"x-api-key": "of-the-client"})
    error = answer.error()
    assert (answer.status, error["type"]) == (401, "authentication_error")
    assert variable in error["message"]
    assert stage.asked() == {}


@pytest.mark.parametrize("preferred", PREFERRED)
async def test_18_the_same_prefixes_in_the_body(stage: Stage, preferred: str) -> None:
    env = {"PREFERRED_PROVIDER": preferred}
    for vendor in OF_OPENROUTER:
        assert await goes(stage, f"{vendor}/m:free", **env) == {"openrouter": [f"{vendor}/m:free"]}
    for vendor in OF_NVIDIA:
        assert await goes(stage, f"{vendor}/m", **env) == {"nvidia": [f"{vendor}/m"]}
    assert await goes(stage, "ollama/llama3:8b", **env) == {"ollama": ["llama3:8b"]}
    assert await goes(stage, "gemini/gemini-2.5-pro", **env) == {"gemini": ["gemini-2.5-pro"]}


NAMES_OF_OLLAMA = [
    "gpt-oss:20b",
    "glm-4.7-flash",
    "qwen3-coder",
    "devstral-small-2:24b",
    "never-heard-of-it:latest",
    "mistral:7b",
    "deepseek-r1:8b",
    "user/model:tag",
    "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
    "gpt-4.1",
]


@pytest.mark.parametrize("model", NAMES_OF_OLLAMA)
async def test_19_ollama_is_reached_for_any_name(stage: Stage, model: str) -> None:
    for preferred in ("openai", "ollama"):
        env = {"PREFERRED_PROVIDER": preferred}
        assert await goes(stage, f"ollama/{model}", **env) == {"ollama": [model]}
        assert await goes(stage, f"ollama:{model}", **env) == {"ollama": [model]}
        assert await goes(stage, "x", base=f"/ollama:{model}", **env) == {"ollama": [model]}
    assert await goes(stage, model, PREFERRED_PROVIDER="ollama") == {"ollama": [model]}


@pytest.mark.parametrize("preferred", PREFERRED)
@pytest.mark.parametrize("model", ["claude-sonnet-4", "claude-haiku-4-5", "claude-opus-4-20250514", "anything"])
async def test_20_anthropics_models_in_the_url(stage: Stage, preferred: str, model: str) -> None:
    env = {"PREFERRED_PROVIDER": preferred}
    assert await goes(stage, "claude-haiku-4", base=f"/anthropic:{model}", **env) == {"anthropic": [model]}


PINNED = [
    ("ollama:my-sonnet-7b", "ollama", "my-sonnet-7b"),
    ("ollama:haiku-writer:1b", "ollama", "haiku-writer:1b"),
    ("ollama:claude-distill", "ollama", "claude-distill"),
    ("ollama:qwen/qwen3", "ollama", "qwen/qwen3"),
    ("openai:anthropic/claude-sonnet-4", "openrouter", "anthropic/claude-sonnet-4"),
    ("openai:claude-sonnet-4", "openai", "claude-sonnet-4"),
    ("openai:gpt-oss:20b", "openai", "gpt-oss:20b"),
    ("openai:llama3", "openai", "llama3"),
    ("gemini:claude-opus", "gemini", "claude-opus"),
    ("google:haiku", "gemini", "haiku"),
    ("openrouter:anthropic/claude-haiku-4.5", "openrouter", "anthropic/claude-haiku-4.5"),
    ("nvidia:opus", "nvidia", "opus"),
    ("openrouter:ollama/x", "openrouter", "ollama/x"),
]


@pytest.mark.parametrize("preferred", PREFERRED)
async def test_21_a_model_in_the_url_is_never_mapped(stage: Stage, preferred: str) -> None:
    for pinned, provider, model in PINNED:
        for named in ("claude-haiku-4", "qwen/other", "ollama:other"):
            asked = await goes(stage, named, base=f"/{pinned}", PREFERRED_PROVIDER=preferred)
            assert asked == {provider: [model]}, (pinned, named)


@pytest.mark.parametrize(
    ("preferred", "provider"), [("ollama", "ollama"), ("google", "gemini"), ("gemini", "gemini"), ("Ollama", "ollama")]
)
@pytest.mark.parametrize("chosen", ["never-heard-of-it", "glm-4.7-flash", "gpt-4.1", "sonnet-clone", "family/name"])
async def test_22_any_big_and_small_model(stage: Stage, preferred: str, provider: str, chosen: str) -> None:
    env = {"PREFERRED_PROVIDER": preferred, "BIG_MODEL": f"{chosen}-big", "SMALL_MODEL": f"{chosen}-small"}
    assert await goes(stage, "claude-sonnet-4", **env) == {provider: [f"{chosen}-big"]}
    assert await goes(stage, "claude-haiku-4", **env) == {provider: [f"{chosen}-small"]}


async def test_22_vendors_of_big_and_small_model_under_openai(stage: Stage) -> None:
    env = {"BIG_MODEL": "qwen/qwen3-coder:free", "SMALL_MODEL": "nvidia/nemotron-3-nano-30b-a3b"}
    assert await goes(stage, "claude-opus-4", **env) == {"openrouter": [env["BIG_MODEL"]]}
    assert await goes(stage, "claude-haiku-4", **env) == {"nvidia": [env["SMALL_MODEL"]]}
    missing = await stage.serve(**env, OPENROUTER_API_KEY="")
    assert "OPENROUTER_API_KEY" in (await post(missing, "/v1/messages", hello())).error()["message"]


async def test_22_the_big_model_may_say_its_provider(stage: Stage) -> None:
    """As a request's model may, whatever is preferred."""
    for preferred in ("openai", "ollama", "google"):
        env = {"PREFERRED_PROVIDER": preferred, "BIG_MODEL": "openrouter:qwen/x", "SMALL_MODEL": "ollama:small:1b"}
        assert await goes(stage, "claude-opus-4", **env) == {"openrouter": ["qwen/x"]}
        assert await goes(stage, "claude-haiku-4", **env) == {"ollama": ["small:1b"]}


@pytest.mark.parametrize(
    ("preferred", "prefix", "provider"), [("ollama", "ollama", "ollama"), ("google", "gemini", "gemini")]
)
async def test_22_a_preferred_providers_own_prefix(stage: Stage, preferred: str, prefix: str, provider: str) -> None:
    env = {"PREFERRED_PROVIDER": preferred, "BIG_MODEL": f"{prefix}/big", "SMALL_MODEL": f"{prefix}/small:1b"}
    assert await goes(stage, "claude-opus-4", **env) == {provider: ["big"]}
    assert await goes(stage, "claude-haiku-4", **env) == {provider: ["small:1b"]}


OWNERS = {
    "openai": ("authorization", f"Bearer {KEYS['OPENAI_API_KEY']}"),
    "openrouter": ("authorization", f"Bearer {KEYS['OPENROUTER_API_KEY']}"),
    "nvidia": ("authorization", f"Bearer {KEYS['NVIDIA_API_KEY']}"),
    "anthropic": ("x-api-key", KEYS["ANTHROPIC_API_KEY"]),
}


@pytest.mark.parametrize("preferred", PREFERRED)
async def test_23_a_key_goes_to_its_own_address_only(stage: Stage, preferred: str) -> None:
    """All providers that there are, with all spellings of models, in test_keys_stay_home.py."""
    url = await stage.serve(PREFERRED_PROVIDER=preferred)
    models = ["claude-opus-4", "haiku", "gpt-4.1", "qwen/x", "meta/x", "ollama/x", "gemini/x", "anthropic:x"]
    bases = ["/openai:gpt-4.1", "/openai:qwen/x", "/openai:nvidia/x", "/ollama:x", "/gemini:x", "/anthropic:claude-4"]
    for base, model in [("", model) for model in models] + [(base, "claude-sonnet-4") for base in bases]:
        assert (await post(url, f"{base}/v1/messages", hello(model))).status == 200, (base, model)
    for name, upstream in stage.upstreams.items():
        for rec in upstream.posts:
            seen = f"{rec.path} {rec.query} {rec.headers} {rec.raw!r}"
            own = f"{name.upper()}_API_KEY"
            assert {key for key, value in KEYS.items() if value in seen} <= {own}
            if name in OWNERS:
                header, value = OWNERS[name]
                assert rec.headers[header] == value
    assert set(stage.asked()) == set(stage.upstreams)


BIGS = [
    "claude-sonnet-4",
    "claude-3-opus-latest",
    "Claude-Opus-4",
    "OPUS",
    "sonnet",
    "my-SONNET-x",
    "claude-2.1",
    "claude",
    "claude-sonnet-4-5[1m]",
]
SMALLS = ["claude-haiku-4-5-20251001", "haiku", "HAIKU", "Claude-3-Haiku", "sonnet-or-haiku", "opus-haiku-sonnet"]


@pytest.mark.parametrize("preferred", ["openai", "ollama", "google"])
async def test_24_claudes_names_stand_for_the_users_models(stage: Stage, preferred: str) -> None:
    provider = {"google": "gemini"}.get(preferred, preferred)
    for names, chosen in ((BIGS, BIG), (SMALLS, SMALL)):
        for name in names:
            assert await goes(stage, name, PREFERRED_PROVIDER=preferred) == {provider: [chosen]}, name


async def test_24_the_defaults(stage: Stage) -> None:
    env = {"BIG_MODEL": "", "SMALL_MODEL": ""}
    assert await goes(stage, "claude-opus-4", **env) == {"openai": ["gpt-4.1"]}
    assert await goes(stage, "claude-haiku-4", **env) == {"openai": ["gpt-4.1-mini"]}
    example = (Path(__file__).parents[2] / ".env.example").read_text("utf-8")
    assert tomllib.loads(example.replace("export ", ""))["BIG_MODEL"] == "gpt-4.1"


@pytest.mark.parametrize("name", ["claude-sonnet-4", "claude-haiku-4-5-20251001", "claude-opus-4", "claude-next"])
async def test_25_anthropic_gets_claudes_names_themselves(stage: Stage, name: str) -> None:
    assert await goes(stage, name, PREFERRED_PROVIDER="anthropic") == {"anthropic": [name]}
    assert await goes(stage, name, PREFERRED_PROVIDER="Anthropic") == {"anthropic": [name]}


@pytest.mark.parametrize("preferred", PREFERRED)
@pytest.mark.parametrize("name", ["never-heard-of-it", "gpt-9", "Llama_3.1", "a" * 200, "vendor-x/model", "日本語"])
async def test_26_an_unknown_name_goes_to_the_default_provider(stage: Stage, preferred: str, name: str) -> None:
    provider = {"google": "gemini"}.get(preferred, preferred)
    assert await goes(stage, name, PREFERRED_PROVIDER=preferred) == {provider: [name]}
    assert model_of(stage.upstreams[provider].posts[0]) == name
