"""A ledger of 100,000 rows: what is shown of it, and what is read for that."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

from claude_code_proxy.dashboard.site import Site
from claude_code_proxy.health import Health
from claude_code_proxy.ledger import series
from claude_code_proxy.ledger.reading import Chosen, Reader, read
from claude_code_proxy.ledger.series import percentile
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.settings import load_settings

from .rows import keep, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MANY = 100_000
NOW = time.time()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("many") / "ledger.db"
    keep(found, some(MANY, days=30, now=NOW))
    return found


@pytest.fixture
def reader(place: Path) -> Iterator[Reader]:
    with read(str(place)) as opened:
        yield opened


class Watched:
    """A reader's database that notes its queries, how each is carried out and how many rows it gave."""

    def __init__(self, reader: Reader) -> None:
        self._database = reader._database
        self.plans: list[str] = []
        self.rows_given = 0

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        self.plans.append(" / ".join(row["detail"] for row in self._database.rows(f"EXPLAIN QUERY PLAN {sql}", values)))
        found = self._database.rows(sql, values)
        self.rows_given += len(found)
        return found


@pytest.fixture
def watched(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Watched:
    own = Watched(reader)
    monkeypatch.setattr(reader, "_database", own)
    return own


LAST_DAY = Chosen(since=NOW - 86_400)
PAGES = [
    Chosen(),
    LAST_DAY,
    Chosen(provider="ollama"),
    Chosen(model="gpt-5.1-codex", state="timeout"),
    Chosen(text="billing"),
    Chosen(since=NOW - 86_400, project="/home/ada/src/engine"),
]


@pytest.mark.parametrize("chosen", PAGES, ids=str)
def test_a_page_of_requests_reads_along_the_index(watched: Watched, reader: Reader, chosen: Chosen) -> None:
    page = reader.page(chosen, most=51)
    again = reader.page(chosen, before=(page[-1].began, page[-1].id), most=51)
    assert (len(page), len(again)) == (51, 51)
    assert page[-1].began >= again[0].began
    assert all("USING INDEX requests_by_time" in plan for plan in watched.plans)
    assert not any("TEMP B-TREE" in plan for plan in watched.plans)  # nothing is sorted: it stops after so many


def test_the_requests_of_a_session_are_found_by_it(watched: Watched, reader: Reader) -> None:
    session = next(iter(some(1, now=NOW))).session
    assert {one.session for one in reader.page(Chosen(session=session))} <= {session}
    assert all("USING INDEX requests_by_" in plan for plan in watched.plans)


def test_a_request_is_found_by_its_id(watched: Watched, reader: Reader) -> None:
    assert reader.one(f"req_{MANY - 1:024x}")
    assert watched.plans == ["SEARCH requests USING INDEX sqlite_autoindex_requests_1 (id=?)"]


def test_a_day_is_read_without_the_rest(watched: Watched, reader: Reader) -> None:
    assert reader.total(LAST_DAY).requests > 100
    assert series.spans(reader, LAST_DAY, 1800)
    assert series.took(reader, LAST_DAY)
    assert series.sessions(reader, LAST_DAY)
    assert all("(began>?)" in plan for plan in watched.plans), watched.plans


def test_what_is_given_is_bounded(watched: Watched, reader: Reader) -> None:
    everything = Chosen()
    assert len(series.took(reader, everything, 2000)) <= 2000
    assert len(series.sessions(reader, everything)) == 100
    assert len(series.used(reader)) == 5
    assert len(series.spans(reader, everything, 86_400)) <= 32
    assert watched.rows_given < 3000


def test_a_sample_is_of_all_of_the_time(reader: Reader) -> None:
    found = series.took(reader, Chosen(state="ok"), 2000)
    whole = series.took(reader, Chosen(state="ok"), MANY)
    assert 1500 < len(found) <= 2000 < len(whole)
    assert min(one.began for one in found) < NOW - 29 * 86_400
    assert max(one.began for one in found) > NOW - 86_400
    middle = [percentile([one.seconds for one in some], 0.5) or 0 for some in (found, whole)]
    assert middle[0] == pytest.approx(middle[1], rel=0.1)


def test_spans_come_to_the_same_as_the_total(reader: Reader) -> None:
    spans, total = series.spans(reader, Chosen(), 86_400, 3600), reader.total(Chosen())
    assert sum(one.requests for one in spans) == total.requests == MANY
    assert sum(one.errors for one in spans) == total.errors
    assert sum(one.input for one in spans) == total.input
    assert sum(one.cached for one in spans) == total.cache_read
    assert sum(one.cost or 0 for one in spans) == pytest.approx(total.cost)
    assert all((one.at + 3600) % 86_400 == 0 for one in spans)


@pytest.mark.parametrize(
    ("values", "share", "value"),
    [
        ([], 0.5, None),
        ([3.0], 0.95, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.95, 95.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, value: float | None) -> None:
    assert percentile(values, share) == value


def test_every_page_answers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without reading as many rows into Python as there are."""
    monkeypatch.setenv("CLAUDE_CODE_PROXY_ENV_FILE", "")
    rows = 0

    class Counting(sqlite3.Row):
        def __new__(cls, *args: Any) -> Self:
            nonlocal rows
            rows += 1
            return super().__new__(cls, *args)

    monkeypatch.setattr(sqlite3, "Row", Counting)
    site = Site(Metrics(ledger=Ledger(str(place))), Health())
    paths = [
        "",
        "/requests",
        "/sessions",
        "/usage",
        *(f"/chart/{name}.svg" for name in ("latency", "cost", "requests")),
    ]
    for path in paths:
        before = rows
        answer = site.answer(f"/dashboard{path}", {"range": "30d"}, load_settings(), None)
        assert answer.status == 200, path
        assert len(answer.body) < 200_000
        assert rows - before <= (20_001 if "latency" in path else 6000), path
    assert rows > 1000
