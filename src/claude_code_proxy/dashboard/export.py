"""CSV for spreadsheets: no text of a client or a model becomes a formula there."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dashboard.answers import CSV, Answer
from claude_code_proxy.ledger.entry import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.ledger.reading import Sum

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_SUMS: Final = (
    *("requests", "errors", "input", "output", "cache_read", "cache_write", "thinking", "cost", "unpriced"),
    "seconds",
)


def of_requests(entries: Iterable[Entry]) -> Answer:
    """Requests, one a line."""
    return _table("requests", COLUMNS, ([getattr(one, name) for name in COLUMNS] for one in entries))


def of_sums(by: str, sums: Iterable[Sum]) -> Answer:
    """Sums, one a line. The cost of what nobody knows the cost of is `unknown`."""
    return _table(f"usage-by-{by}", (by, *_SUMS), (_sum(one) for one in sums))


def cell(value: Any) -> Any:
    """A value that a spreadsheet takes for what it is."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value


def _sum(one: Sum) -> list[Any]:
    cost = "unknown" if one.cost is None and one.unpriced else one.cost
    return [one.key, *(cost if name == "cost" else getattr(one, name) for name in _SUMS)]


def _table(name: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Answer:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(heads)
    writer.writerows([cell(value) for value in row] for row in rows)
    called = f'attachment; filename="claude-code-proxy-{name}.csv"'
    return Answer(out.getvalue().encode(), media=CSV, headers=((b"content-disposition", called.encode()),))
