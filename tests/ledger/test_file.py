"""The ledger's file: who may read it, and what happens to it."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.ledger.database import ROWS, LedgerError, connect
from claude_code_proxy.ledger.entry import COLUMNS, MOST, Entry, bounded, values
from claude_code_proxy.ledger.entry import LONGEST as LONGEST_TEXT
from claude_code_proxy.ledger.reading import Chosen, read
from claude_code_proxy.ledger.writer import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONGEST = 20.0


def rows(place: Path) -> int:
    with read(str(place)) as reader:
        return reader.total(Chosen(endpoint="")).requests


def add(ledger: Ledger, first: int, count: int = 1) -> None:
    for number in range(first, first + count):
        ledger.ended(Entry(id=f"req_{number}", began=time.time(), state="ok"))


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LONGEST
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)  # another thread's turn, which tells nobody


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "of its own" / "state" / "ledger.db"


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    made = Ledger(str(place), interval=0.01)
    yield made
    made.close()


@pytest.mark.fault("R-06")
def test_it_is_its_owners_alone_whatever_the_mask(place: Path, ledger: Ledger) -> None:
    before = os.umask(0)
    try:
        ledger.start()
        add(ledger, 0)
        until(lambda: ledger.told().written == 1)
        files = list(place.parent.iterdir())
        assert {file.name for file in files} >= {"ledger.db", "ledger.db-wal"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_one_that_others_could_read_is_closed_to_them(place: Path, ledger: Ledger) -> None:
    connect(str(place)).close()
    place.chmod(0o644)
    ledger.start()
    add(ledger, 0)
    until(lambda: ledger.told().written == 1)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.fault("R-03")
@pytest.mark.parametrize("what", ["a link to a file", "a link to nothing", "a folder", "a pipe"])
def test_what_is_no_file_of_its_own_is_refused(place: Path, what: str) -> None:
    place.parent.mkdir(parents=True)
    other = place.with_name("other")
    if what == "a link to a file":
        other.write_bytes(b"precious")
    match what:
        case "a folder":
            place.mkdir()
        case "a pipe":
            os.mkfifo(place)
        case _:
            place.symlink_to(other)
    with pytest.raises(LedgerError, match="a file of its own"):
        connect(str(place))
    assert other.exists() == (what == "a link to a file")
    assert not other.exists() or other.read_bytes() == b"precious"


DAMAGES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("no database", lambda _: b"These are not the rows you are looking for." * 100),
    ("its beginning overwritten", lambda data: b"\xff" * 100 + data[100:]),
    ("its table of tables overwritten", lambda data: data[:100] + b"\xff" * 3996 + data[4096:]),
    ("its rows overwritten", lambda data: data[:4096] + b"\xff" * (len(data) - 4096)),
    ("its end lost", lambda data: data[: len(data) // 3]),
]


@pytest.mark.fault("R-03")
@pytest.mark.parametrize("damage", [row[1] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_a_damaged_one_is_put_aside_and_a_new_one_begins(
    place: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    first = Ledger(str(place), interval=0.01)
    add(first, 0, 50)
    first.start()
    first.close()
    damaged = damage(place.read_bytes())
    place.write_bytes(damaged)
    second = Ledger(str(place), interval=0.01)
    add(second, 100, 3)
    second.start()
    until(lambda: second.told().written == 3)
    second.close()
    assert rows(place) == 3
    (aside,) = [file for file in place.parent.iterdir() if ".damaged-" in file.name and not file.name.endswith("m")]
    assert aside.read_bytes() == damaged
    assert "put aside" in caplog.text


@pytest.mark.fault("R-03")
def test_one_that_is_deleted_while_it_is_written_begins_anew(place: Path, ledger: Ledger) -> None:
    ledger.start()
    add(ledger, 0, 3)
    until(lambda: ledger.told().written == 3)
    shutil.rmtree(place.parent)
    add(ledger, 10, 2)
    until(lambda: ledger.told().written == 5)
    assert rows(place) == 2
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.fault("R-03")
def test_where_it_cannot_be_made_requests_go_on_and_one_line_says_so(
    place: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    place.parent.parent.mkdir(parents=True)
    place.parent.write_text("in the way")
    ledger.start()
    add(ledger, 0, 5)
    until(lambda: bool(ledger.told().failing))
    add(ledger, 5, 5)
    assert ledger.told().waiting == 10
    assert caplog.text.count("The ledger cannot be written") == 1
    place.parent.unlink()
    until(lambda: ledger.told().written == 10)
    assert ledger.told().failing == ""
    assert rows(place) == 10


@pytest.mark.fault("R-02")
def test_while_another_holds_it_rows_wait_and_none_is_lost(
    place: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("claude_code_proxy.ledger.database._BUSY", 0.05)
    ledger.start()
    add(ledger, 0)
    until(lambda: ledger.told().written == 1)
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        add(ledger, 1, 2000)
        until(lambda: "locked" in ledger.told().failing)
        assert ledger.told().waiting == 2000
        other.execute("ROLLBACK")
    until(lambda: ledger.told().written == 2001)
    assert ledger.told().lost == 0
    assert rows(place) == 2001


@pytest.mark.fault("R-01")
def test_what_is_too_much_to_wait_is_counted(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("claude_code_proxy.ledger.writer.MOST", 100)
    place.mkdir(parents=True)  # so it cannot be written
    full = Ledger(str(place), interval=0.01)
    full.start()
    add(full, 0, 130)
    assert (full.told().waiting, full.told().lost) == (100, 30)
    full.close()
    assert "The last 100 rows of the ledger were not written" in caplog.text


@pytest.mark.fault("R-05")
def test_after_a_power_cut_at_any_moment_it_is_whole(place: Path, ledger: Ledger, tmp_path: Path) -> None:
    """A copy of the files in the middle of the writing is what a power cut leaves, or less."""
    chance = random.Random(5)
    ledger.start()
    cuts = []
    for number in range(30):
        before = ledger.told().written
        add(ledger, number * 40, 40)
        time.sleep(chance.random() / 50)
        cut = tmp_path / f"cut{number}"
        cut.mkdir()
        for ending in ("-wal", ""):  # a page that the second copy has and the first has not is one more of the log
            if (part := place.with_name(place.name + ending)).exists():
                shutil.copyfile(part, cut / part.name)
        cuts.append((cut / place.name, before))
    for copy, before in cuts:
        with closing(sqlite3.connect(copy)) as found:
            assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not before or rows(copy) >= before


def test_a_running_request_is_asked_once_for_its_row(place: Path, ledger: Ledger) -> None:
    """A thousand streams are not told anew at each batch."""
    asked: list[str] = []

    def told(name: str) -> Callable[[], Entry]:
        return lambda: asked.append(name) or Entry(id=name, began=time.time())  # type: ignore[func-returns-value]

    ledger.start()
    ledger.began("req_long", told("req_long"))
    until(lambda: place.exists() and rows(place) == 1)
    add(ledger, 0)
    until(lambda: rows(place) == 2)
    assert asked == ["req_long"]
    assert [entry.id for entry in ledger.running()] == ["req_long"]


def test_while_rows_come_they_are_written_in_batches_and_not_one_by_one(place: Path) -> None:
    """Each batch is a transaction, in which the event loop and the ledger take turns many times."""
    ledger = Ledger(str(place), interval=0.2)
    turns: list[bool] = []
    turn = ledger._turn
    ledger._turn = lambda: turns.append(turn()) or turns[-1]  # type: ignore[method-assign, func-returns-value]
    ledger.start()
    began = time.monotonic()
    for number in range(200):
        add(ledger, number)
        time.sleep(0.005)
    batches = (time.monotonic() - began) / 0.2
    assert len(turns) <= batches + 3
    ledger.close()
    assert rows(place) == 200


@pytest.mark.parametrize("count", [1, 2, 37, 64, 1000, 2500])
def test_as_many_rows_are_written_at_once_as_sqlite_takes(place: Path, count: int) -> None:
    entries = [Entry(id=f"req_{n}", began=float(n), state="ok", sent=n) for n in range(count)]
    sql = f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES {ROWS}"
    with closing(connect(str(place))) as database:
        database.write((sql, [values(entry) for entry in entries]))
        told = database.rows("SELECT id, sent FROM requests ORDER BY sent")
    assert [(row["id"], row["sent"]) for row in told] == [(entry.id, entry.sent) for entry in entries]


def test_texts_are_bounded_one_by_one() -> None:
    entry = bounded(
        Entry(id="req_1", began=0.0, client="a\x00b", session="s" * LONGEST_TEXT, agent="\ud800", model="größer")
    )
    assert (entry.client, len(entry.session), entry.agent, entry.model) == ("a?b", LONGEST_TEXT, "?", "größer")
    entry = bounded(Entry(id="req_1", began=0.0, session="s" * (LONGEST_TEXT + 1), sent=1 << 60, output=-5))
    assert len(entry.session) == LONGEST_TEXT
    assert {MOST, -1} <= set(values(entry))
