"""What Claude Code takes models for, and what it is told instead."""

from __future__ import annotations

import pytest

from claude_code_proxy.claude_code import advice, believed

M = 1_000_000


@pytest.mark.parametrize(
    ("model", "context", "fixed"),
    [
        ("opus", M, True),
        ("claude-opus-5-5", M, True),
        ("claude-fable-5-2", M, True),
        ("anthropic/claude-opus-5-5", M, True),
        ("claude-sonnet-4-5", 200_000, True),
        ("claude-3-5-haiku-20241022", 200_000, True),
        ("claude-via-openrouter:anthropic/claude-sonnet-4.5", 200_000, True),
        ("claude-via-opus", M, False),
        ("claude-via-openai:gpt-4.1", M, False),
        ("openai:gpt-4.1", M, False),
        ("OpenAI:GPT-4o", M, False),
    ],
)
def test_what_it_takes_a_model_for(model: str, context: int, fixed: bool) -> None:  # noqa: FBT001
    taken = believed(model)
    assert (taken.context, taken.fixed) == (context, fixed)


@pytest.mark.parametrize(
    ("model", "target", "context", "told"),
    [
        ("gpt-4o", "openai:gpt-4o", 128_000, "CLAUDE_CODE_MAX_CONTEXT_TOKENS=128000"),
        (
            "claude-opus-5-5",
            "openai:gpt-4o",
            128_000,
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS=128000 ANTHROPIC_MODEL=openai:gpt-4o",
        ),
        ("claude-sonnet-4-5", "openrouter:anthropic/claude-sonnet-4.5", 100_000, ""),
        ("claude-sonnet-4-5", "openai:gpt-4.1", 1_047_576, ""),
        ("gpt-4.1", "openai:gpt-4.1", 1_047_576, ""),
        ("gpt-4o", "openai:gpt-4o", 0, ""),
    ],
)
def test_what_it_is_told(model: str, target: str, context: int, told: str) -> None:
    assert advice(model, target, context) == told
