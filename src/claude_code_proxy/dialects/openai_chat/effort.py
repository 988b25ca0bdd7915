"""How hard the model should think, from Anthropic's two ways of saying it to an upstream's level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.dialects.openai_chat.quirks import Quirks
    from claude_code_proxy.wire.messages import Request

LEVELS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_BUDGETS: Final = ((512, "minimal"), (1024, "low"), (8192, "medium"), (24_576, "high"))
"""The level for a thinking budget of at most so many tokens; above, `xhigh`."""

_ADAPTIVE: Final = "high"
"""What Claude takes adaptive thinking without a level for."""

_OFF: Final = frozenset({"disabled", "between_tools"})


def wanted(request: Request) -> str | None:
    """The level the client asks for; None leaves it to the model."""
    thinking = request.get("thinking") or {}
    if thinking.get("type") in _OFF:
        return "none"
    budget = thinking.get("budget_tokens")
    if thinking.get("type") == "enabled" and isinstance(budget, int):
        return next((level for most, level in _BUDGETS if budget <= most), "xhigh")
    level = (request.get("output_config") or {}).get("effort")
    return level if level in LEVELS else _ADAPTIVE if thinking.get("type") == "adaptive" else None


def clipped(level: str, taken: Sequence[str]) -> str:
    """The strongest level taken that is not above the wanted one, or the weakest taken."""
    rank = LEVELS.index(level)
    return max((one for one in taken if LEVELS.index(one) <= rank), key=LEVELS.index, default=taken[0])


def effort_fields(request: Request, rule: ModelRule, quirks: Quirks, *, tools: bool) -> dict[str, Any]:
    """The fields that tell the upstream; none where it would refuse them."""
    level = wanted(request)
    if level is None or not quirks.effort:
        return {}
    if quirks.effort == "reasoning":  # OpenRouter drops what a model does not take
        if level == "none" and level not in rule.efforts:  # models with levels but without this one refuse it
            return {} if rule.efforts else {"reasoning": {"enabled": False}}
        return {"reasoning": {"effort": clipped(level, rule.efforts) if rule.efforts else level}}
    if not rule.efforts or (tools and not rule.effort_with_tools):
        return {}
    return {"reasoning_effort": clipped(level, rule.efforts)}
