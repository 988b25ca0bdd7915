"""What is known of models by name (wire.md §2.3, §8.1), and what a request makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import body, sent
from claude_code_proxy.dialects.effort import LEVELS
from claude_code_proxy.dialects.models import ModelRule, rule_of
from claude_code_proxy.dialects.openai_chat import DIALECT

# The efforts that each takes; what is sent must be among them.
MATRIX: list[tuple[str, str]] = [
    ("gpt-6-astra", "low medium high xhigh max"),
    ("gpt-6.1-sol", "low medium high xhigh max"),
    ("gpt-6-sol", "none low medium high xhigh"),
    ("gpt-6-luna", "none low medium high xhigh"),
    ("gpt-6.1-terra", "none low medium high xhigh"),
    ("gpt-5.6-sol", "none low medium high xhigh"),
    ("gpt-5.5", "none low medium high xhigh"),
    ("gpt-5.5-pro", "medium high xhigh"),
    ("gpt-5.4-pro", "medium high xhigh"),
    ("gpt-5.2-pro", "medium high xhigh"),
    ("gpt-5.4", "none low medium high xhigh"),
    ("gpt-5.4-mini", "none low medium high xhigh"),
    ("gpt-5.3", "none low medium high xhigh"),
    ("gpt-5.2", "none low medium high xhigh"),
    ("gpt-5.1", "none low medium high"),
    ("gpt-5.1-chat-latest", "medium"),
    ("gpt-5.3-chat-latest", "medium"),
    ("gpt-5-chat-latest", ""),
    ("gpt-5-pro", "high"),
    ("gpt-5", "minimal low medium high"),
    ("gpt-5-nano", "minimal low medium high"),
    ("o1", "low medium high"),
    ("o3", "low medium high"),
    ("o4-mini", "low medium high"),
    ("gpt-oss-20b", "low medium high"),
    ("gpt-4o", ""),
    ("gpt-4.1-mini", ""),
    ("qwen3-coder", ""),
]


@pytest.mark.parametrize(("model", "efforts"), MATRIX)
def test_a_model_is_only_told_efforts_that_it_takes(model: str, efforts: str) -> None:
    assert set(rule_of(model).efforts) <= set(efforts.split())


@pytest.mark.parametrize(("model", "efforts"), MATRIX)
def test_the_efforts_of_a_model_are_ordered(model: str, efforts: str) -> None:
    made = rule_of(model).efforts
    assert list(made) == sorted(made, key=LEVELS.index)
    assert bool(made) <= bool(efforts)


ALIKE: list[tuple[str, ...]] = [
    ("gpt-5", "openai/gpt-5", "openai/gpt-5:nitro", "GPT-5", "gpt-5-2025-08-07", "vercel/openai/gpt-5"),
    ("gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o:extended"),
    ("o3", "openai/o3", "o3-2025-04-16"),
    ("gpt-oss-120b", "openai/gpt-oss-120b:free", "accounts/fireworks/models/gpt-oss-120b"),
    ("deepseek-chat", "deepseek/deepseek-v4-pro", "deepseek-ai/DeepSeek-V3.2"),
    ("kimi-k2", "moonshotai/Kimi-K2-Instruct", "moonshotai/kimi-k2:free"),
]


@pytest.mark.parametrize("models", ALIKE)
def test_a_model_is_known_by_all_its_names(models: tuple[str, ...]) -> None:
    assert len({rule_of(model) for model in models}) == 1
    assert rule_of(models[0]) != ModelRule()


UNKNOWN = [
    "",
    "/",
    ":",
    "some-model",
    "llama3.1:8b",
    "x/gpt",
    "my-gpt-5",
    "notgpt-4o",
    "gpt",
    "o",
    "claude-sonnet-5",
    "[",
    "*",
    "?" * 50,
    "日本",
]


@pytest.mark.parametrize("model", UNKNOWN)
def test_nothing_is_known_of_other_models(model: str) -> None:
    assert rule_of(model) == ModelRule()


@given(st.text(max_size=30), st.integers(1, 10**7))
def test_any_name_has_a_rule_that_never_raises_what_is_asked(model: str, asked: int) -> None:
    rule = rule_of(model)
    assert 0 < rule.capped(asked) <= asked


REASONING = [
    "gpt-5",
    "gpt-5.1",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.6-sol",
    "gpt-6-luna",
    "gpt-6-astra",
    "gpt-5-pro",
    "o1",
    "o3",
    "o4-mini",
]


@pytest.mark.parametrize("model", REASONING)
def test_reasoning_models_get_neither_sampling_nor_stop_sequences(model: str) -> None:
    request = sent(DIALECT, body(temperature=0.5, top_p=0.5, stop_sequences=["x"]), model=model)
    assert not {"temperature", "top_p", "stop"} & set(request)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "some-model", "deepseek-chat", "gpt-5-chat-latest"])
def test_other_models_get_them(model: str) -> None:
    request = sent(DIALECT, body(temperature=0.5, top_p=0.5, stop_sequences=["x"]), model=model)
    assert (request["temperature"], request["top_p"], request["stop"]) == (0.5, 0.5, ["x"])


LIMITS = [("gpt-4o", 128_000, 16_384), ("gpt-4o", 100, 100), ("gpt-4.1", 64_000, 32_768), ("gpt-3.5-turbo", 8192, 4096),
          ("gpt-5", 128_000, 128_000), ("o3", 128_000, 100_000), ("gemini-2.5-pro", 128_000, 65_536), ("z-ai/glm-5.2", 200_000, 131_072),
          ("some-model", 128_000, 128_000)]  # fmt: skip


@pytest.mark.parametrize(("model", "asked", "limit"), LIMITS)
def test_the_output_limit_stays_within_the_model_s(model: str, asked: int, limit: int) -> None:
    assert sent(DIALECT, body(max_tokens=asked), model=model)["max_tokens"] == limit


@pytest.mark.parametrize(
    ("asked", "least", "limit"), [(1, 16, 16), (15, 16, 16), (16, 16, 16), (100, 16, 100), (1, 1, 1)]
)
def test_the_output_limit_is_raised_to_the_least_that_is_taken(asked: int, least: int, limit: int) -> None:
    assert sent(DIALECT, body(max_tokens=asked), quirks={"min_tokens": least})["max_tokens"] == limit


F = {"name": "look_up", "input_schema": {"type": "object"}}


@pytest.mark.parametrize("model", ["deepseek-v4-pro", "kimi-k2.5", "moonshotai/kimi-k3"])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look_up"}])
def test_a_model_that_cannot_be_forced_to_call_is_asked_to(model: str, choice: dict[str, Any]) -> None:
    # wire.md §9.1: "use auto + short instruction"
    forced, free = (sent(DIALECT, body(tools=[F], tool_choice=one), model=model) for one in (choice, {"type": "auto"}))
    assert forced["tool_choice"] == "auto"
    assert forced["messages"] != free["messages"]
    if "name" in choice:
        assert "look_up" in str(forced["messages"])
