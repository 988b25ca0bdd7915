"""What a page is asked for: the time that it is about, and which requests."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from claude_code_proxy.ledger.entry import kept
from claude_code_proxy.ledger.reading import Chosen

if TYPE_CHECKING:
    from collections.abc import Mapping


class Range(Struct, frozen=True):
    """A time until now. `step`: seconds of a point in a chart; `form`: how such a point is named."""

    name: str
    title: str
    seconds: int
    step: int
    form: str


_HOUR: Final = 3600
_DAY: Final = 86_400

RANGES: Final = (
    Range("1h", "Last hour", _HOUR, 60, "%H:%M"),
    Range("24h", "Last 24 hours", _DAY, 1800, "%H:%M"),
    Range("7d", "Last 7 days", 7 * _DAY, 6 * _HOUR, "%a %H:%M"),
    Range("30d", "Last 30 days", 30 * _DAY, _DAY, "%b %d"),
    Range("90d", "Last 90 days", 90 * _DAY, _DAY, "%b %d"),
)
ALL: Final = "all"
FILTERS: Final = ("provider", "model", "session", "project", "state", "text")


def range_of(query: Mapping[str, str], usual: str = "24h") -> Range:
    """The range that was asked for, or the usual one."""
    named = {one.name: one for one in RANGES}
    return named.get(query.get("range", ""), named[usual])


def chosen(query: Mapping[str, str], now: float | None = None, usual: str = "7d") -> Chosen:
    """The requests that a query's filters choose."""
    since = None if query.get("range") == ALL else (now or time.time()) - range_of(query, usual).seconds
    return replace(Chosen(since=since), **{name: kept(query.get(name, "").strip()) for name in FILTERS})


def since(one: Range) -> Chosen:
    """All requests of a range."""
    return Chosen(since=time.time() - one.seconds)


def today() -> Chosen:
    """The requests since midnight."""
    return Chosen(since=datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


def before(query: Mapping[str, str]) -> tuple[float, str] | None:
    """Where the page before ended: when its last request began, and its id."""
    began, _, ident = query.get("before", "").partition("_")
    try:
        return (float(began), kept(ident)) if ident else None
    except ValueError:
        return None


def place(path: str, query: Mapping[str, str], **changes: str) -> str:
    """An address with the query of this one, changed; what is empty is left out."""
    words = {name: value for name, value in {**query, **changes}.items() if value}
    return f"{path}?{urlencode(words)}" if words else path
