from __future__ import annotations

from typing import Any

import pytest

from claude_code_proxy.routing import LONGEST, MOST, Routes, route
from claude_code_proxy.settings import load_settings
from claude_code_proxy.wire.failure import ApiError

OPENROUTER = {"PREFERRED_PROVIDER": "openrouter", "BIG_MODEL": "qwen/big", "SMALL_MODEL": "qwen/small"}
OLLAMA = {"PREFERRED_PROVIDER": "ollama", "BIG_MODEL": "llama", "SMALL_MODEL": "smol"}
ANTHROPIC = {"PREFERRED_PROVIDER": "anthropic"}

ROUTES: list[tuple[dict[str, str], str, str, str]] = [
    # settings, what the URL pins, the body's model, the target
    ({}, "", "claude-sonnet-5", "openai:gpt-4.1"),
    ({}, "", "claude-haiku-5-5", "openai:gpt-4.1-mini"),
    ({}, "", "claude-opus-5-5[1m]", "openai:gpt-4.1"),
    ({}, "", "CLAUDE-HAIKU-9", "openai:gpt-4.1-mini"),
    ({}, "", "opus", "openai:gpt-4.1"),
    ({}, "", "claude-unheard-of", "openai:gpt-4.1"),
    ({}, "", "gpt-5", "openai:gpt-5"),
    ({}, "", "some-model[1m]", "openai:some-model"),
    ({}, "", "ollama/llama3:8b", "ollama:llama3:8b"),
    ({}, "", "ollama:llama3:8b", "ollama:llama3:8b"),
    ({}, "", "OLLAMA:llama3", "ollama:llama3"),
    ({}, "", "gemini/gemini-2.5-pro", "gemini:gemini-2.5-pro"),
    ({}, "", "google:gemini-2.5-pro", "gemini:gemini-2.5-pro"),
    ({}, "", "qwen/qwen3-coder", "openrouter:qwen/qwen3-coder"),
    ({}, "", "Qwen/Qwen3-Coder", "openrouter:Qwen/Qwen3-Coder"),
    ({}, "", "meta/llama-3.3-70b", "nvidia:meta/llama-3.3-70b"),
    ({}, "", "openrouter:anthropic/claude-sonnet-5", "openrouter:anthropic/claude-sonnet-5"),
    ({}, "", "unknown/model", "openai:unknown/model"),
    ({}, "", "unknown:model", "openai:unknown:model"),
    ({}, "", "/model", "openai:/model"),
    ({}, "", "qwen/", "openai:qwen/"),
    ({}, "", "openai:", "openai:openai:"),
    ({}, "ollama:llama3:8b", "claude-sonnet-5", "ollama:llama3:8b"),
    ({}, "openrouter:qwen/qwen3", "x", "openrouter:qwen/qwen3"),
    ({}, " Ollama : llama3 ", "x", "ollama:llama3"),
    ({}, "openai:qwen/qwen3", "x", "openrouter:qwen/qwen3"),
    ({}, "openai:unknown/model", "x", "openai:unknown/model"),
    ({}, "google:gemini-2.5-pro", "x", "gemini:gemini-2.5-pro"),
    ({"BIG_MODEL": "qwen/big"}, "", "claude-sonnet-5", "openrouter:qwen/big"),
    ({"SMALL_MODEL": "ollama:tiny"}, "", "claude-haiku-5", "ollama:tiny"),
    (OPENROUTER, "", "claude-sonnet-5", "openrouter:qwen/big"),
    (OPENROUTER, "", "claude-haiku-5", "openrouter:qwen/small"),
    (OPENROUTER, "", "anthropic/claude-sonnet-5", "openrouter:anthropic/claude-sonnet-5"),
    (OLLAMA, "", "claude-sonnet-5", "ollama:llama"),
    (OLLAMA, "", "claude-haiku-5", "ollama:smol"),
    ({**OLLAMA, "BIG_MODEL": "hf.co/x/y:q4"}, "", "claude-sonnet-5", "ollama:hf.co/x/y:q4"),
    ({**OLLAMA, "BIG_MODEL": "openai:gpt-5"}, "", "claude-sonnet-5", "openai:gpt-5"),
    (ANTHROPIC, "", "claude-sonnet-5", "anthropic:claude-sonnet-5"),
    (ANTHROPIC, "", "claude-haiku-5[1m]", "anthropic:claude-haiku-5"),
    (ANTHROPIC, "", "qwen/qwen3", "openrouter:qwen/qwen3"),
]


@pytest.mark.parametrize(("env", "pinned", "model", "target"), ROUTES)
def test_where_a_model_goes(env: dict[str, str], pinned: str, model: str, target: str) -> None:
    chosen = route(pinned, model, load_settings(env | {"CLAUDE_CODE_PROXY_ENV_FILE": ""}))
    assert str(chosen) == target
    assert chosen.rule


UNKNOWN = [
    ("nobody:model", "nobody"),
    ("model", "'model' names no provider"),
    ("openai:", "no model"),
    (":model", "is no provider"),
    ("openai: ", "no model"),
]


@pytest.mark.parametrize(("pinned", "word"), UNKNOWN)
def test_a_url_that_pins_nothing_known_is_a_bad_request(pinned: str, word: str) -> None:
    with pytest.raises(ApiError, match=word) as raised:
        route(pinned, "claude-sonnet-5", load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""}))
    assert raised.value.failed.status == 400


def test_a_provider_of_the_users_is_a_target() -> None:
    own: dict[str, dict[str, Any]] = {"own": {"dialect": "anthropic", "base_url": "http://x.test", "vendors": ["mine"]}}
    settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""}, providers=own)
    assert [str(route("", model, settings)) for model in ("own:m", "mine/m")] == ["own:m", "own:mine/m"]


def test_ways_that_were_found_are_kept_up_to_a_bound() -> None:
    settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""})
    routes = Routes(settings)
    first = routes.to("", "m0")
    assert routes.to("", "m0") is first
    assert first == route("", "m0", settings)
    for n in range(MOST):
        assert str(routes.to("", f"m{n + 1}")) == f"openai:m{n + 1}"
    again = routes.to("", "m0")
    assert (again, again is first) == (first, False)  # the oldest was forgotten
    assert routes.to("", f"m{MOST}") is routes.to("", f"m{MOST}")
    long = "m" * (LONGEST + 1)
    assert routes.to("", long) is not routes.to("", long)  # and takes no room


def test_what_a_way_leads_from_is_told_apart() -> None:
    routes = Routes(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", **OLLAMA}))
    asked = [("", "gpt-5", ""), ("openai:gpt-5", "gpt-5", ""), ("", "claude-sonnet-5", ""), ("gemini:x", "gpt-5", "")]
    for _ in range(2):
        assert [str(routes.to(*one)) for one in asked] == ["ollama:gpt-5", "openai:gpt-5", "ollama:llama", "gemini:x"]


def test_what_leads_nowhere_does_so_each_time() -> None:
    routes = Routes(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""}))
    for _ in range(2):
        with pytest.raises(ApiError):
            routes.to("nobody:model", "m")
