"""What Google found in the web, as Anthropic's web search tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects.search import Hit, found
from claude_code_proxy.wire.events import Citation, Text
from claude_code_proxy.wire.json_text import fields, items, paired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_code_proxy.wire.events import Event


class Grounding:
    """The grounding of one reply: its queries, the pages that were found, and which text each supports."""

    __slots__ = ("_hits", "_queries", "_supports")

    def __init__(self) -> None:
        self._queries: list[str] = []
        self._hits: list[Hit | None] = []  # the supports count those that are no pages, too
        self._supports: list[dict[str, Any]] = []

    def take(self, candidate: dict[str, Any]) -> None:
        """The grounding that a chunk tells. The last to tell of a thing tells all of it."""
        told = fields(candidate.get("groundingMetadata"))
        if queries := [paired(one) for one in items(told.get("webSearchQueries")) if isinstance(one, str)]:
            self._queries = queries
        if chunks := items(told.get("groundingChunks")):
            self._hits = [_hit(chunk) for chunk in chunks]
        if supports := items(told.get("groundingSupports")):
            self._supports = [fields(one) for one in supports]

    def searched(self, seed: str) -> Iterator[Event]:
        """The search and what it found; nothing where the model did not search."""
        hits = [hit for hit in self._hits if hit]
        if self._queries or hits:
            yield from found(" · ".join(self._queries), hits, seed)

    def cited(self, text: str) -> Iterator[Event]:
        """A text with its citations, each behind the words that it supports. Google counts bytes."""
        raw, at = text.encode(), 0
        for stated, support in sorted(self._ends(len(raw)), key=lambda one: one[0]):
            end = stated
            while end < len(raw) and raw[end] & 0xC0 == 0x80:  # inside a character
                end += 1
            if end > at:
                yield Text(raw[at:end].decode())
                at = end
            yield from self._citations(support)
        if at < len(raw):
            yield Text(raw[at:].decode())

    def citations(self) -> Iterator[Event]:
        """All citations, for a text that was said already."""
        for support in self._supports:
            yield from self._citations(support)

    def _ends(self, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for support in self._supports:
            end = fields(support.get("segment")).get("endIndex")
            if isinstance(end, int) and 0 < end <= size:
                yield end, support

    def _citations(self, support: dict[str, Any]) -> Iterator[Event]:
        for index in items(support.get("groundingChunkIndices")):
            if isinstance(index, int) and 0 <= index < len(self._hits) and (hit := self._hits[index]):
                yield Citation(hit.url, hit.title)


def _hit(chunk: object) -> Hit | None:
    web = fields(fields(chunk).get("web")) or fields(fields(chunk).get("retrievedContext"))
    url, title = web.get("uri"), web.get("title") or web.get("domain")
    if not isinstance(url, str) or not url:
        return None
    return Hit(paired(url), paired(title) if isinstance(title, str) else "")
