"""A web search for a model whose provider has none: asked of the engine that the user named in WEB_SEARCH.

No model is asked. What is found goes to the client in the shape of Anthropic's own search, which shows the hits and
hands the text below them to its model.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from claude_code_proxy.dialects.search import found, unavailable
from claude_code_proxy.engines import asked, engines, hits_in, key_header
from claude_code_proxy.wire.events import Stop, Text
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from claude_code_proxy.dialects.search import Hit, Search
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool
    from claude_code_proxy.wire.events import Event

_LONGEST: Final = 20.0
"""Seconds that an engine is given."""

_NOTHING: Final = "The search found nothing."

_log = logging.getLogger(__name__)


async def searched(search: Search, settings: Settings, pool: Pool) -> tuple[Event, ...]:
    """The answer to a search: what the engine found, or that there is none or that it failed."""
    if not settings.web_search:
        return unavailable(search, "Set WEB_SEARCH in the proxy's settings to have one.")
    engine = engines()[settings.web_search]
    request = asked(engine, search, settings.web_search_base_url)
    headers = {"accept": "application/json", **key_header(engine, settings.web_search_api_key)}
    try:
        status, body = await pool.ask(request.url, request.body, headers, within=_LONGEST)
    except ApiError as cause:
        said = str(cause)
    else:
        hits = hits_in(engine, body, search) if status == 200 else None
        if hits is not None:
            return (*found(search.query, hits, search.seed), Text(_listed(search.query, hits)), Stop("end_turn"))
        said = f"it answered {status}" if status != 200 else "its answer cannot be read"
    _log.warning("web search with %s: %s", settings.web_search, said)
    return unavailable(search, f"The search engine failed: {said}")


def _listed(query: str, hits: list[Hit]) -> str:
    """The pages and what is in them, for a model to read."""
    if not hits:
        return _NOTHING
    pages = "\n\n".join(
        "\n".join(
            part for part in (f"{n}. {hit.title}", f"{hit.url}{f' ({hit.age})' if hit.age else ''}", hit.text) if part
        )
        for n, hit in enumerate(hits, start=1)
    )
    return f"Results for {query!r}:\n\n{pages}"
