"""What charts and lists are made of: requests by time, samples of how long they took, sessions, models that were used.

Every query reads a bounded number of rows, or gives a bounded number of groups.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, convert

from claude_code_proxy.ledger.reading import SUMS, Sum, told

if TYPE_CHECKING:
    from claude_code_proxy.ledger.reading import Chosen, Reader

_FILLED: Final = 0.9
"""How full a sample is meant to be: it varies by chance, and what is too much would be its oldest part."""

SAMPLE: Final = 20_000
"""Requests of which it is looked at how long they took."""

_LATELY: Final = 20_000
"""Requests, the latest ones, among which names are looked for."""

_THOUSANDTHS: Final = "CAST(began * 1000 AS BIGINT)"


class Span(Struct, frozen=True):
    """What the requests that began in `step` seconds come to. `at`: their beginning, in seconds since 1970.

    `cached` are tokens of input that came out of a cache; `input` is without them.
    """

    at: int
    requests: int = 0
    errors: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float | None = None


class Took(Struct, frozen=True):
    """How long a request took: seconds to its end, and to its first bytes, where that is known."""

    began: float
    seconds: float
    first: float | None


class Session(Sum, kw_only=True):
    """What the requests of a session come to, the folder it works in, and when its first one began."""

    project: str = ""
    began: float = 0.0
    models: int = 0


def spans(reader: Reader, chosen: Chosen, step: int, offset: int = 0) -> list[Span]:
    """The chosen requests by time, the oldest first, without the spans in which there were none.

    Spans of `step` seconds begin at multiples of it in a clock that is `offset` seconds ahead of UTC.
    """
    where, values = chosen.where()
    rows = reader.rows(
        f"""
        SELECT (CAST(began AS BIGINT) + ?) / ? AS number, COUNT(*) AS requests,
            SUM(CASE WHEN state IN ('ok', 'running') THEN 0 ELSE 1 END) AS errors,
            CAST(SUM(COALESCE(input, 0)) AS BIGINT) AS input, CAST(SUM(COALESCE(output, 0)) AS BIGINT) AS output,
            CAST(SUM(COALESCE(cache_read, 0)) AS BIGINT) AS cached, SUM(cost) AS cost
        FROM requests WHERE {where} GROUP BY 1 ORDER BY 1
        """,  # noqa: S608 -- names of ours
        (offset, step, *values),
    )
    return [convert({**row, "at": row["number"] * step - offset}, Span, strict=False) for row in rows]


def took(reader: Reader, chosen: Chosen, most: int = SAMPLE) -> list[Took]:
    """How long the chosen requests took; of more than `most` nearly so many, taken evenly from all of the time."""
    where, values = chosen.where()
    (row,) = reader.rows(f"SELECT COUNT(*) AS many FROM requests WHERE {where}", values)  # noqa: S608
    every = 1 if row["many"] <= most else math.ceil(row["many"] / most / _FILLED)
    rows = reader.rows(
        f"""
        SELECT began, seconds, first FROM requests
        WHERE {where} AND seconds IS NOT NULL AND {_THOUSANDTHS} % ? = 0 ORDER BY began DESC LIMIT ?
        """,  # noqa: S608
        (*values, every, most),
    )
    return [convert(row, Took) for row in rows]


def sessions(reader: Reader, chosen: Chosen, most: int = 100) -> list[Session]:
    """The sessions of the chosen requests, the latest first; what belongs to none is left out."""
    where, values = chosen.where()
    # Grouped by what is no column, or SQLite would read the index of sessions, and with it the requests of all times.
    rows = reader.rows(
        f"""
        SELECT session || '' AS key, MAX(project) AS project, MIN(began) AS began,
            COUNT(DISTINCT provider || ':' || model) AS models, {SUMS}
        FROM requests WHERE {where} AND session <> '' GROUP BY 1 ORDER BY MAX(began) DESC LIMIT ?
        """,  # noqa: S608
        (*values, most),
    )
    return [convert(told(row), Session, strict=False) for row in rows]


def used(reader: Reader, endpoint: str = "messages") -> list[dict[str, Any]]:
    """Providers and models of the latest requests, those that were used most first."""
    return reader.rows(
        """
        SELECT provider, model, COUNT(*) AS many
        FROM (SELECT provider, model FROM requests WHERE endpoint = ? ORDER BY began DESC LIMIT ?) AS latest
        WHERE provider <> '' GROUP BY provider, model ORDER BY 3 DESC, 1, 2 LIMIT 200
        """,
        (endpoint, _LATELY),
    )


def percentile(values: list[float], share: float) -> float | None:
    """The value that this share of the values does not exceed, by nearest rank; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)]
