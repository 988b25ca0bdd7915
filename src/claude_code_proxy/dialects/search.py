"""A web search that the client asks Anthropic's servers for, where there is no such server.

Claude Code's WebSearch is a request with this one tool. A model that is asked without it makes its hits up,
so it is told the truth: the search is not available here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy.dialects.conversation import blocks_of
from claude_code_proxy.wire.events import Block, Stop, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Request

_PREFIX: Final = "web_search"
_SORRY: Final = "Web search is not available through this provider."


def is_search(request: Request) -> bool:
    """Whether the request is for a server's web search and nothing else."""
    tools = request.get("tools") or ()
    return bool(tools) and all(str(tool.get("type", "")).startswith(_PREFIX) for tool in tools)


def unavailable(request: Request, seed: str) -> tuple[Event, ...]:
    """The answer: a search that failed, in the shape the client shows, and a sentence for the model."""
    ident = f"srvtoolu_{seed}"
    texts = [block.get("text") for block in blocks_of(request["messages"][-1]["content"])]
    query = " ".join(text for text in texts if isinstance(text, str))[:500]
    error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return (
        Block({"type": "server_tool_use", "id": ident, "name": "web_search", "input": {"query": query}}),
        Block({"type": "web_search_tool_result", "tool_use_id": ident, "content": error}),
        Text(_SORRY),
        Stop("end_turn"),
    )


class Hit(Struct, frozen=True):
    """A page that a search found."""

    url: str
    title: str = ""


def found(query: str, hits: Sequence[Hit], seed: str) -> tuple[Event, ...]:
    """A search that an upstream made and what it found, in the shape of Anthropic's own."""
    ident = f"srvtoolu_{seed}"
    pages = {hit.url: hit for hit in hits}  # each once
    content = [
        {"type": "web_search_result", "url": hit.url, "title": hit.title, "encrypted_content": "", "page_age": None}
        for hit in pages.values()
    ]
    return (
        Block({"type": "server_tool_use", "id": ident, "name": "web_search", "input": {"query": query}}),
        Block({"type": "web_search_tool_result", "tool_use_id": ident, "content": content}),
    )
