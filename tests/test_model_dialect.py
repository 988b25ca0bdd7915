"""Which dialect a model is asked in."""

from __future__ import annotations

import pytest

from claude_code_proxy.providers import ProviderError, load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings

CHAT, RESPONSES = "openai_chat", "openai_responses"

MODELS = [
    ("gpt-4.1", CHAT),
    ("gpt-4o-mini", CHAT),
    ("gpt-3.5-turbo", CHAT),
    ("gpt-5-chat-latest", CHAT),
    ("gpt-5.3-chat-latest", CHAT),
    ("gpt-5-search-api", CHAT),
    ("o1-mini", CHAT),
    ("gpt-oss-120b", CHAT),
    ("some-model", CHAT),
    ("gpt-5", RESPONSES),
    ("GPT-5.4-mini", RESPONSES),
    ("openai/gpt-5.3-codex", RESPONSES),
    ("gpt-6.1-sol:batch", RESPONSES),
    ("o1-pro", RESPONSES),
    ("o3", RESPONSES),
    ("o4-mini", RESPONSES),
    ("codex-mini-latest", RESPONSES),
]


@pytest.mark.parametrize(("model", "dialect"), MODELS)
def test_openai_is_asked_in_the_dialect_of_the_model(model: str, dialect: str) -> None:
    openai = load_providers({})["openai"]
    asked = openai.for_model(model)
    assert asked.dialect == dialect
    assert (asked.name, asked.root, asked.api_key_env) == (openai.name, openai.root, openai.api_key_env)
    assert asked.quirks.get("web_search", False) is (dialect == RESPONSES)
    assert asked.for_model(model) == asked


@pytest.mark.parametrize(
    ("environ", "dialect"),
    [
        ({}, RESPONSES),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1/"}, RESPONSES),
        ({"OPENAI_BASE_URL": "http://localhost:1234/v1"}, CHAT),
        ({"OPENAI_DIALECT": CHAT}, CHAT),
        ({"OPENAI_DIALECT": RESPONSES}, RESPONSES),
        ({"OPENAI_DIALECT": RESPONSES, "OPENAI_BASE_URL": "http://localhost:1234/v1"}, RESPONSES),
    ],
)
def test_a_change_of_address_or_dialect_changes_it(environ: dict[str, str], dialect: str) -> None:
    openai = load_providers(environ)["openai"]
    assert openai.for_model("gpt-5").dialect == dialect
    everything = environ.get("OPENAI_DIALECT") == RESPONSES
    assert openai.for_model("gpt-4.1").dialect == (RESPONSES if everything else CHAT)


def test_what_openai_has_is_not_expected_elsewhere() -> None:
    here = load_providers({"OPENAI_DIALECT": RESPONSES})["openai"]
    assert (here.quirks["web_search"], here.quirks["session_key"]) == (True, "prompt_cache_key")
    there = load_providers({"OPENAI_DIALECT": RESPONSES, "OPENAI_BASE_URL": "http://localhost:1/v1"})["openai"]
    assert there.quirks == {}


@pytest.mark.parametrize(("said", "asked"), [("", "auto"), ("off", "off"), ("detailed", "detailed")])
def test_summaries_are_a_setting(said: str, asked: str) -> None:
    openai = load_providers({"OPENAI_REASONING_SUMMARY": said})["openai"]
    assert openai.for_model("gpt-5").quirks["summary"] == asked


OWN = {
    "dialect": CHAT,
    "base_url": "http://localhost:1/v1",
    "model_dialect": [{"match": ["big-*"], "dialect": RESPONSES, "quirks": {"files": True}}],
}


def test_a_provider_of_the_users_own_has_rows_too() -> None:
    own = load_providers({}, {"own": OWN})["own"]
    assert own.for_model("vendor/Big-7b:free").quirks == {"files": True}
    assert own.for_model("small-7b") is own


@pytest.mark.parametrize(
    ("table", "dialect"),
    [
        ({"base_url": "http://localhost:1/v1"}, CHAT),
        ({"dialect": CHAT}, CHAT),
        ({"headers": {"x-a": "b"}}, RESPONSES),
        ({"dialect": RESPONSES}, RESPONSES),
    ],
)
def test_a_table_that_changes_openai(table: dict[str, object], dialect: str) -> None:
    assert load_providers({}, {"openai": table})["openai"].for_model("gpt-5").dialect == dialect


@pytest.mark.parametrize(
    "row", [{"dialect": "french"}, {"dialect": RESPONSES, "quirks": {"x": 1}}, {"dialect": RESPONSES, "match": "a"}]
)
def test_a_row_that_cannot_be_used_is_told(row: dict[str, object]) -> None:
    with pytest.raises(ProviderError, match="own"):
        load_providers({}, {"own": {**OWN, "model_dialect": [{"match": ["a"], **row}]}})


def test_a_target_is_asked_in_that_dialect() -> None:
    settings = load_settings({"BIG_MODEL": "gpt-5.4"})
    targets = [route(*asked, settings) for asked in (("openai:gpt-5.4", "m"), ("", "opus"), ("", "openai:gpt-5"))]
    assert [target.provider.dialect for target in targets] == [RESPONSES] * 3
    assert route("openai:gpt-4.1", "m", settings).provider.dialect == "openai_chat"
