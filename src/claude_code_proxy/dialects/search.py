"""A web search that the client asks Anthropic's servers for, where there is no such server.

Claude Code's WebSearch is a request with this one tool. A model that is asked without it makes its hits up. So the
search is made by the provider, or by an engine of the user's, or told to be unavailable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from claude_code_proxy.dialects.conversation import blocks_of
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.events import Block, Stop, Text
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.json_text import items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.head import Head
    from claude_code_proxy.wire.messages import Request

_PREFIX: Final = "web_search"
_ASKED: Final = "perform a web search for the query:"
"""What Claude Code's WebSearch puts before the query (2.1.330)."""

_LONGEST: Final = 400
"""Characters of a query: what the engines take."""


class Search(Struct, frozen=True):
    """A web search to make in place of an upstream's answer. `seed` is unique to the reply."""

    query: str
    seed: str
    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


def is_search(request: Request) -> bool:
    """Whether the request is for a server's web search and nothing else."""
    tools = request.get("tools") or ()
    return bool(tools) and all(str(tool.get("type", "")).startswith(_PREFIX) for tool in tools)


def search_of(request: Request, seed: str) -> Search:
    """The search that a request for nothing else wants."""
    texts = [block.get("text") for block in blocks_of(request["messages"][-1]["content"])]
    query = " ".join(" ".join(text for text in texts if isinstance(text, str)).split())
    if query.lower().startswith(_ASKED):
        query = query[len(_ASKED) :].strip()
    tool: Any = next(iter(request.get("tools") or ()), {})
    allowed, blocked = (
        tuple(domain for domain in items(tool.get(name)) if isinstance(domain, str) and domain)
        for name in ("allowed_domains", "blocked_domains")
    )
    return Search(query[:_LONGEST], seed, allowed, blocked)


def searching(head: Head, seed: str) -> Search | None:
    """The search that a request for nothing else wants; None for any other request, as nearly all are."""
    tools, messages = head.fields.get("tools"), head.fields.get("messages")
    if tools is None or messages is None or b'"web_search' not in bytes(tools):
        return None
    try:
        request: Any = checked(
            {"tools": msgspec.json.decode(tools), "messages": msgspec.json.decode(messages)}, counting=True
        )
    except (ApiError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # whoever is asked will say what is wrong with it
    return search_of(request, seed) if is_search(request) else None


def unavailable(search: Search, why: str) -> tuple[Event, ...]:
    """The answer: a search that failed, in the shape the client shows, and a sentence for the model."""
    ident = f"srvtoolu_{search.seed}"
    error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return (
        Block({"type": "server_tool_use", "id": ident, "name": "web_search", "input": {"query": search.query}}),
        Block({"type": "web_search_tool_result", "tool_use_id": ident, "content": error}),
        Text(f"Web search is not available through this provider. {why}"),
        Stop("end_turn"),
    )


class Hit(Struct, frozen=True):
    """A page that a search found: what it says of the query, and its date as the engine writes it."""

    url: str
    title: str = ""
    text: str = ""
    age: str = ""


def found(query: str, hits: Sequence[Hit], seed: str) -> tuple[Event, ...]:
    """A search that an upstream made and what it found, in the shape of Anthropic's own."""
    ident = f"srvtoolu_{seed}"
    pages = {hit.url: hit for hit in hits}  # each once
    content = [
        {
            "type": "web_search_result",
            "url": hit.url,
            "title": hit.title,
            "encrypted_content": "",
            "page_age": hit.age or None,
        }
        for hit in pages.values()
    ]
    return (
        Block({"type": "server_tool_use", "id": ident, "name": "web_search", "input": {"query": query}}),
        Block({"type": "web_search_tool_result", "tool_use_id": ident, "content": content}),
    )
