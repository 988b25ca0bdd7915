"""`claude-code-proxy usage`, on a ledger that the proxy's own writer wrote."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from claude_code_proxy.cli.usage import _cost, _cut, _dollars, _short, _width
from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.reading import Sum
from claude_code_proxy.ledger.writer import Ledger

from .terminal import clean, piped, session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOON = datetime.combine(datetime.now().astimezone().date(), time(12)).astimezone()
DAYS = [(NOON - timedelta(days=number)).date().isoformat() for number in range(40)]

ASKED = Entry(
    id="req_1",
    began=NOON.timestamp(),
    endpoint="messages",
    session="s-1",
    project="/home/me/work",
    provider="openai",
    model="gpt-4.1",
    state="ok",
    status=200,
    seconds=2.5,
    input=1000,
    output=200,
    cache_read=30_000,
    cache_write=0,
    thinking=50,
    cost=0.0125,
    priced="list",
)


def ago(days: int, **more: Any) -> Entry:
    return replace(ASKED, began=(NOON - timedelta(days=days)).timestamp(), **more)


ROWS = [
    ASKED,
    replace(ASKED, id="req_2", cost=1.5, session="s-2", model="gpt-6", project="=cmd()"),
    replace(ASKED, id="req_3", cost=None, priced="", provider="nvidia", model="nemotron", project="/home/me/other"),
    replace(
        ASKED, id="req_4", state="refused", provider="", model="", cost=None, input=None, output=None, cache_read=None
    ),
    replace(ASKED, id="req_5", endpoint="count_tokens", cost=99.0),
    ago(3, id="req_6", cost=0.25),
    ago(6, id="req_7", cost=0.5),
    ago(7, id="req_8", cost=1.0),
    ago(30, id="req_9", cost=None, priced=""),
]
"""1.5 + 0.0125 today, with one that is not known; 0.25, 0.5 and 1.0 before; one that is not known 30 days ago."""


def written(place: Path, rows: Sequence[Entry]) -> None:
    ledger = Ledger(str(place), days=100_000, interval=0.01)
    ledger.start()
    for row in rows:
        ledger.ended(row)
    ledger.close()
    assert ledger.told().written == len(rows)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "state" / "ledger.db"
    written(place, ROWS)
    return clean(tmp_path, PROXY_LEDGER=str(place))


async def told(env: dict[str, str], tmp_path: Path, *words: str) -> Any:
    status, out, err = await piped("usage", *words, "--json", env=env, cwd=tmp_path)
    assert (status, err) == (0, "")
    return json.loads(out)


async def test_day_by_day_with_what_is_not_known(env: dict[str, str], tmp_path: Path) -> None:
    status, out, err = await piped("usage", env=env, cwd=tmp_path)
    assert (status, err) == (0, "")
    lines = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert lines == [
        ["DAY", "REQUESTS", "FAILED", "INPUT", "CACHE READ", "CACHE WRITE", "OUTPUT", "COST"],
        [DAYS[30], "1", "0", "1,000", "30.0k", "0", "200", "unknown"],
        [DAYS[7], "1", "0", "1,000", "30.0k", "0", "200", "$1.00"],
        [DAYS[6], "1", "0", "1,000", "30.0k", "0", "200", "$0.5000"],
        [DAYS[3], "1", "0", "1,000", "30.0k", "0", "200", "$0.2500"],
        [DAYS[0], "4", "1", "3,000", "90.0k", "0", "600", "≥ $1.51"],
        ["total", "8", "1", "7,000", "210k", "0", "1,400", "≥ $3.26 (2 requests of unknown cost)"],
    ]


async def test_by_model_the_most_expensive_first(env: dict[str, str], tmp_path: Path) -> None:
    status, out, _ = await piped("usage", "--by", "model", "--last", "7d", env=env, cwd=tmp_path)
    assert status == 0
    lines = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("MODEL", "COST"),
        ("openai:gpt-6", "$1.50"),
        ("openai:gpt-4.1", "$0.7625"),
        ("nvidia:nemotron", "unknown"),
        ("(none)", "–"),
        ("total", "≥ $2.26 (1 request of unknown cost)"),
    ]


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        ([], 8),
        (["--last", "1d"], 4),
        (["--last", "7d"], 6),
        (["--last", "8d"], 7),
        (["--last", "1w"], 6),
        (["--last", "5w"], 8),
        (["--last", "9999h"], 8),
        (["--last", "9999w"], 8),
        (["--since", DAYS[6]], 6),
        (["--since", DAYS[7], "--until", DAYS[7]], 1),
        (["--until", DAYS[3]], 4),
        (["--since", DAYS[6], "--until", DAYS[3]], 2),
    ],
)
async def test_days_are_whole_and_the_users_own(
    env: dict[str, str], tmp_path: Path, words: list[str], requests: int
) -> None:
    assert (await told(env, tmp_path, *words))["total"]["requests"] == requests


async def test_json_tells_what_is_known_and_how_many_are_not(env: dict[str, str], tmp_path: Path) -> None:
    found = await told(env, tmp_path, "--by", "project", "--last", "1d")
    assert found["by"] == "project"
    assert datetime.fromisoformat(found["since"]).isoformat() == f"{DAYS[0]}T00:00:00{found['since'][19:]}"
    assert found["until"] is None
    groups = {one["project"]: one for one in found["groups"]}
    assert groups.keys() == {"=cmd()", "/home/me/work", "/home/me/other"}
    assert (groups["/home/me/other"]["cost"], groups["/home/me/other"]["unpriced"]) == (None, 1)
    assert groups["=cmd()"]["cost"] == 1.5
    assert found["total"] == {
        "requests": 4,
        "errors": 1,
        "input": 3000,
        "output": 600,
        "cache_read": 90_000,
        "cache_write": 0,
        "thinking": 200,
        "cost": pytest.approx(1.5125),
        "unpriced": 1,
        "seconds": 10.0,
        "latest": NOON.isoformat(timespec="seconds"),
    }


@pytest.mark.parametrize("evil", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", '=1,"2"', "plain, but with a comma"])
async def test_a_spreadsheet_gets_no_formula(tmp_path: Path, evil: str) -> None:
    written(tmp_path / "ledger.db", [replace(ASKED, project=evil), replace(ASKED, id="req_2", project="/x", cost=None)])
    env = clean(tmp_path, PROXY_LEDGER=str(tmp_path / "ledger.db"))
    status, out, err = await piped("usage", "--by", "project", "--csv", env=env, cwd=tmp_path)
    assert (status, err) == (0, "")
    head, known, unknown = csv.reader(io.StringIO(out))
    assert head == [
        *("project", "requests", "errors", "input", "output", "cache_read", "cache_write", "thinking"),
        *("cost", "unpriced", "seconds", "latest"),
    ]
    assert known[0] == (evil if evil.startswith("plain") else f"'{evil}")
    assert not known[0].startswith(("=", "+", "-", "@"))
    assert (known[8], known[9]) == ("0.0125", "0")
    assert (unknown[8], unknown[9]) == ("unknown", "1")


async def test_names_of_clients_move_no_cursor(tmp_path: Path) -> None:
    written(tmp_path / "ledger.db", [replace(ASKED, model="a\x9b31m\u202eb\u200bc")])
    env = clean(tmp_path, PROXY_LEDGER=str(tmp_path / "ledger.db"))
    status, out, _ = await piped("usage", "--by", "model", env=env, cwd=tmp_path)
    assert status == 0
    assert all(line.isprintable() for line in out.splitlines())


async def test_in_a_terminal_it_is_as_wide_as_that(env: dict[str, str], tmp_path: Path) -> None:
    long = "/home/me/" + "deep/" * 40 + "終わり"
    written(tmp_path / "state" / "ledger.db", [replace(ASKED, id="req_x", project=long)])
    async with session("usage", "--by", "project", env=env, cwd=tmp_path) as shown:
        status, screen = await shown.ended()
    assert status == 0
    lines = [line for line in screen.splitlines() if line.strip()]
    assert max(_width(line) for line in lines[:-1]) <= 160
    assert any(line.startswith("…") and "deep/終わり" in line for line in lines)
    assert b"\x1b[2m" in shown.raw


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=["table", "json", "csv"])
async def test_without_a_ledger_it_says_so_and_makes_none(tmp_path: Path, form: list[str]) -> None:
    env = clean(tmp_path, PROXY_LEDGER=str(tmp_path / "ledger.db"))
    status, out, err = await piped("usage", *form, env=env, cwd=tmp_path)
    assert (status, err.startswith("There is no ledger yet")) == (0, True)
    assert bool(out) == bool(form)
    assert not (tmp_path / "ledger.db").exists()
    if form == ["--json"]:
        assert json.loads(out)["groups"] == []


async def test_where_nothing_was_asked_for_it_says_so(env: dict[str, str], tmp_path: Path) -> None:
    status, out, err = await piped("usage", "--until", "2001-01-01", env=env, cwd=tmp_path)
    assert (status, out) == (0, "")
    assert "No requests in this time" in err


FAULTS: list[tuple[dict[str, str], list[str], int, str]] = [
    ({"PROXY_LEDGER": "off"}, [], 1, "PROXY_LEDGER is off"),
    ({"PROXY_LEDGER": "postgresql://u:canary@127.0.0.1:9/x"}, [], 1, "The ledger cannot be read"),
    ({}, ["--since", "2026-11-22", "--until", "2026-11-21"], 1, "no time between them"),
    ({}, ["--since", "yesterday"], 2, "'yesterday' is no day: as 2026-11-22"),
    ({}, ["--until", "9999-12-31"], 2, "is no day"),
    ({}, ["--last", "0d"], 2, "as 12h, 7d or 4w"),
    ({}, ["--last", "7"], 2, "is no span"),
    ({}, ["--last", "7d", "--since", "2026-11-22"], 2, "not allowed with"),
    ({}, ["--json", "--csv"], 2, "not allowed with"),
    ({}, ["--by", "hour"], 2, "invalid choice"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[said for *_, said in FAULTS])
async def test_what_cannot_be_done_is_told(env: dict[str, str], tmp_path: Path, fault: Any) -> None:
    more, words, status, said = fault
    ended, out, err = await piped("usage", *words, env={**env, **more}, cwd=tmp_path)
    assert (ended, out) == (status, "")
    assert said in err
    assert "canary" not in err
    assert "Traceback" not in err


async def test_a_ledger_of_a_newer_version_is_told_and_left_alone(env: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "state" / "ledger.db"
    with sqlite3.connect(place) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    status, _, err = await piped("usage", env=env, cwd=tmp_path)
    assert status == 1
    assert "made by a newer version" in err


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (99_949, "99.9k"),
        (99_951, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (12_345_678, "12.3M"),
        (5_000_000_000, "5.00G"),
        (9_000_000_000_000, "9,000G"),
    ],
)
def test_counts_are_short(count: int, shown: str) -> None:
    assert _short(count) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0.0, "$0.00"), (1e-9, "< $0.0001"), (0.00005, "$0.0001"), (0.1234567, "$0.1235"), (1234.5, "$1,234.50")],
)
def test_small_sums_are_not_shown_as_nothing(usd: float, shown: str) -> None:
    assert _dollars(usd) == shown


def test_what_is_not_known_is_never_shown_as_a_sum() -> None:
    assert _cost(Sum(key="", unpriced=1)) == "unknown"
    assert _cost(Sum(key="", cost=0.0, unpriced=1)) == "≥ $0.00"
    assert _cost(Sum(key="", cost=0.0)) == "$0.00"
    assert _cost(Sum(key="")) == "–"


def test_a_name_is_cut_at_its_beginning() -> None:
    assert (_cut("abcdef", 6), _cut("abcdef", 4), _cut("終わり", 5)) == ("abcdef", "…def", "…わり")
