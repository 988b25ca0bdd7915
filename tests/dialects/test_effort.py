"""How hard the model should think: both of Anthropic's ways of saying it, to every upstream's own (wire.md §2.3, §9.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import body, sent
from claude_code_proxy.dialects.effort import LEVELS, clipped
from claude_code_proxy.dialects.openai_chat import DIALECT

OPENAI = {"effort": "reasoning_effort", "max_tokens": "max_completion_tokens"}
OPENROUTER = {"effort": "reasoning"}
TOOL = [{"name": "f"}]


def thinking(kind: str, **fields: Any) -> dict[str, Any]:
    return {"thinking": {"type": kind, **fields}}


def effort(level: str) -> dict[str, Any]:
    return {"output_config": {"effort": level}}


def told(model: str, quirks: dict[str, Any], **fields: Any) -> Any:
    """The level of effort that the upstream is told; None for nothing."""
    request = sent(DIALECT, body(max_tokens=32_000, **fields), model=model, quirks=quirks)
    return request.get("reasoning_effort", request.get("reasoning"))


ASKED: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    (effort("low"), "low"),
    (effort("medium"), "medium"),
    (effort("high"), "high"),
    (effort("xhigh"), "xhigh"),
    (effort("max"), "xhigh"),
    (effort("unheard_of"), None),
    ({**thinking("adaptive"), **effort("medium")}, "medium"),
    ({**thinking("adaptive", display="omitted"), **effort("low")}, "low"),
    (thinking("adaptive"), "high"),
    (thinking("disabled"), "none"),
    ({**thinking("disabled"), **effort("high")}, "none"),
    (thinking("between_tools"), "none"),
    (thinking("enabled", budget_tokens=1024), "low"),
    (thinking("enabled", budget_tokens=1025), "medium"),
    (thinking("enabled", budget_tokens=8192), "medium"),
    (thinking("enabled", budget_tokens=8193), "high"),
    (thinking("enabled", budget_tokens=24_576), "high"),
    (thinking("enabled", budget_tokens=31_999), "xhigh"),
    ({**thinking("enabled"), **effort("low")}, "low"),
    (thinking("unheard_of"), None),
]


@pytest.mark.parametrize(("fields", "level"), ASKED)
def test_what_is_asked_for_is_told(fields: dict[str, Any], level: str | None) -> None:
    assert told("gpt-5.2", OPENAI, **fields) == level


CLIPPED: list[tuple[str, str, str | None]] = [
    ("gpt-5.1", "max", "high"),
    ("gpt-5.1", "none", "none"),
    ("gpt-5", "max", "high"),
    ("gpt-5", "none", "minimal"),
    ("gpt-5-mini-2025-08-07", "none", "minimal"),
    ("gpt-5-pro", "low", "high"),
    ("o3", "none", "low"),
    ("o4-mini", "xhigh", "high"),
    ("gpt-oss-120b", "max", "high"),
    ("gpt-6-astra", "max", "max"),
    ("gpt-6-astra", "none", "low"),
    ("gpt-6.1-sol", "none", "low"),
    ("gpt-6-luna", "none", "none"),
    ("gpt-5.6-terra", "xhigh", "xhigh"),
    ("gpt-5.5", "none", "none"),
    ("gpt-5.5-pro", "low", "medium"),
    ("gpt-5.4-pro", "none", "medium"),
    ("gpt-5.2-pro", "max", "xhigh"),
    ("gpt-4o", "high", None),
    ("gpt-4.1", "high", None),
    ("gpt-5-chat-latest", "high", None),
    ("some-model", "high", None),
]


@pytest.mark.parametrize(("model", "asked", "level"), CLIPPED)
def test_a_model_is_told_a_level_that_it_takes(model: str, asked: str, level: str | None) -> None:
    fields = thinking("disabled") if asked == "none" else effort(asked)
    assert told(model, OPENAI, **fields) == level


@pytest.mark.parametrize(
    ("model", "level"), [("gpt-5.4", None), ("gpt-5.5", None), ("gpt-5.2", "high"), ("gpt-5", "high")]
)
def test_a_model_that_does_not_take_effort_with_tools_is_not_told(model: str, level: str | None) -> None:
    assert told(model, OPENAI, tools=TOOL, **effort("high")) == level


@pytest.mark.parametrize("quirks", [{}, {"effort": ""}])
@pytest.mark.parametrize("fields", [effort("high"), thinking("disabled"), thinking("enabled", budget_tokens=2000)])
def test_an_upstream_without_such_a_field_is_told_nothing(quirks: dict[str, Any], fields: dict[str, Any]) -> None:
    assert sent(DIALECT, body(**fields), model="gpt-5", quirks=quirks) == sent(
        DIALECT, body(), model="gpt-5", quirks=quirks
    )


ROUTED: list[tuple[str, dict[str, Any], Any]] = [
    ("x/unknown", {}, None),
    ("x/unknown", effort("max"), {"effort": "max"}),
    ("x/unknown", effort("low"), {"effort": "low"}),
    ("x/unknown", {**thinking("adaptive"), **effort("high")}, {"effort": "high"}),
    ("openai/gpt-5", effort("max"), {"effort": "high"}),
    ("openai/gpt-5.4", {**effort("high"), "tools": TOOL}, {"effort": "high"}),
    ("anthropic/claude-sonnet-5", thinking("enabled", budget_tokens=5000), {"effort": "medium"}),
]


@pytest.mark.parametrize(("model", "fields", "expected"), ROUTED)
def test_openrouter_is_told_in_its_own_object(model: str, fields: dict[str, Any], expected: Any) -> None:
    assert told(model, OPENROUTER, **fields) == expected


@pytest.mark.parametrize("model", ["x/unknown", "deepseek/deepseek-v4-pro", "openai/gpt-5.1"])
def test_openrouter_is_told_to_leave_thinking_out(model: str) -> None:
    # §9.3: disabled means off. The client's classifier asks so with 64 tokens, which a thought would use up.
    assert told(model, OPENROUTER, **thinking("disabled")) in ({"effort": "none"}, {"enabled": False})


@given(st.sampled_from(LEVELS), st.lists(st.sampled_from(LEVELS), min_size=1, unique=True))
def test_a_clipped_level_is_the_nearest_one_that_is_taken(level: str, taken: list[str]) -> None:
    taken = sorted(taken, key=LEVELS.index)
    made = clipped(level, taken)
    ranks = [LEVELS.index(one) for one in taken]
    below = [rank for rank in ranks if rank <= LEVELS.index(level)]
    assert LEVELS.index(made) == (max(below) if below else min(ranks))
