"""What Claude did not say, taken out of a conversation before it goes to Claude.

A conversation may have been with other models before. Their thinking carries signatures of ours, and their web
searches hits without Anthropic's seals, which it refuses. The thinking is dropped, as Anthropic asks when a model
is switched; of the searches the words stay. What is taken out is the same on every turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.wire import signature
from claude_code_proxy.wire.json_text import fields, items
from claude_code_proxy.wire.scan import holds

if TYPE_CHECKING:
    from claude_code_proxy.wire.head import Head

_SIGNS: Final = (signature.MARK.encode(), b'"encrypted_content"', b'"encrypted_index"')
"""What a body must hold for there to be anything to take out."""


def own_messages(head: Head) -> list[Any] | None:
    """The messages without what other models left; None if there is nothing of theirs."""
    if not holds(head.raw, *_SIGNS):
        return None
    try:
        messages = msgspec.json.decode(head.fields.get("messages", b"[]"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # whoever is asked will say what is wrong with it
    if not isinstance(messages, list):
        return None
    kept = [_kept(message) for message in messages]
    out = [message for message in kept if message is not None]
    return out if len(out) < len(messages) or any(a is not b for a, b in zip(out, messages, strict=True)) else None


def _kept(message: Any) -> Any:
    """A message without what is foreign: itself if nothing is, None if nothing else is in it."""
    blocks = fields(message).get("content")
    if not isinstance(blocks, list) or message.get("role") != "assistant":
        return message
    failed = {
        str(fields(block).get("tool_use_id"))
        for block in blocks
        if fields(block).get("type") == "web_search_tool_result" and _unsealed(fields(block))
    }
    kept = [_own(block) for block in blocks if not _foreign(fields(block), failed)]
    if len(kept) == len(blocks) and all(a is b for a, b in zip(kept, blocks, strict=True)):
        return message
    return {**message, "content": kept} if kept else None


def _foreign(block: dict[str, Any], searches: set[str]) -> bool:
    match block.get("type"):
        case "thinking":
            said = block.get("signature")
            return isinstance(said, str) and said.startswith(signature.MARK)
        case "server_tool_use":
            return str(block.get("id")) in searches
        case "web_search_tool_result":
            return str(block.get("tool_use_id")) in searches
        case _:
            return False


def _unsealed(result: dict[str, Any]) -> bool:
    """Whether the hits of a search are not Anthropic's own."""
    return any(fields(hit).get("encrypted_content") == "" for hit in items(result.get("content")))


def _own(block: Any) -> Any:
    """A text without citations of pages that Anthropic did not find."""
    cited = items(fields(block).get("citations"))
    if not any(fields(one).get("encrypted_index") == "" for one in cited):
        return block
    return {name: value for name, value in block.items() if name != "citations"}
