"""Search engines, as data: how each is asked, and what its answer says. Pure."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
import orjson
from msgspec import Struct

from claude_code_proxy.dialects.search import Hit
from claude_code_proxy.wire.json_text import fields, items, paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.dialects.search import Search

_WANTED: Final = 10
"""Pages that are asked for."""

_LONGEST: Final = 1000
"""Characters of a page that are handed on: enough to tell what is there."""


class Engine(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search engine, as engines.toml describes it."""

    base: str = ""
    path: str
    method: Literal["GET", "POST"]
    key: str = ""
    query: str
    count: str = ""
    most: int = _WANTED
    allowed: str = ""
    blocked: str = ""
    fields: dict[str, Any] = {}
    rows: str
    text: tuple[str, ...]
    age: str = ""


class Asked(Struct, frozen=True):
    """A request to a search engine, without its key. A body is sent with POST."""

    url: str
    body: bytes | None


@cache
def engines() -> dict[str, Engine]:
    """Every engine, by name."""
    rows = tomllib.loads(files(__package__).joinpath("engines.toml").read_text("utf-8"))
    return msgspec.convert(rows, dict[str, Engine])


def faults(name: str, key: str, base_url: str) -> Iterator[str]:
    """What is wrong with the settings of the web search, a line for each variable."""
    if not name:
        return
    engine = engines().get(name)
    if not engine:
        yield f"WEB_SEARCH must be one of {', '.join(engines())}, not {name!r}"
        return
    if engine.key and not key:
        yield f"WEB_SEARCH_API_KEY must be set for WEB_SEARCH={name}"
    if not engine.base and not base_url:
        yield f"WEB_SEARCH_BASE_URL must be set for WEB_SEARCH={name}"


def asked(engine: Engine, search: Search, base_url: str = "") -> Asked:
    """The request for a search, at `base_url` or the engine's own address."""
    told: dict[str, Any] = {engine.query: search.query, **engine.fields}
    if engine.count:
        told[engine.count] = min(_WANTED, engine.most)
    if search.allowed and engine.allowed:
        told[engine.allowed] = list(search.allowed)
    elif search.allowed:
        told[engine.query] += f" ({' OR '.join(f'site:{domain}' for domain in search.allowed)})"
    if search.blocked and engine.blocked:
        told[engine.blocked] = list(search.blocked)
    elif search.blocked:
        told[engine.query] += "".join(f" -site:{domain}" for domain in search.blocked)
    url = (base_url or engine.base).rstrip("/") + engine.path
    return Asked(url, orjson.dumps(told)) if engine.method == "POST" else Asked(f"{url}?{urlencode(told)}", None)


def key_header(engine: Engine, key: str) -> dict[str, str]:
    """The header that carries the key; none without one."""
    if not key or not engine.key:
        return {}
    return {"authorization": f"Bearer {key}"} if engine.key == "bearer" else {engine.key: key}


def hits_in(engine: Engine, body: bytes, search: Search) -> list[Hit] | None:
    """The pages that an answer tells of, each once, from domains that the search allows; None if it is no answer."""
    try:
        held: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(held, dict):
        return None
    for name in engine.rows.split("."):
        held = fields(held).get(name)
    found: dict[str, Hit] = {}
    for row in map(fields, items(held)):
        url = row.get("url")
        if isinstance(url, str) and url not in found and _allowed(url, search):
            found[url] = Hit(
                paired(url), _text(row.get("title")) or url, _about(engine, row), _text(row.get(engine.age))
            )
            if len(found) == _WANTED:
                break
    return list(found.values())


def _about(engine: Engine, row: dict[str, Any]) -> str:
    return "\n".join(part for name in engine.text for part in _texts(row.get(name)))[:_LONGEST]


def _texts(held: object) -> Iterator[str]:
    for one in items(held) or [held]:
        if text := _text(one):
            yield text


def _text(held: object) -> str:
    return paired(held).strip() if isinstance(held, str) else ""


def _allowed(url: str, search: Search) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not host:
        return False
    return (not search.allowed or _within(host, search.allowed)) and not _within(host, search.blocked)


def _within(host: str, domains: Sequence[str]) -> bool:
    bare = [domain.lower().partition("/")[0].removeprefix("www.") for domain in domains]
    return any(host == domain or host.endswith(f".{domain}") for domain in bare)
