"""Both kinds of databases keep and tell the same."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from msgspec.structs import asdict, replace

from claude_code_proxy.ledger.database import LedgerError, connect
from claude_code_proxy.ledger.entry import MOST, Entry
from claude_code_proxy.ledger.reading import Chosen, Sum, read
from claude_code_proxy.ledger.schema import VERSION
from claude_code_proxy.ledger.writer import Ledger

from .test_file import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOON = datetime(2026, 11, 20, 12).astimezone()
FULL = Entry(
    id="req_full",
    began=NOON.timestamp(),
    endpoint="messages",
    client="claude-cli/2.1.330",
    session="a session",
    agent="an agent",
    project="/home/me/work",
    client_model="claude-opus-4",
    kind="thinking",
    rule="the provider in the model's name",
    provider="openai",
    model="gpt-4.1",
    stream=1,
    attempts=2,
    tried="openai:gpt-4.1: 503 | openai:gpt-4.1: ok",
    state="ok",
    status=200,
    error="",
    stop="tool_use",
    first=0.25,
    seconds=3.5,
    input=1000,
    output=200,
    cache_read=30_000,
    cache_write=0,
    thinking=50,
    cost=0.0125,
    priced="list",
    received=173_000,
    sent=9000,
)


def written(place: str, entries: Sequence[Entry]) -> None:
    """Write them, to the end."""
    ledger = Ledger(place, days=100_000, interval=0.01)
    ledger.start()
    for entry in entries:
        ledger.ended(entry)
    ledger.close()
    assert ledger.told().waiting == ledger.told().lost == 0
    assert ledger.told().written == len(entries)


def test_a_row_comes_back_as_it_was(place: str) -> None:
    few = Entry(id="req_few", began=NOON.timestamp() + 1)
    written(place, [FULL, few])
    with read(place) as reader:
        full = reader.one("req_full")
        assert full is not None
        assert full.owner
        assert full.quarter == FULL.began // 900
        assert replace(full, owner="", quarter=0) == replace(FULL, owner="", quarter=0)
        found = reader.one("req_few")
        assert found is not None
        assert {name for name, value in asdict(found).items() if value is None} == {
            *("first", "seconds", "input", "output", "cache_read", "cache_write", "thinking", "cost"),
        }
        assert reader.one("req_none") is None


ODD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("half of a pair", {"model": "a\ud83d"}, {"model": "a?"}),
    ("no character at all", {"session": "a\0b"}, {"session": "a?b"}),
    ("colours and lines", {"client": "\x1b[31mred\nnext"}, {"client": "?[31mred?next"}),
    ("too long", {"model": "é" * 5000}, {"model": "é" * 500}),
    ("what would end a statement", {"model": "'; DROP TABLE requests; --"}, {"model": "'; DROP TABLE requests; --"}),
    ("more than there are", {"input": 10**30}, {"input": MOST}),
    ("less than nothing", {"output": -(10**30)}, {"output": -1}),
    ("placeholders", {"error": "100 % ? %s {}"}, {"error": "100 % ? %s {}"}),
]


@pytest.mark.parametrize(("given", "kept"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
@pytest.mark.fault("U-28", "C-28", "S-05")
def test_what_others_choose_is_kept_as_data(place: str, given: dict[str, Any], kept: dict[str, Any]) -> None:
    written(place, [replace(FULL, **given)])
    with read(place) as reader:
        entry = reader.one("req_full")
    assert entry is not None
    assert {name: getattr(entry, name) for name in kept} == kept


def test_a_row_is_written_again_when_more_is_known(place: str) -> None:
    written(place, [replace(FULL, state="running", output=None), FULL, replace(FULL, output=300)])
    with read(place) as reader:
        entry = reader.one("req_full")
        assert reader.total(Chosen()).requests == 1
    assert entry is not None
    assert (entry.state, entry.output) == ("ok", 300)


def many() -> list[Entry]:
    """Two days of two sessions at two models; some without tokens, some whose cost is not known."""
    chance = random.Random(7)
    made = []
    for number in range(200):
        cost = None if number % 5 == 0 else number / 1000
        made.append(
            Entry(
                id=f"req_{number:04}",
                began=(NOON - timedelta(days=number % 2, minutes=number)).timestamp(),
                endpoint="messages" if number % 20 else "count_tokens",
                session=f"session {number % 3}",
                project="/a" if number % 3 else "/b%",
                provider="openai" if number % 4 else "gemini",
                model="large" if number % 4 else "flash",
                state="ok" if number % 7 else "upstream_error",
                seconds=chance.random(),
                input=number,
                output=2 * number,
                cache_read=None if number % 2 else 10,
                cost=cost,
            )
        )
    return made


def test_sums_are_those_of_the_rows(place: str) -> None:
    rows = many()
    written(place, rows)
    meant = [row for row in rows if row.endpoint == "messages"]
    with read(place) as reader:
        total = reader.total(Chosen())
        assert same(total, summed("total", meant))
        keys: dict[Any, Callable[[Entry], str]] = {
            "day": lambda row: datetime.fromtimestamp(row.began).astimezone().strftime("%Y-%m-%d"),
            "model": lambda row: f"{row.provider}:{row.model}",
            "session": lambda row: row.session,
            "project": lambda row: row.project,
            "provider": lambda row: row.provider,
        }
        for by, key in keys.items():
            groups: dict[str, list[Entry]] = {}
            for row in meant:
                groups.setdefault(key(row), []).append(row)
            sums = reader.sums(Chosen(), by)
            assert {one.key for one in sums} == set(groups)
            assert all(same(one, summed(one.key, groups[one.key])) for one in sums)
        costs = [one.cost or 0 for one in reader.sums(Chosen(), "session")]
        assert costs == sorted(costs, reverse=True)


def summed(key: str, rows: Sequence[Entry]) -> Sum:
    known = [row.cost for row in rows if row.cost is not None]
    return Sum(
        key=key,
        requests=len(rows),
        errors=sum(row.state != "ok" for row in rows),
        input=sum(row.input or 0 for row in rows),
        output=sum(row.output or 0 for row in rows),
        cache_read=sum(row.cache_read or 0 for row in rows),
        cost=sum(known) if known else None,
        unpriced=sum(row.cost is None and bool(row.input or row.output) for row in rows),
        seconds=sum(row.seconds or 0 for row in rows),
        latest=max(row.began for row in rows),
    )


def same(one: Sum, other: Sum) -> bool:
    return {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in asdict(one).items()
    } == (asdict(other))


def test_pages_follow_each_other_without_gap_or_repetition(place: str) -> None:
    rows = [replace(row, began=NOON.timestamp()) if number < 50 else row for number, row in enumerate(many())]
    written(place, rows)
    wanted = sorted((row for row in rows if row.endpoint == "messages"), key=lambda row: (row.began, row.id))[::-1]
    got: list[Entry] = []
    with read(place) as reader:
        while page := reader.page(Chosen(), before=(got[-1].began, got[-1].id) if got else None, most=30):
            got += page
    assert [row.id for row in got] == [row.id for row in wanted]


CHOICES: list[tuple[Chosen, Any]] = [
    (Chosen(endpoint=""), lambda row: True),
    (Chosen(endpoint="count_tokens"), lambda row: row.endpoint == "count_tokens"),
    (Chosen(endpoint="", provider="gemini"), lambda row: row.provider == "gemini"),
    (Chosen(endpoint="", model="large", session="session 1"), lambda row: row.model == "large" and "1" in row.session),
    (Chosen(endpoint="", project="/b%"), lambda row: row.project == "/b%"),
    (Chosen(endpoint="", state="upstream_error"), lambda row: row.state == "upstream_error"),
    (Chosen(endpoint="", since=NOON.timestamp()), lambda row: row.began >= NOON.timestamp()),
    (Chosen(endpoint="", until=NOON.timestamp()), lambda row: row.began < NOON.timestamp()),
    (Chosen(endpoint="", text="LARG"), lambda row: row.model == "large"),
    (Chosen(endpoint="", text="%"), lambda row: "%" in row.project),
    (Chosen(endpoint="", text="_01"), lambda row: "_01" in row.id),
    (Chosen(endpoint="", text="'"), lambda row: False),
]


@pytest.mark.fault("S-05")
@pytest.mark.parametrize(("chosen", "meant"), CHOICES, ids=[repr(chosen)[7:60] for chosen, _ in CHOICES])
def test_only_those_that_were_chosen_are_told(place: str, chosen: Chosen, meant: Any) -> None:
    rows = many()
    written(place, rows)
    with read(place) as reader:
        assert {row.id for row in reader.page(chosen, most=1000)} == {row.id for row in rows if meant(row)}
        assert reader.total(chosen).requests == sum(map(meant, rows))


def test_nothing_comes_to_nothing(place: str) -> None:
    with read(place) as reader:
        assert reader.total(Chosen()) == Sum(key="total")
        assert reader.sums(Chosen(), "day") == []
        assert reader.page(Chosen()) == []


def test_several_that_begin_at_once_make_one_ledger(place: str) -> None:
    faults: list[BaseException] = []
    together = threading.Barrier(8)

    def begin(number: int) -> None:
        try:
            together.wait(10)
            written(place, [replace(FULL, id=f"req_{number}_{row}") for row in range(50)])
        except BaseException as cause:  # noqa: BLE001 -- told below
            faults.append(cause)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with read(place) as reader:
        assert reader.total(Chosen()).requests == 400


def test_one_of_a_newer_version_is_left_alone(place: str) -> None:
    connect(place).close()
    if place.startswith("postgresql"):
        with psycopg.connect(place) as postgres:
            postgres.execute(f"UPDATE ledger_version SET version = {VERSION + 1}".encode())
    else:
        with closing(sqlite3.connect(place, isolation_level=None)) as sqlite:
            sqlite.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(LedgerError, match="newer version"):
        connect(place)


@pytest.mark.fault("R-10")
def test_while_the_database_is_away_rows_wait_and_none_is_lost(postgres: str, database: str) -> None:
    name = database.removeprefix(postgres)
    ledger = Ledger(database, days=100_000, interval=0.01)
    ledger.start()
    ledger.ended(FULL)
    until(lambda: ledger.told().written == 1)
    with psycopg.connect(f"{postgres}postgres", autocommit=True) as server:
        server.execute("UPDATE pg_database SET datallowconn = false WHERE datname = %s", (name,))
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        for number in range(500):
            ledger.ended(replace(FULL, id=f"req_{number}"))
        until(lambda: bool(ledger.told().failing))
        assert ledger.told().waiting == 500
        server.execute("UPDATE pg_database SET datallowconn = true WHERE datname = %s", (name,))
    until(lambda: ledger.told().written == 501)
    ledger.close()
    assert (ledger.told().lost, ledger.told().failing) == (0, "")
    with read(database) as reader:
        assert reader.total(Chosen()).requests == 501


def test_what_is_old_is_forgotten(place: str) -> None:
    now = NOON.timestamp()
    ledger = Ledger(place, days=2, capture_days=1, clock=lambda: now, interval=0.01)
    ages = [0.5, 1.5, 2.5]
    for age in ages:
        ledger.ended(replace(FULL, id=f"req_{age}", began=now - age * 86_400))
        ledger.keep(f"req_{age}", "request", now - age * 86_400, b"{}")
    ledger.start()
    ledger.close()
    with read(place) as reader:
        assert {row.id for row in reader.page(Chosen())} == {"req_0.5", "req_1.5"}
        assert [bool(reader.captured(f"req_{age}")) for age in ages] == [True, False, False]
