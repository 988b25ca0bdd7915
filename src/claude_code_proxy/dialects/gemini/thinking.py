"""How Gemini is told how hard to think."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects.effort import raised, wanted

if TYPE_CHECKING:
    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.wire.messages import Request

_BUDGETS: Final[dict[str, int]] = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
"""Tokens for a level; above `high` all that the model takes."""


def thinking_config(request: Request, rule: ModelRule, limit: int) -> dict[str, Any]:
    """The `thinkingConfig`: a level for models that take one, else a budget; empty leaves it to the model.

    `limit` is the output limit that is asked for. It counts the thinking, so that must leave room.
    """
    level = wanted(request)
    if level is None or not rule.efforts:
        return {}
    off = level == "none"
    if not rule.thinking_budget:
        # A level between two is the higher one, as at Google's own OpenAI-compatible endpoint.
        told: dict[str, Any] = {"thinkingLevel": raised(level, rule.efforts).upper()}
    elif off and "none" in rule.efforts:
        return {"thinkingBudget": 0}
    else:
        told = {"thinkingBudget": _budget(request, level, rule.thinking_budget, limit)}
    return told if off else {**told, "includeThoughts": True}


def _budget(request: Request, level: str, taken: tuple[int, ...], limit: int) -> int:
    least, most = taken[0], taken[-1]
    thinking = request.get("thinking") or {}
    asked = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    if not isinstance(asked, int):
        asked = least if level == "none" else _BUDGETS.get(level, most)
    if asked >= limit:
        asked = limit // 2
    return max(least, min(asked, most))
