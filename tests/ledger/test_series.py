"""What charts and lists are made of, in both kinds of databases."""

from __future__ import annotations

import time

import pytest

from claude_code_proxy.dashboard.site import Site
from claude_code_proxy.health import Health
from claude_code_proxy.ledger import series
from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.reading import Chosen, read
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.settings import load_settings
from dashboard.rows import hostile, keep, some

NOW = 1_795_000_000.0
ASKED = (
    {"range": "24h"},
    {"range": "all", "text": "%_'\"\\", "by": "model"},
    {"before": "1795000000.5_r"},
    {"before": "nan_\x00", "text": "\x00", "session": "\x7f", "range": "all"},
)
ROWS = list(some(600, days=20, now=NOW))


def test_spans_are_those_of_the_rows(place: str) -> None:
    keep(place, ROWS)
    with read(place) as reader:
        found = series.spans(reader, Chosen(), 3600, 1800)
    assert [one.at for one in found] == sorted({one.at for one in found})
    assert all((one.at + 1800) % 3600 == 0 for one in found)
    for one in found:
        # A second more or less: databases do not agree on how a half is cut off.
        sure = [row for row in ROWS if one.at + 1 <= row.began < one.at + 3599]
        near = [row for row in ROWS if one.at - 1 <= row.began < one.at + 3601]
        assert len(sure) <= one.requests <= len(near)
    assert sum(one.requests for one in found) == len(ROWS)
    assert sum(one.output for one in found) == sum(row.output or 0 for row in ROWS)
    assert sum(one.cached for one in found) == sum(row.cache_read or 0 for row in ROWS)
    assert sum(one.errors for one in found) == sum(row.state != "ok" for row in ROWS)
    assert sum(one.cost or 0 for one in found) == pytest.approx(sum(row.cost or 0 for row in ROWS))


def test_all_of_few_are_looked_at_and_few_of_many(place: str) -> None:
    keep(place, ROWS)
    with read(place) as reader:
        every, few = series.took(reader, Chosen()), series.took(reader, Chosen(), 100)
    assert sorted(one.began for one in every) == sorted(row.began for row in ROWS)
    assert 50 <= len(few) <= 100


def test_sessions_are_those_of_the_rows(place: str) -> None:
    keep(place, [*ROWS, Entry(id="req_none", began=NOW, endpoint="messages")])
    with read(place) as reader:
        found = series.sessions(reader, Chosen())
    assert [one.latest for one in found] == sorted((one.latest for one in found), reverse=True)
    assert {one.key for one in found} == {row.session for row in ROWS}
    for one in found:
        rows = [row for row in ROWS if row.session == one.key]
        assert (one.requests, one.project, one.began) == (len(rows), rows[0].project, min(row.began for row in rows))
        assert one.output == sum(row.output or 0 for row in rows)
        assert one.models == len({(row.provider, row.model) for row in rows})


def test_models_are_those_that_were_used(place: str) -> None:
    keep(place, ROWS)
    with read(place) as reader:
        found = series.used(reader)
    assert {(row["provider"], row["model"]) for row in found} == {(row.provider, row.model) for row in ROWS}
    assert [row["many"] for row in found] == sorted((row["many"] for row in found), reverse=True)


def test_every_page_is_made_of_both(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_PROXY_ENV_FILE", "")
    keep(place, [*some(200, now=time.time()), *hostile()])
    site = Site(Metrics(ledger=Ledger(place)), Health())
    charts = ("requests", "latency", "first", "tokens", "cached", "cost")
    paths = ("", "/requests", "/requests.csv", "/request/req_000", "/sessions", "/usage", "/usage.csv")
    for path in (*paths, *(f"/chart/{name}.svg" for name in charts)):
        for asked in ASKED:
            assert site.answer(f"/dashboard{path}", asked, load_settings(), None).status == 200, path
    assert site.answer("/dashboard/request/\x00", {}, load_settings(), None).status == 404
