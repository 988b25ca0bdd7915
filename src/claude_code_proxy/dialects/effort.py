"""How hard the model should think, from Anthropic's two ways of saying it to an upstream's level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def raised(level: str, taken: Sequence[str]) -> str:
    """The weakest level taken that is not below the wanted one, or the strongest taken."""
    rank = LEVELS.index(level)
    return min((one for one in taken if LEVELS.index(one) >= rank), key=LEVELS.index, default=taken[-1])
