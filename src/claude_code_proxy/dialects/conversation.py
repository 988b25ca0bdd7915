"""What every translation makes of a conversation in Anthropic's shape, whatever the wire format it goes into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from claude_code_proxy.wire.json_text import items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.wire.messages import Content, Message, Request, Tool

ATTRIBUTION: Final = "x-anthropic-billing-header:"
"""Claude Code's first system block. It is for Anthropic's accounting and differs between sessions."""

SERVER_BLOCKS: Final = frozenset({"server_tool_use", "web_search_tool_result", "web_fetch_tool_result"})
"""What Anthropic's servers did in a turn of Claude's. Another model is told of it in text."""

NO_RESULT: Final = "[The tool call was interrupted: there is no result.]"
NO_OUTPUT: Final = "(no output)"

_PLACEHOLDER: Final = "DeferredToolPlaceholder"
"""A tool that Claude Code lists so that a request with deferred tools only is not one without tools."""


def system_text(system: str | list[Content] | None) -> str:
    """The system prompt as one text, without the attribution block."""
    if not system:
        return ""
    if isinstance(system, str):
        return system
    texts = (block["text"] for block in system if block.get("type") == "text")
    return "\n\n".join(text for text in texts if text.strip() and not text.startswith(ATTRIBUTION))


def blocks_of(content: object) -> Sequence[Content]:
    """Content as blocks, whichever of its two forms it has; what is neither has none."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    blocks: list[Content] = items(content)
    for block in blocks:
        if type(block) is not dict:  # one in a document, where nothing is checked
            return [one for one in blocks if type(one) is dict]
    return blocks


def blocks_said(message: Message) -> Sequence[Content]:
    """The same of a message, whose blocks were checked."""
    content = message["content"]
    return content if isinstance(content, list) else blocks_of(content)


def blocks_in(turns: Sequence[Message]) -> Sequence[Content]:
    """The blocks of these turns, without those of system messages among them."""
    if len(turns) == 1 and turns[0]["role"] != "system":  # nearly always
        return blocks_said(turns[0])
    return [block for message in turns if message["role"] != "system" for block in blocks_said(message)]


def results_of(turns: Sequence[Message], calls: Sequence[str]) -> list[Content | None]:
    """The result of each of these calls, which are ids in the order of the calls; None where there is none.

    An id that comes twice stands for two calls, whose results come in their order; one result serves both.
    """
    if not calls:
        return []
    results: dict[str, list[Content]] = {}
    for block in blocks_in(turns):
        if block.get("type") == "tool_result":
            results.setdefault(block["tool_use_id"], []).append(block)
    found: list[Content | None] = []
    for ident in calls:
        mine = results.get(ident)
        found.append(None if not mine else mine.pop(0) if len(mine) > 1 else mine[0])
    return found


def result_text(block: Content) -> str:
    """The text of a tool result. Its images and documents follow in a user message, and are announced here."""
    text = words_of(block)
    return f"Error: {text}" if block.get("is_error") else text


def words_of(block: Content) -> str:
    """The same without a word on whether the tool failed, for where that is told in another way."""
    if isinstance(content := block.get("content"), str):
        return content or NO_OUTPUT
    return "\n".join(filter(None, map(as_text, blocks_of(content)))) or NO_OUTPUT


def text_in(block: Content) -> str:
    """The text of a text block; nothing where it has none."""
    text = block.get("text")
    return text if isinstance(text, str) else ""


def as_text(block: Content) -> str:
    """A block as text, for where nothing but text may stand."""
    match block.get("type"):
        case "text":
            return text_in(block)
        case "image":
            return "[The image follows.]"
        case "document":
            return "[The document follows.]"
        case "tool_reference":
            return f"Loaded tool: {block.get('tool_name')}"
        case "search_result":
            return f"{block.get('title', '')} ({block.get('source', '')})\n{result_text(block)}"
        case _:
            return msgspec.json.encode(block).decode()


def offered(request: Request) -> list[Tool]:
    """The tools to send: those of the client, and of its deferred ones those that were loaded.

    A deferred tool is loaded once a tool result refers to it. Loaded ones come last, in the order of their
    loading: so the list only ever grows at its end, and the prompt's prefix stays what it was. Tools that
    Anthropic's servers would run (those with a type of their own) have no counterpart.
    """
    mine = [tool for tool in request.get("tools") or () if (tool.get("type") or "custom") == "custom"]
    at_once = [tool for tool in mine if not tool.get("defer_loading") and tool["name"] != _PLACEHOLDER]
    deferred = {tool["name"]: tool for tool in mine if tool.get("defer_loading")}
    loaded = dict.fromkeys(name for name in _references(request["messages"]) if name in deferred) if deferred else {}
    return [*at_once, *(deferred[name] for name in loaded)]


def _references(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        for block in blocks_of(message["content"]):
            if block.get("type") == "tool_result":
                inner = blocks_of(block.get("content"))
                yield from (one["tool_name"] for one in inner if one.get("type") == "tool_reference")
