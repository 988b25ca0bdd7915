"""A chat upstream's token counts in Anthropic's meaning."""

from __future__ import annotations

from typing import Any, Final

from claude_code_proxy.wire.billed import cost_in
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.json_text import MOST, fields

_CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens")
"""Where DeepSeek and Kimi count what came from their caches."""

_CREATED: Final = "cache_creation_input_tokens"
"""Where DashScope counts what went into its cache."""


def usage_in(chunk: dict[str, Any]) -> Usage | None:
    """The usage that a chunk carries, wherever it carries it; None for none.

    Chat counts cached tokens into the prompt, Anthropic does not. Reasoning is part of the completion,
    but some (xAI) count it beside: their total tells.
    """
    usage = fields(chunk.get("usage")) or fields(fields(chunk.get("x_groq")).get("usage"))
    if not usage:
        return None
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    asked, said = fields(usage.get("prompt_tokens_details")), fields(usage.get("completion_tokens_details"))
    read = _count(asked, "cached_tokens")
    for name in _CACHED:
        read = _count(usage, name) if read is None else read
    written = _count(asked, "cache_write_tokens")
    if written is None:
        written = _count(asked, _CREATED)
    thinking = _count(said, "reasoning_tokens")
    total = _count(usage, "total_tokens")
    if thinking and completion is not None and total == (prompt or 0) + completion + thinking:
        completion += thinking
    if prompt is not None:
        prompt = max(0, prompt - (read or 0) - (written or 0))
    return Usage(prompt, completion, read, written, thinking, cost_in(usage))


def _count(counts: dict[str, Any], name: str) -> int | None:
    value = counts.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST else None
