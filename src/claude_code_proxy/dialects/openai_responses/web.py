"""The provider's own web search, where a client asks Anthropic's servers for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from claude_code_proxy.wire.events import Block
from claude_code_proxy.wire.json_text import fields, items, paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from claude_code_proxy.wire.messages import Request, Tool

SERVER_ID: Final = "srvtoolu_"
"""What the ids of searches begin with at the client; the item's own id follows."""

_PREFIX: Final = "web_search"
_ACTION: Final = ("type", "query", "url", "pattern")
_PLACES: Final = ("city", "region", "country", "timezone")


def search_tool(request: Request) -> Tool | None:
    """The web search that the client asks its server for, if it does."""
    tools = request.get("tools") or ()
    return next((tool for tool in tools if str(tool.get("type", "")).startswith(_PREFIX)), None)


def tools(searching: Tool | None) -> list[dict[str, Any]]:
    """The tool to offer."""
    if searching is None:
        return []
    asked = cast("dict[str, Any]", searching)
    tool: dict[str, Any] = {"type": "web_search"}
    if allowed := _domains(asked, "allowed_domains"):
        tool["filters"] = {"allowed_domains": allowed}
    location = fields(asked.get("user_location"))
    if known := {name: location[name] for name in _PLACES if isinstance(location.get(name), str)}:
        tool["user_location"] = {"type": "approximate", **known}
    return [tool]


def instruction(searching: Tool | None) -> str:
    """What can only be said in words: the API has no field for domains that are not wanted."""
    blocked = _domains(cast("dict[str, Any]", searching or {}), "blocked_domains")
    return f"Do not use search results from these domains: {', '.join(blocked)}." if blocked else ""


def limits(searching: Tool | None, *, alone: bool) -> dict[str, Any]:
    """How often it may search; the API counts all of its own tools' calls as one."""
    most = fields(searching).get("max_uses")
    return {"max_tool_calls": most} if alone and isinstance(most, int) and most > 0 else {}


def _domains(asked: Mapping[str, Any], name: str) -> list[str]:
    return [domain for domain in items(asked.get(name)) if isinstance(domain, str)]


# -- the answer


def carried_search(item: Mapping[str, Any]) -> dict[str, Any]:
    """A search as it goes back with the reasoning before it: without its sources, which the API does not take."""
    action = fields(item.get("action"))
    said: dict[str, Any] = {name: paired(action[name]) for name in _ACTION if isinstance(action.get(name), str)}
    if queries := [paired(query) for query in items(action.get("queries")) if isinstance(query, str)]:
        said["queries"] = queries
    return {"type": "web_search_call", "id": _plain(item.get("id")), "status": "completed", "action": said}


def _query(item: Mapping[str, Any]) -> str | None:
    """What was searched for; None for an item that opened or read a page instead."""
    action = fields(item.get("action"))
    if action.get("type", "search") != "search":
        return None
    queries = [action.get("query"), *items(action.get("queries"))]
    return next((paired(query) for query in queries if isinstance(query, str) and query), "")


def search_blocks(searches: Sequence[tuple[str, dict[str, Any]]], cited: Mapping[str, str]) -> Iterator[Block]:
    """Each search and its hits: `searches` are ids and items, `cited` titles by address from the answer's citations.

    Which search a citation came of is not told: one whose address no search names belongs to the last.
    """
    left = dict(cited)
    asked = [(ident, query, item) for ident, item in searches if (query := _query(item)) is not None]
    for n, (ident, query, item) in enumerate(asked, 1):
        yield Block({"type": "server_tool_use", "id": ident, "name": "web_search", "input": {"query": query}})
        content: Any = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
        if item.get("status") != "failed":
            urls = [fields(source).get("url") for source in items(fields(item.get("action")).get("sources"))]
            hits = {url: left.pop(url, "") for url in map(_plain, urls) if url}
            hits |= left if n == len(asked) else {}
            content = [_hit(url, title) for url, title in hits.items()]
        yield Block({"type": "web_search_tool_result", "tool_use_id": ident, "content": content})


def _plain(url: object) -> str:
    return paired(url) if isinstance(url, str) else ""


def _hit(url: str, title: str) -> dict[str, Any]:
    return {"type": "web_search_result", "url": url, "title": title or url, "encrypted_content": "", "page_age": None}
