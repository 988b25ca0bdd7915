"""What an upstream says that its answer cost, wherever its usage says it."""

from __future__ import annotations

from typing import Any, Final

from claude_code_proxy.wire.json_text import fields

DEAREST: Final = 1e6
"""USD. What is said to cost more than this is no cost of one answer."""

_NAMED: Final = {"cost": 1.0, "estimated_cost": 1.0, "cost_in_usd_ticks": 1e-10}
"""The field, and the USD that one of its unit is: OpenRouter's and gateways' like it, DeepInfra's, xAI's.

Their API references, November 2026; the unit of xAI's agrees with its recorded answers and its prices.
"""


def cost_in(usage: dict[str, Any]) -> float | None:
    """The USD that a usage object names as the cost of the answer; None where it names none that makes sense.

    OpenRouter's `cost` leaves out what another provider bills for the user's own key there, and tells it beside
    (`is_byok`, its page on usage accounting, November 2026). Perplexity's `cost` is an object with a total.
    """
    for name, unit in _NAMED.items():
        if (held := usage.get(name)) is None:  # nearly always
            continue
        cost = _dollars(fields(held).get("total_cost", held), unit)
        if cost is not None and usage.get("is_byok") is True:
            beside = _dollars(fields(usage.get("cost_details")).get("upstream_inference_cost"))
            return None if beside is None else cost + beside
        if cost is not None:
            return cost
    return None


def _dollars(value: object, unit: float = 1.0) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value * unit if 0 <= value <= DEAREST / unit else None
