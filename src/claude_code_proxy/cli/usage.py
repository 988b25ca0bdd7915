"""`claude-code-proxy usage`: what was used and what it cost, from the ledger."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from unicodedata import east_asian_width

from claude_code_proxy.cli.ending import CommandError, loaded
from claude_code_proxy.cli.paint import painted, printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from claude_code_proxy.ledger.reading import By, Sum

_HEAD: Final = ("REQUESTS", "FAILED", "INPUT", "CACHE READ", "CACHE WRITE", "OUTPUT", "COST")
_COUNTED: Final = ("requests", "errors", "input", "output", "cache_read", "cache_write", "thinking")

_UNITS: Final = (("k", 1e3), ("M", 1e6), ("G", 1e9))
_GAP: Final = "  "
_LEAST: Final = 12
"""Columns that a name keeps, however narrow the terminal is."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet would take for a formula; some of the names are the clients'."""

_NOBODY: Final = "(none)"


def command(arguments: Namespace) -> int:
    """Print the sums; 0 also where there is nothing to sum up."""
    place = loaded().proxy_ledger
    if not place:
        raise CommandError("There is no ledger: PROXY_LEDGER is off. Without it nothing is known of past requests.")
    since, until = _times(arguments, datetime.now().astimezone())
    groups, total, there = _sums(place, since, until, arguments.by)
    if arguments.json:
        sys.stdout.write(_json(arguments.by, since, until, groups, total))
    elif arguments.csv:
        _csv(arguments.by, groups)
    elif groups:
        sys.stdout.write("".join(_table(arguments.by, groups, total)))
    if not groups:
        sys.stderr.write(_why_nothing(there=there, narrowed=bool(since or until)))
    return 0


def _times(arguments: Namespace, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The times between which requests are meant: days begin and end in local time."""
    since = _midnight(arguments.since) if arguments.since else None
    if arguments.last:
        number, unit = int(arguments.last[:-1]), arguments.last[-1]
        if unit == "h":
            since = now - timedelta(hours=number)
        else:
            since = _midnight(now.date() - timedelta(days=number * (7 if unit == "w" else 1) - 1))
    until = _midnight(arguments.until + timedelta(days=1)) if arguments.until else None
    if since and until and since >= until:
        raise CommandError("--until is before the beginning: there is no time between them.")
    return since, until


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day).astimezone()


def _sums(place: str, since: datetime | None, until: datetime | None, by: By) -> tuple[list[Sum], Sum, bool]:
    """The sums, what they come to, and whether there is a ledger. Raises `CommandError`."""
    from claude_code_proxy.ledger.database import faults, is_there
    from claude_code_proxy.ledger.reading import Chosen, Sum, read

    if not is_there(place):
        return [], Sum(key="total"), False
    chosen = Chosen(since=since.timestamp() if since else None, until=until.timestamp() if until else None)
    try:
        with read(place) as reader:
            return reader.sums(chosen, by), reader.total(chosen), True
    except faults() as cause:
        raise CommandError(
            f"The ledger cannot be read: {printable(str(cause).strip() or type(cause).__name__)}"
        ) from None


def _why_nothing(*, there: bool, narrowed: bool) -> str:
    if there and narrowed:
        return "No requests in this time. Without --since, --last and --until all that are kept are summed up.\n"
    if there:
        return "The ledger holds no requests yet. `claude-code-proxy code` starts Claude Code on the proxy.\n"
    return "There is no ledger yet: the proxy writes it from its first request on (PROXY_LEDGER says where).\n"


# -- for programs


def _json(by: str, since: datetime | None, until: datetime | None, groups: Sequence[Sum], total: Sum) -> str:
    told = {
        "by": by,
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "groups": [{by: one.key, **_record(one)} for one in groups],
        "total": _record(total),
    }
    return json.dumps(told, indent=2) + "\n"


def _record(one: Sum) -> dict[str, Any]:
    """What a sum tells. `cost` is of those whose cost is known, None if it is of none; `unpriced` counts the others."""
    latest = datetime.fromtimestamp(one.latest).astimezone().isoformat(timespec="seconds") if one.latest else None
    return {
        **{name: getattr(one, name) for name in _COUNTED},
        "cost": one.cost,
        "unpriced": one.unpriced,
        "seconds": round(one.seconds, 3),
        "latest": latest,
    }


def _csv(by: str, groups: Sequence[Sum]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow([by, *_COUNTED, "cost", "unpriced", "seconds", "latest"])
    for one in groups:
        record = _record(one)
        if one.cost is None:
            record["cost"] = "unknown" if one.unpriced else ""
        out.writerow([_cell(one.key), *record.values()])


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


# -- for people


def _table(by: str, groups: Sequence[Sum], total: Sum) -> list[str]:
    """The lines of the table, as wide as the terminal at most."""
    rows = [(by.upper(), *_HEAD), *(_row(one, printable(one.key) or _NOBODY) for one in groups), _row(total, "total")]
    wide = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    if sys.stdout.isatty():
        beside = sum(wide[1:]) + len(_GAP) * len(_HEAD)
        wide[0] = min(wide[0], max(_LEAST, shutil.get_terminal_size().columns - beside))
    head, *body, last = (_line(row, wide) for row in rows)
    if total.cost is not None and total.unpriced:
        last += f" ({_requests(total.unpriced)} of unknown cost)"
    head, last = painted(head, "faint", sys.stdout), painted(last, "strong", sys.stdout)
    return [f"{line}\n" for line in (head, *body, last)]


def _row(one: Sum, name: str) -> tuple[str, ...]:
    counts = (one.input, one.cache_read, one.cache_write, one.output)
    return name, f"{one.requests:,}", f"{one.errors:,}", *map(_short, counts), _cost(one)


def _line(row: Sequence[str], wide: Sequence[int]) -> str:
    name = _cut(row[0], wide[0])
    cells = (f"{cell:>{width}}" for cell, width in zip(row[1:], wide[1:], strict=True))
    return _GAP.join([name + " " * (wide[0] - _width(name)), *cells])


def _cut(text: str, width: int) -> str:
    """A text without its beginning, if it is too wide: the ends of paths and models tell them apart."""
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[1:]
    return f"…{text}"


def _width(text: str) -> int:
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _short(count: int) -> str:
    """A count of tokens in three digits or a few more."""
    if count < 10_000:
        return f"{count:,}"
    unit, size = next(one for one in _UNITS if count < 999.5 * one[1] or one is _UNITS[-1])
    digits = 2 if count < 9.995 * size else 1 if count < 99.95 * size else 0
    return f"{count / size:,.{digits}f}{unit}"


def _cost(one: Sum) -> str:
    """The cost, which is at least so much where some of it is not known."""
    if one.cost is None:
        return "unknown" if one.unpriced else "–"
    return f"≥ {_dollars(one.cost)}" if one.unpriced else _dollars(one.cost)


def _dollars(usd: float) -> str:
    if usd and usd < 0.00005:
        return "< $0.0001"
    return f"${usd:,.2f}" if not usd or usd >= 0.995 else f"${usd:.4f}"


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number:,} requests"
