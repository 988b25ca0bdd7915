"""A request in Anthropic's format, put plainly for servers that speak the format but not all of it.

What such a server does not know it leaves out without a word, so the model would miss it. Tools that Claude Code
loads late come behind the others and the words that load them are text, documents are text, and what is for
Anthropic's accounting is left out: it differs from session to session, and a local server would read the whole prompt
anew. All of it is done the same way on every turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects.conversation import ATTRIBUTION, as_text, offered
from claude_code_proxy.dialects.documents import document_text
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.head import body_of
from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.head import Head
    from claude_code_proxy.wire.messages import Request

_SIGNS: Final = (b'"defer_loading"', b'"tool_reference"', b'"document"')
"""What a body must hold for there to be anything to put plainly."""


def without_attribution(head: Head) -> list[Any] | None:
    """The system prompt without the client's attribution; None if that is not in it."""
    raw = bytes(head.fields.get("system", b""))
    if ATTRIBUTION.encode() not in raw:
        return None
    try:
        blocks = items(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # whoever is asked will say what is wrong with it
    kept = [block for block in blocks if not str(fields(block).get("text")).startswith(ATTRIBUTION)]
    return kept if len(kept) < len(blocks) else None


def plain_changes(head: Head, messages: Sequence[Any] | None) -> dict[str, Any]:
    """The fields that are put plainly. `messages` are those to send, where they are not the body's own."""
    if not any(sign in head.raw for sign in _SIGNS):
        return {}
    try:
        request = checked(body_of(head))
    except ApiError:
        return {}  # the server judges it
    before = list(request["messages"] if messages is None else messages)
    after = [_told(message) for message in before]
    changes: dict[str, Any] = {}
    if any(a is not b for a, b in zip(after, before, strict=True)):
        changes["messages"] = after
    tools = _tools(request)
    if tools != (request.get("tools") or []):
        changes["tools"] = tools
    return changes


def _tools(request: Request) -> list[Any]:
    """The tools that the model is to know now, those loaded late last; those of the server's own stay."""
    theirs = [tool for tool in request.get("tools") or () if (tool.get("type") or "custom") != "custom"]
    mine = [{key: value for key, value in tool.items() if key != "defer_loading"} for tool in offered(request)]
    return [*theirs, *mine]


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
