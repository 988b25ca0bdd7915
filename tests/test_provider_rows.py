"""What the rows of providers.toml say beyond an address: bodies by model, dialects by variable, names with colons."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Call, Outgoing
from claude_code_proxy.providers import ProviderError, load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings
from claude_code_proxy.wire.head import decode_head

ASK = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}).encode()


def nvidia(model: str, **environ: str) -> dict[str, Any]:
    """The body that NVIDIA is sent."""
    row = load_providers(environ)["nvidia"]
    call = Call(decode_head(ASK), model, "seed", row.root, quirks=row.quirks, body=row.body_for(model))
    made = DIALECTS[row.dialect].request(call)
    assert isinstance(made, Outgoing)
    body: dict[str, Any] = json.loads(made.body)
    return {name: body.get(name) for name in ("reasoning_budget", "chat_template_kwargs")}


NEITHER = {"reasoning_budget": None, "chat_template_kwargs": None}


def thinks(budget: int, *, enabled: bool) -> dict[str, Any]:
    return {"reasoning_budget": budget, "chat_template_kwargs": {"enable_thinking": enabled}}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, thinks(16384, enabled=True)),
        ({"NVIDIA_REASONING_BUDGET": "512"}, thinks(512, enabled=True)),
        ({"NVIDIA_ENABLE_THINKING": "false"}, thinks(16384, enabled=False)),
        ({"NVIDIA_ENABLE_THINKING": "1"}, thinks(16384, enabled=True)),
        ({"NVIDIA_ENABLE_THINKING": "YES"}, thinks(16384, enabled=True)),
    ],
)
def test_nemotron_thinks_as_it_was_told(environ: dict[str, str], expected: dict[str, Any]) -> None:
    assert nvidia("nvidia/nemotron-3-nano-30b-a3b", **environ) == expected
    assert nvidia("meta/llama-4", **environ) == NEITHER


@pytest.mark.parametrize("name", ["NVIDIA_REASONING_BUDGET", "NVIDIA_ENABLE_THINKING"])
def test_a_value_that_cannot_be_used_is_told_and_the_default_taken(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert nvidia("nvidia/nemotron-x", **{name: "lots"}) == thinks(16384, enabled=True)
    assert name in caplog.text


def test_a_variable_changes_a_dialect() -> None:
    row = load_providers({"OPENROUTER_DIALECT": "anthropic"})["openrouter"]
    assert (row.dialect, row.root) == ("anthropic", "https://openrouter.ai/api")
    assert row.quirks == {"session_header": "x-session-id"}
    with pytest.raises(ProviderError, match="dialect must be one of"):
        load_providers({"OPENAI_DIALECT": "esperanto"})


def test_an_anthropic_address_may_end_in_v1() -> None:
    assert load_providers({"ANTHROPIC_API_BASE": "http://h/v1/"})["anthropic"].root == "http://h"


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"PREFERRED_PROVIDER": "ollama"}, "ollama:mistral:7b"),
        ({"PREFERRED_PROVIDER": "ollama", "MISTRAL_API_KEY": "k"}, "mistral:7b"),
        ({}, "mistral:7b"),
    ],
)
def test_a_name_with_a_colon_is_a_provider_s_only_if_that_is_meant(environ: dict[str, str], target: str) -> None:
    assert str(route("", "mistral:7b", load_settings(environ))) == target


def test_fields_of_the_body_can_be_set_for_a_provider() -> None:
    row = load_providers({}, {"openrouter": {"body": {"provider": {"order": ["x"]}}}})["openrouter"]
    assert row.body_for("any") == {"provider": {"order": ["x"]}}


def test_a_row_in_another_dialect_leaves_behind_what_belongs_to_its_own() -> None:
    rows = load_providers({}, {"deepseek": {"dialect": "openai_chat", "base_url": "http://h/v1"}})
    assert (rows["deepseek"].auth, rows["deepseek"].api_key_env) == ("bearer", "DEEPSEEK_API_KEY")
    assert load_providers({}, {"openai": {"headers": {"x": "y"}}})["openai"].quirks["files"] is True


def test_a_row_may_say_what_it_is_in_another_dialect() -> None:
    row = load_providers({})["gemini"]
    assert (row.dialect, row.auth, row.root) == (
        "gemini",
        "x-goog-api-key",
        "https://generativelanguage.googleapis.com/v1beta",
    )
    for chat in (
        load_providers({"GEMINI_DIALECT": "openai_chat"})["gemini"],
        load_providers({}, {"gemini": {"dialect": "openai_chat"}})["gemini"],
    ):
        assert (chat.dialect, chat.auth) == ("openai_chat", "bearer")
        assert chat.root == "https://generativelanguage.googleapis.com/v1beta/openai"
    moved = load_providers({"GEMINI_API_BASE": "http://h/v1beta/", "GEMINI_API_KEY": "k"})["gemini"]
    assert (moved.root, moved.credentials()) == ("http://h/v1beta", {"x-goog-api-key": "k"})
    with pytest.raises(ProviderError, match="quirk"):
        load_providers({}, {"gemini": {"quirks": {"schema": "json", "quirk": 1}}})


def test_vertex_speaks_geminis_own_format_where_it_is_told_to() -> None:
    place = {"VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global"}
    base = "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
    for name, env in (
        ("vertex", {"VERTEX_DIALECT": "gemini"}),
        ("gemini", {"USE_VERTEX_AUTH": "true", "GEMINI_DIALECT": "gemini"}),
    ):
        row = load_providers({**place, **env})[name]
        assert (row.dialect, row.auth, row.root) == ("gemini", "google", f"{base}/publishers/google")
        assert row.full_name("gemini-3-pro") == "gemini-3-pro"
    assert load_providers(place)["vertex"].full_name("gemini-3-pro") == "google/gemini-3-pro"


ELSEWHERE = "http://h/v1"
COUNTS: list[tuple[str, str, dict[str, str], bool]] = [
    ("anthropic", "claude-x", {}, True),
    ("vertex-anthropic", "claude-x", {}, True),
    ("gemini", "gemini-3-pro", {}, True),
    ("gemini", "gemini-3-pro", {"GEMINI_DIALECT": "openai_chat"}, False),
    ("vertex", "gemini-3-pro", {}, True),
    ("vertex", "meta/llama-4", {}, False),
    ("openai", "gpt-5.4", {}, True),
    ("openai", "gpt-5.4", {"OPENAI_DIALECT": "openai_responses"}, True),
    ("openai", "gpt-4.1", {}, False),
    ("openai", "gpt-5.4", {"OPENAI_BASE_URL": ELSEWHERE}, False),
    ("openai", "gpt-5.4", {"OPENAI_BASE_URL": ELSEWHERE, "OPENAI_DIALECT": "openai_responses"}, False),
    ("openrouter", "openai/gpt-5.4", {"OPENROUTER_DIALECT": "openai_responses"}, False),
    ("bedrock", "claude-x", {}, False),
    ("ollama", "m", {}, False),
]


@pytest.mark.parametrize(("name", "model", "env", "counts"), COUNTS)
def test_who_counts_tokens(name: str, model: str, env: dict[str, str], *, counts: bool) -> None:
    assert load_providers(env)[name].for_model(model).counts_tokens is counts
