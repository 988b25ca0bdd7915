"""The fields in which chat upstreams are told how hard to think."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects.effort import clipped, wanted

if TYPE_CHECKING:
    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.dialects.openai_chat.quirks import Quirks
    from claude_code_proxy.wire.messages import Request


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
