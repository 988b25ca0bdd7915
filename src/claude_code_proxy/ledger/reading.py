"""What the ledger tells: single requests, pages of them, and sums by day, model, session, project or provider."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct, convert
from msgspec.structs import fields

from claude_code_proxy.ledger.database import connect
from claude_code_proxy.ledger.entry import COLUMNS, QUARTER, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from claude_code_proxy.ledger.database import Database

By = Literal["day", "model", "session", "project", "provider"]

_KEYS: Final[dict[str, str]] = {
    "day": "quarter",
    "model": "CASE WHEN provider = '' THEN '' ELSE provider || ':' || model END",
    "session": "session",
    "project": "project",
    "provider": "provider",
}

_COUNTED: Final = ("input", "output", "cache_read", "cache_write", "thinking")

SUMS: Final = f"""
    COUNT(*) AS requests,
    SUM(CASE WHEN state IN ('ok', 'running') THEN 0 ELSE 1 END) AS errors,
    {", ".join(f"CAST(SUM({name}) AS BIGINT) AS {name}" for name in _COUNTED)},
    SUM(cost) AS cost,
    SUM(CASE WHEN cost IS NULL AND (input > 0 OR output > 0) THEN 1 ELSE 0 END) AS unpriced,
    SUM(seconds) AS seconds,
    MAX(began) AS latest
"""


class Chosen(Struct, frozen=True, kw_only=True):
    """Which requests are meant. Empty or None: any.

    `since` and `until` are seconds since 1970, `until` itself left out. `text` is looked for in the ids, the models and
    the project.
    """

    since: float | None = None
    until: float | None = None
    endpoint: str = "messages"
    provider: str = ""
    model: str = ""
    session: str = ""
    project: str = ""
    state: str = ""
    text: str = ""

    def where(self) -> tuple[str, list[Any]]:
        """The same as a condition and its values."""
        terms: list[tuple[str, Any]] = []
        if self.since is not None:
            terms.append(("began >= ?", self.since))
        if self.until is not None:
            terms.append(("began < ?", self.until))
        named = ("endpoint", "provider", "model", "session", "project", "state")
        terms += [(f"{name} = ?", value) for name in named if (value := getattr(self, name))]
        values = [value for _, value in terms]
        conditions = [term for term, _ in terms]
        if self.text:
            among = ("id", "client_model", "model", "session", "project", "error")
            conditions.append("(" + " OR ".join(f"LOWER({name}) LIKE ? ESCAPE '!'" for name in among) + ")")
            values += [f"%{_plain(self.text.lower())}%"] * len(among)
        return " AND ".join(conditions) or "1 = 1", values


class Sum(Struct, kw_only=True):
    """What a group of requests comes to.

    `key` names the group; a day is written like 2026-11-22, in local time. `errors` are those that did not end well.
    `cost` in US dollars, of those whose cost is known (None: of none); `unpriced` counts those with tokens whose cost
    is not. `latest`: when the last one began.
    """

    key: str
    requests: int = 0
    errors: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    thinking: int = 0
    cost: float | None = None
    unpriced: int = 0
    seconds: float = 0.0
    latest: float = 0.0


class Reader:
    """Reads a ledger. For one thread at a time."""

    def __init__(self, place: str) -> None:
        """Raises what `database.connect` raises."""
        self._database: Database = connect(place)

    def close(self) -> None:
        """End the connection."""
        self._database.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """What another question gives, in the SQL of `database`."""
        return self._database.rows(sql, values)

    def one(self, id: str) -> Entry | None:  # noqa: A002 -- the row's own name for it
        """The request of this id."""
        found = self._database.rows(f"SELECT {_ALL} FROM requests WHERE id = ?", (id,))  # noqa: S608 -- names of ours
        return convert(found[0], Entry) if found else None

    def page(self, chosen: Chosen, *, before: tuple[float, str] | None = None, most: int = 100) -> list[Entry]:
        """The latest of the chosen requests; `before` is when the last one of the page before began, and its id."""
        where, values = chosen.where()
        if before:
            where += " AND (began, id) < (?, ?)"
            values += before
        found = self._database.rows(
            f"SELECT {_ALL} FROM requests WHERE {where} ORDER BY began DESC, id DESC LIMIT ?",  # noqa: S608
            (*values, most),
        )
        return [convert(row, Entry) for row in found]

    def sums(self, chosen: Chosen, by: By) -> list[Sum]:
        """What the chosen requests come to, by day the oldest first, else the most expensive first."""
        where, values = chosen.where()
        rows = self._database.rows(
            f"SELECT {_KEYS[by]} AS key, {SUMS} FROM requests WHERE {where} GROUP BY 1",  # noqa: S608
            values,
        )
        sums = [convert({**told(row), "key": str(row["key"])}, Sum, strict=False) for row in rows]
        if by == "day":
            return sorted(_by_day(sums), key=lambda one: one.key)
        return sorted(sums, key=lambda one: (-(one.cost or 0), -(one.input + one.output), one.key))

    def total(self, chosen: Chosen) -> Sum:
        """What all of the chosen requests come to."""
        where, values = chosen.where()
        (row,) = self._database.rows(f"SELECT {SUMS} FROM requests WHERE {where}", values)  # noqa: S608
        return convert({**told(row), "key": "total"}, Sum, strict=False)

    def captured(self, id: str) -> dict[str, bytes]:  # noqa: A002
        """The parts of a captured request, by their names."""
        rows = self._database.rows("SELECT part, data FROM captures WHERE id = ?", (id,))
        return {row["part"]: bytes(row["data"]) for row in rows}


_ALL: Final = ", ".join(COLUMNS)
_ADDED: Final = tuple(field.name for field in fields(Sum) if field.name not in {"key", "cost", "latest"})


def told(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what was not told at all."""
    return {name: value for name, value in row.items() if value is not None}


def _by_day(quarters: Iterable[Sum]) -> Iterator[Sum]:
    """Sums of quarters of an hour as those of the days they belong to."""
    days: dict[str, Sum] = {}
    for one in quarters:
        key = datetime.fromtimestamp(int(one.key) * QUARTER).astimezone().strftime("%Y-%m-%d")
        day = days.setdefault(key, Sum(key=key))
        for name in _ADDED:
            setattr(day, name, getattr(day, name) + getattr(one, name))
        day.latest = max(day.latest, one.latest)
        if one.cost is not None:
            day.cost = (day.cost or 0.0) + one.cost
    yield from days.values()


def _plain(text: str) -> str:
    """A text that stands for itself in a pattern."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def read(place: str) -> closing[Reader]:
    """A reader that is closed at the end of a block."""
    return closing(Reader(place))
