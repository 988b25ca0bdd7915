"""The [routing] tables of config.toml: read, checked, and followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.routing import route
from claude_code_proxy.settings import SettingsError, load_settings
from claude_code_proxy.tables import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings

    Configured = Callable[..., Settings]

ALL = """
[routing.aliases]
Fast = "groq:llama-3.3-70b-versatile"
strong = ["openrouter:qwen/qwen3-coder", "fast"]
claude-opus-4-1 = "anthropic:claude-opus-4-1"

[routing.tiers]
opus = "strong"
haiku = "ollama:qwen3:8b"
default = "mistral:devstral"

[routing.kinds]
image = "gemini/gemini-2.5-pro"
long_context = { over = 1000, to = ["gemini:gemini-2.5-pro", "fast"] }

[routing.fallbacks]
"groq:llama-3.3-70b-versatile" = ["cerebras:gpt-oss-120b", "groq:llama-3.3-70b-versatile"]
"mistral:devstral" = "strong"
"""


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Settings with this config.toml and these variables."""

    def load(config: str, **env: str) -> Settings:
        path = tmp_path / "config.toml"
        path.write_text(config, "utf-8")
        return load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(path), **env})

    return load


def chain(target: Target) -> list[str]:
    return [str(target), *map(str, target.fallbacks)]


FAST = ["groq:llama-3.3-70b-versatile", "cerebras:gpt-oss-120b"]
STRONG = ["openrouter:qwen/qwen3-coder", *FAST]
GEMINI = "gemini:gemini-2.5-pro"


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        ("fast", "", FAST),
        ("FAST", "", FAST),
        ("fast", "image", FAST),
        ("strong", "", STRONG),
        ("opus", "", STRONG),
        ("claude-opus-5-5[1m]", "", STRONG),
        ("claude-opus-4-1", "", ["anthropic:claude-opus-4-1"]),
        ("claude-haiku-5", "", ["ollama:qwen3:8b"]),
        ("claude-sonnet-opus-haiku", "", ["ollama:qwen3:8b"]),
        ("claude-sonnet-5", "", ["mistral:devstral", *STRONG]),
        ("claude-new", "", ["mistral:devstral", *STRONG]),
        ("claude-sonnet-5", "image", [GEMINI]),
        ("claude-haiku-5", "long_context", [GEMINI, *FAST]),
        ("claude-opus-5", "thinking", STRONG),
        ("gpt-5", "image", ["openai:gpt-5"]),
        ("groq:llama-3.3-70b-versatile", "image", FAST),
        ("mistral:devstral", "", ["mistral:devstral", *STRONG]),
        ("anthropic/claude-sonnet-5", "image", ["openrouter:anthropic/claude-sonnet-5"]),
        ("claude-via-anthropic:claude-opus-5", "image", ["anthropic:claude-opus-5"]),
    ],
)
def test_where_the_tables_lead(configured: Configured, model: str, kind: str, expected: list[str]) -> None:
    target = route("", model, configured(ALL), kind)
    assert chain(target) == expected
    assert all(one.rule for one in (target, *target.fallbacks))


@pytest.mark.parametrize("pinned", ["mistral:devstral", "groq:llama-3.3-70b-versatile", "anthropic:claude-opus-5"])
def test_a_url_that_pins_a_model_is_above_all_tables(configured: Configured, pinned: str) -> None:
    assert chain(route(pinned, "claude-opus-5", configured(ALL), "image")) == [pinned]


@pytest.mark.parametrize("preferred", ["openai", "anthropic", "ollama", "gemini"])
def test_tiers_hold_for_any_preferred_provider(configured: Configured, preferred: str) -> None:
    settings = configured(ALL, PREFERRED_PROVIDER=preferred, BIG_MODEL="big", SMALL_MODEL="small")
    assert str(route("", "claude-haiku-5", settings)) == "ollama:qwen3:8b"
    assert str(route("", "claude-opus-5", settings)) == STRONG[0]


def test_without_a_tier_of_its_own_or_a_default_the_variables_hold(configured: Configured) -> None:
    settings = configured('[routing.tiers]\nopus = "groq:x"', BIG_MODEL="fast-one", SMALL_MODEL="tiny")
    routes = [str(route("", model, settings)) for model in ("claude-sonnet-5", "claude-haiku-5", "claude-opus-5")]
    assert routes == ["openai:fast-one", "openai:tiny", "groq:x"]


def test_big_model_may_be_an_alias(configured: Configured) -> None:
    settings = configured(ALL.partition("[routing.tiers]")[0], BIG_MODEL="strong")
    assert chain(route("", "claude-sonnet-5", settings)) == [STRONG[0], FAST[0]]


def test_the_rule_says_how_it_came(configured: Configured) -> None:
    target = route("", "opus", configured(ALL))
    assert target.rule == "the tier 'opus' of Claude, and the alias 'strong', and the provider in the model's name"
    assert [one.rule.partition(" of ")[0] for one in target.fallbacks][-1] == "a fallback"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('[routing.tiers]\nopus = "grok:x"', "tiers.opus: 'grok:x' names no provider"),
        ('[routing.kinds]\nimage = ["openai:x", "nobody:x"]', "kinds.image: 'nobody:x'"),
        ('[routing.kinds]\nlong_context = { over = 5, to = "nobody:x" }', "kinds.long_context: 'nobody:x'"),
        ('[routing.fallbacks]\n"nobody:x" = "openai:x"', "fallbacks.nobody:x: 'nobody:x'"),
        ('[routing.aliases]\na = "b"\nb = ["openai:x", "A"]', "aliases.a: leads back to itself"),
        ('[routing.aliases]\na = "a"', "aliases.a: leads back to itself"),
        ('[routing.tiers]\nopsu = "openai:x"', "opsu"),
        ('[routing.kinds]\nvideo = "openai:x"', "video"),
        ("[routing.tiers]\nopus = []", "tiers.opus"),
        ('[routing.tiers]\nopus = ""', "tiers.opus"),
        ("[routing.tiers]\nopus = 5", "tiers.opus"),
        ('[routing.kinds]\nlong_context = "openai:x"', "long_context"),
        ('[routing.kinds]\nlong_context = { over = 0, to = "openai:x" }', "over"),
        ('routing = "openai"', "[routing]"),
        ("[rooting]\nx = 1", "[routing], [models], [prices] and [providers.NAME] tables only"),
    ],
)
def test_a_table_that_cannot_be_is_told_with_its_place(configured: Configured, config: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        configured(config)
    assert said in str(raised.value)


def test_a_model_with_a_colon_is_no_unknown_provider_where_names_have_colons(configured: Configured) -> None:
    settings = configured('[routing.tiers]\nopus = "qwen3:8b"', PREFERRED_PROVIDER="ollama")
    assert str(route("", "opus", settings)) == "ollama:qwen3:8b"


MODELS = """
[models."openai:gpt-4.1"]
context = 131072
max_output = 8192

[models]
"ollama:qwen3:8b" = { context = 16_384 }
"google:gemini-2.5-pro" = { max_output = 1000 }
"""


def test_the_limits_of_models(configured: Configured) -> None:
    assert configured(MODELS).models == {
        "openai:gpt-4.1": Limits(131_072, 8192),
        "ollama:qwen3:8b": Limits(16_384),
        "gemini:gemini-2.5-pro": Limits(0, 1000),
    }
    assert configured("").models == {}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('[models."grok:x"]\ncontext = 5', "[models] 'grok:x' must be a provider"),
        ("[models.fast]\ncontext = 5", "[models] 'fast' must be"),
        ('[models."openai:"]\ncontext = 5', "[models] 'openai:' must be"),
        ('[models."openai:x"]\ncontext = 0', "context"),
        ('[models."openai:x"]\ncontext = "128k"', "context"),
        ('[models."openai:x"]\nmax_output = -1', "max_output"),
        ('[models."openai:x"]\nwindow = 5', "window"),
        ('[models]\n"openai:x" = 5', "[models]"),
        ("models = 5", "[models]"),
    ],
)
def test_limits_that_cannot_be_are_told_with_their_place(configured: Configured, config: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        configured(config)
    assert said in str(raised.value)
