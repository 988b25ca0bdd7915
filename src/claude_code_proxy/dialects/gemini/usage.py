"""Google's token counts in Anthropic's meaning."""

from __future__ import annotations

from typing import Any

from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.json_text import MOST, fields


def usage_in(chunk: dict[str, Any]) -> Usage | None:
    """The usage that a chunk tells so far; None for none.

    Google counts cached tokens into the prompt, what its own tools read beside it, and thoughts beside the answer.
    """
    usage = fields(chunk.get("usageMetadata"))
    prompt, said = _count(usage, "promptTokenCount"), _count(usage, "candidatesTokenCount")
    thoughts = _count(usage, "thoughtsTokenCount")
    if prompt is None and said is None and thoughts is None:
        return None
    cached = _count(usage, "cachedContentTokenCount")
    if prompt is not None:
        prompt = max(0, prompt + (_count(usage, "toolUsePromptTokenCount") or 0) - (cached or 0))
    output = None if said is None and thoughts is None else (said or 0) + (thoughts or 0)
    return Usage(prompt, output, cached, None, thoughts)


def _count(counts: dict[str, Any], name: str) -> int | None:
    value = counts.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST else None
