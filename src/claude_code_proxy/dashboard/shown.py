"""How values are shown. What is not known is a dash or the word, never a nought."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.ledger.reading import Sum

NONE: Final = "–"

STATES: Final = {
    "running": ("running", "runs"),
    "ok": ("ok", "good"),
    "client_closed": ("client left", "note"),
    "upstream_error": ("error", "bad"),
    "timeout": ("timeout", "bad"),
    "shed": ("shed", "bad"),
    "refused": ("refused", "bad"),
    "aborted": ("aborted", "bad"),
}
"""Each state of a request in words, and how it is coloured."""

_THOUSAND: Final = 1000
_UNITS: Final = ("", "k", "M", "G", "T", "P")
_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_KIB: Final = 1024


def number(value: float | None) -> str:
    """A whole number."""
    return NONE if value is None else f"{value:,.0f}"


def tokens(value: float | None) -> str:
    """A number of tokens, in short."""
    if value is None:
        return NONE
    size, at = float(value), 0
    while abs(size) >= _THOUSAND and at < len(_UNITS) - 1:
        size, at = size / _THOUSAND, at + 1
    return f"{size:.0f}" if not at else f"{size:.{1 if size < 100 else 0}f}{_UNITS[at]}"


def flow(one: Sum | Entry) -> str:
    """Tokens in and out; a dash where neither was told."""
    if one.input is None and one.output is None:
        return NONE
    return f"{tokens(one.input)} → {tokens(one.output)}"


def size(value: float | None) -> str:
    """A number of bytes."""
    if value is None:
        return NONE
    left, at = float(value), 0
    while left >= _KIB and at < len(_BYTES) - 1:
        left, at = left / _KIB, at + 1
    return f"{left:.{1 if at else 0}f} {_BYTES[at]}"


def seconds(value: float | None) -> str:
    """How long something took."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def money(value: float | None) -> str:
    """US dollars, small amounts with the digits that tell something."""
    if value is None:
        return "unknown"
    if value == 0:
        return "$0"
    if value < 0.0001:
        return "<$0.0001"
    return f"${value:.4f}" if value < 0.1 else f"${value:,.2f}"


def cost_of(entry: Entry) -> str:
    """What a request cost; a dash if it used nothing."""
    if entry.cost is None and not entry.input and not entry.output:
        return NONE
    return money(entry.cost)


def cost_of_all(one: Sum) -> str:
    """What requests cost together, and how many of them are not in it."""
    if one.cost is None:
        return "unknown" if one.unpriced else NONE
    return money(one.cost) + (f" + {one.unpriced:,} unknown" if one.unpriced else "")


def share(part: float | None, whole: float | None) -> str:
    """A share in per cent."""
    return f"{100 * (part or 0) / whole:.0f} %" if whole else NONE


def cached(one: Sum | Entry) -> str:
    """How much of the input came out of a cache."""
    hit, rest = one.cache_read or 0, one.input or 0
    return share(hit, hit + rest)


def when(value: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time, as the clock of this machine tells it."""
    return datetime.fromtimestamp(value).astimezone().strftime(form) if value else NONE


def iso(value: float) -> str:
    """A time for programs."""
    return datetime.fromtimestamp(value).astimezone().isoformat(timespec="seconds")


def target(entry: Entry) -> str:
    """Who was asked; a dash for a request that went nowhere."""
    if not entry.provider:
        return NONE
    return f"{entry.provider}:{entry.model}" if entry.model else entry.provider


def brief(text: str, most: int = 12) -> str:
    """The beginning of an id."""
    return text if len(text) <= most else f"{text[:most]}…"


def folder(path: str) -> str:
    """The last part of a folder's path."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def state(name: str) -> str:
    """A state in words."""
    return STATES.get(name, (name, "note"))[0]


def tone(name: str) -> str:
    """How a state is coloured."""
    return STATES.get(name, (name, "note"))[1]
