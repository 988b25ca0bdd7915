"""Anthropic's cache marks (`cache_control`), for upstreams that take them on the parts of chat messages.

Where they are taken, content is always a list of parts: the marks move on with the conversation, and what was sent
before must not change its form when they do.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects.conversation import ATTRIBUTION, blocks_of, text_in
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.dialects.openai_chat.quirks import Marks
    from claude_code_proxy.wire.messages import Content

_LIFETIMES: Final = frozenset({"5m", "1h"})


def marks_of(model: str, taken: Mapping[str, Marks]) -> Marks:
    """What a model takes, by the first pattern (in lower case) that its name matches."""
    name = model.lower()
    return next((marks for match, marks in taken.items() if fnmatchcase(name, match)), "")


def mark_in(content: object, marks: Marks) -> dict[str, Any]:
    """The mark on a block, or the last one within it, as it is sent: a field to add; nothing where there is none."""
    if not marks:
        return {}
    if isinstance(content, list):
        return next((mark for one in reversed(content) if (mark := mark_in(one, marks))), {})
    block = fields(content)
    mark = fields(block.get("cache_control"))
    if mark.get("type") != "ephemeral":
        return mark_in(block.get("content"), marks) if isinstance(block.get("content"), list) else {}
    ttl = mark.get("ttl")
    lifetime = {"ttl": ttl} if marks == "full" and isinstance(ttl, str) and ttl in _LIFETIMES else {}
    return {"cache_control": {"type": "ephemeral", **lifetime}}


def marked(parts: list[dict[str, Any]], block: Content, marks: Marks) -> list[dict[str, Any]]:
    """The parts that a block became, with its mark on the last text among them."""
    if mark := mark_in(block, marks):
        for n in range(len(parts) - 1, -1, -1):
            if parts[n]["type"] == "text":
                return [*parts[:n], {**parts[n], **mark}, *parts[n + 1 :]]
    return parts


def system_parts(system: object, marks: Marks) -> list[dict[str, Any]]:
    """The system prompt as parts, without the attribution block."""
    parts: list[dict[str, Any]] = []
    for block in blocks_of(system):
        text = text_in(block)
        if text.strip() and not text.startswith(ATTRIBUTION):
            parts += marked([{"type": "text", "text": text}], block, marks)
    return parts
