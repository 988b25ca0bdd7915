"""A web search that the provider makes with a tool of its server's own (OpenRouter)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects import search
from claude_code_proxy.dialects.search import Hit
from claude_code_proxy.wire.events import Citation, Failed, Stop, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.wire.events import Event


def search_tool(name: str, wanted: Search) -> dict[str, Any]:
    """The tool of this name, for a search. Source: OpenRouter's reference of server tools, November 2026."""
    parameters: dict[str, Any] = {}
    if wanted.allowed:
        parameters["allowed_domains"] = list(wanted.allowed)
    elif wanted.blocked:
        parameters["excluded_domains"] = list(wanted.blocked)
    return {"type": name, **({"parameters": parameters} if parameters else {})}


class Searched:
    """Puts what a reply cites before its text, as Anthropic's own search does. The text waits for its end."""

    __slots__ = ("_said", "_search")

    def __init__(self, wanted: Search) -> None:
        self._search = wanted
        self._said: list[Event] = []

    def feed(self, event: Event, /) -> Sequence[Event]:
        if isinstance(event, (Text, Citation)):
            self._said.append(event)
            return ()
        return (*self.close(), event) if isinstance(event, (Stop, Failed)) else (event,)

    def close(self) -> Sequence[Event]:
        said, self._said = self._said, []
        hits = [Hit(one.url, one.title) for one in said if isinstance(one, Citation)]
        return (*search.found(self._search.query, hits, self._search.seed), *said) if hits else said
