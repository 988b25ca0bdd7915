"""A Responses API's token counts in Anthropic's meaning."""

from __future__ import annotations

from typing import Any

from claude_code_proxy.wire.billed import cost_in
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.json_text import MOST, fields


def usage_in(response: dict[str, Any]) -> Usage | None:
    """The usage that a response carries; None for none.

    What came from a cache or went into one is part of the input here and not in Anthropic's. Reasoning is part
    of the output; where it is counted beside it, the total tells.
    """
    usage = fields(response.get("usage"))
    if not usage:
        return None
    prompt, answer = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    asked, said = fields(usage.get("input_tokens_details")), fields(usage.get("output_tokens_details"))
    read, written = _count(asked, "cached_tokens"), _count(asked, "cache_write_tokens")
    thinking = _count(said, "reasoning_tokens")
    if thinking and answer is not None and _count(usage, "total_tokens") == (prompt or 0) + answer + thinking:
        answer += thinking
    if prompt is not None:
        prompt = max(0, prompt - (read or 0) - (written or 0))
    return Usage(prompt, answer, read, written, thinking, cost_in(usage))


def _count(counts: dict[str, Any], name: str) -> int | None:
    value = counts.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST else None
