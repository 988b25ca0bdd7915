"""A conversation in Anthropic's format, put plainly for servers that speak the format but not all of it.

What such a server does not know it leaves out without a word, so the model would miss it: documents, and the
references by which Claude Code loads tools. They become text, the same way on every turn; nothing else is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects.conversation import as_text
from claude_code_proxy.dialects.documents import document_text
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.head import body_of
from claude_code_proxy.wire.json_text import fields
from claude_code_proxy.wire.scan import holds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.head import Head

_SIGNS: Final = (b'"tool_reference"', b'"document"')
"""What a body must hold for there to be anything to put plainly."""


def plain_messages(head: Head, messages: Sequence[Any] | None) -> list[Any] | None:
    """The messages, put plainly; None if they are plain. `messages` are those to send, where not the body's own."""
    if not holds(head.raw, *_SIGNS):
        return None
    try:
        before = list(checked(body_of(head))["messages"] if messages is None else messages)
    except ApiError:
        return None  # the server judges it
    after = [_told(message) for message in before]
    return after if any(a is not b for a, b in zip(after, before, strict=True)) else None


def _told(value: Any) -> Any:
    """A message or block without what is not known there: itself if nothing is."""
    content = fields(value).get("content")
    if not isinstance(content, list):
        return value
    told = [_block(block) for block in content]
    return {**value, "content": told} if any(a is not b for a, b in zip(told, content, strict=True)) else value


def _block(block: Any) -> Any:
    match fields(block).get("type"):
        case "tool_reference":
            return {"type": "text", "text": as_text(block)}
        case "document":
            return {"type": "text", "text": document_text(block)}
        case "tool_result":
            return _told(block)
        case _:
            return block
