"""What the pages say: texts stay texts (S-13), filters choose, figures are honest."""

from __future__ import annotations

import csv
import html
import io
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

import claude_code_proxy.dashboard
from claude_code_proxy.dashboard import asked, shown, trace
from claude_code_proxy.dashboard.export import cell
from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.reading import Sum

from .markup import checked
from .rows import CLIENT, XSS, hostile, keep, some

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Here

LISTS = (
    "/dashboard",
    "/dashboard/requests?range=1h",
    "/dashboard/sessions?range=1h",
    *(f"/dashboard/usage?range=1h&by={by}" for by in ("model", "session", "project", "provider")),
)


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("path", LISTS)
async def test_what_attacks_is_a_text_in_a_list(here: Callable[..., Here], path: str) -> None:
    values = checked((await here().ask(path)).body).values
    if path.startswith("/dashboard/requests"):
        assert set(XSS) <= values


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("entry", list(hostile()), ids=lambda entry: entry.id[:7])
async def test_what_attacks_is_a_text_on_its_page(here: Callable[..., Here], entry: Entry) -> None:
    answer = await here().ask(f"/dashboard/request/{entry.id}")
    assert answer.status == 200
    assert entry.client in checked(answer.body).values


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("attack", XSS)
async def test_what_is_asked_for_is_a_text_too(here: Callable[..., Here], attack: str) -> None:
    names = ("text", "state", "provider", "model", "session", "project", "before", "range", "by")
    query = urlencode(dict.fromkeys(names, attack))
    place = here()
    for path in ("/dashboard", "/dashboard/requests", "/dashboard/sessions", "/dashboard/usage"):
        answer = await place.ask(f"{path}?{query}")
        assert answer.status == 200
        assert path != "/dashboard/requests" or attack in checked(answer.body).values
    missing = await place.ask(f"/dashboard/{quote(attack)}")
    assert missing.status == 404
    checked(missing.body)
    looks = urlencode(dict.fromkeys(("theme", "shape", "range"), attack))
    chart = await place.ask(f"/dashboard/chart/cost.svg?{looks}")
    assert chart.status == 200
    assert not re.search(rb"<(script|foreignObject|a|image|use)\b|\son\w+=|\sstyle=", chart.body)


TEMPLATES = Path(claude_code_proxy.dashboard.__file__).parent / "templates"

FILTERS = [
    ("provider", "ollama", lambda one: one.provider == "ollama"),
    ("model", "gpt-5.1-codex", lambda one: one.model == "gpt-5.1-codex"),
    ("state", "timeout", lambda one: one.state == "timeout"),
    ("project", "/home/ada/src/billing", lambda one: one.project == "/home/ada/src/billing"),
    ("text", "BILLING", lambda one: "billing" in one.project),
    ("text", "100%_", lambda one: False),
    ("session", "00000002-5b1c-4d2e-9f00-000000000002", lambda one: one.session.startswith("00000002")),
]


def shown_ids(page: bytes) -> list[str]:
    return re.findall(r'href="/dashboard/request/(req_\w+)"', page.decode())


@pytest.mark.parametrize(("name", "value", "fits"), FILTERS, ids=[f"{name}={value}" for name, value, _ in FILTERS])
async def test_a_filter_chooses(
    here: Callable[..., Here], name: str, value: str, fits: Callable[[Entry], bool]
) -> None:
    place, found = here(), list[str]()
    path = f"/dashboard/requests?{urlencode({name: value, 'range': 'all'})}"
    while path:
        page = (await place.ask(path)).body
        found += shown_ids(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.decode())
        path = html.unescape(older[1]) if older else ""
    expected = sorted((one for one in some(300) if fits(one)), key=lambda one: -one.began)
    assert len(found) == len(set(found))
    assert set(found) == {one.id for one in expected}


async def test_pages_follow_each_other_without_a_gap(here: Callable[..., Here], tmp_path: Path) -> None:
    place = here()
    now = time.time()
    keep(
        tmp_path / "ledger.db",
        [Entry(id=f"req_page{n:04d}", began=now - 5000 - n // 40, endpoint="messages") for n in range(200)],
    )
    found, path = list[str](), "/dashboard/requests?range=all&text=req_page"
    while path:
        page = (await place.ask(path)).body
        found += shown_ids(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.decode())
        path = html.unescape(older[1]) if older else ""
    assert found == sorted(
        (f"req_page{n:04d}" for n in range(200)), key=lambda one: (int(one[8:]) // 40, -int(one[8:]))
    )


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode())))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", '=HYPERLINK("http://evil.test")']
)
def test_no_text_becomes_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["claude", "a=b", "2026-11-22", 5, -5.5, None, ""])
def test_other_values_stay_as_they_are(value: object) -> None:
    assert cell(value) == value


async def test_csv_tells_all_and_runs_nothing(here: Callable[..., Here], tmp_path: Path) -> None:
    place = here()
    formulas: dict[str, Any] = {"client": "=cmd|'/c calc'!A1", "project": "+1", "model": "@x", "session": "-2+3"}
    keep(tmp_path / "ledger.db", [Entry(id="req_formula", began=time.time(), endpoint="messages", **formulas)])
    answer = await place.ask("/dashboard/requests.csv?range=all")
    assert answer.headers["content-disposition"] == 'attachment; filename="claude-code-proxy-requests.csv"'
    rows = table(answer.body)
    assert len(rows) == 300 + len(XSS) + 1
    row = next(row for row in rows if row["id"] == "req_formula")
    assert {name: row[name] for name in formulas} == {name: f"'{value}" for name, value in formulas.items()}
    usage = await place.ask("/dashboard/usage.csv?range=all&by=project")
    assert "'+1" in {row["project"] for row in table(usage.body)}


async def test_what_is_not_known_is_never_nought(here: Callable[..., Here]) -> None:
    place = here()
    rows = {row["model"]: row for row in table((await place.ask("/dashboard/usage.csv?range=all&by=model")).body)}
    assert rows["ollama:qwen3-coder:30b"]["cost"] == "unknown"
    assert float(rows["openai:gpt-5.1-codex"]["cost"]) > 0
    page = (await place.ask("/dashboard/usage?range=all&by=model")).body.decode()
    assert '<td class="n">unknown</td>' in page
    assert "$0<" not in page


VALUES = [
    (shown.money, None, "unknown"), (shown.money, 0.0, "$0"), (shown.money, 0.00001, "<$0.0001"),
    (shown.money, 0.0123, "$0.0123"), (shown.money, 1234.5, "$1,234.50"),
    (shown.tokens, None, "–"), (shown.tokens, 0, "0"), (shown.tokens, 999, "999"), (shown.tokens, 1500, "1.5k"),
    (shown.tokens, 2_500_000, "2.5M"), (shown.tokens, 1 << 60, "1153P"),
    (shown.seconds, None, "–"), (shown.seconds, 0.0314, "31 ms"), (shown.seconds, 2.25, "2.2 s"),
    (shown.seconds, 75, "1 m 15 s"), (shown.seconds, 7300, "2 h 01 m"),
    (shown.size, None, "–"), (shown.size, 500, "500 B"), (shown.size, 2048, "2.0 KiB"), (shown.size, 1 << 60, "1048576.0 TiB"),
    (shown.cost_of, Entry(id="", began=0), "–"), (shown.cost_of, Entry(id="", began=0, output=1), "unknown"),
    (shown.cost_of_all, Sum(key=""), "–"), (shown.cost_of_all, Sum(key="", unpriced=2), "unknown"),
    (shown.cost_of_all, Sum(key="", cost=1.5, unpriced=2), "$1.50 + 2 unknown"),
    (shown.cached, Sum(key="", input=1, cache_read=3), "75 %"), (shown.cached, Sum(key=""), "–"),
    (shown.folder, "/home/ada/src/x/", "x"), (shown.folder, "C:\\src\\y", "y"), (shown.folder, "/", "/"),
    (shown.state, "newer", "newer"), (shown.tone, "newer", "note"), (shown.when, None, "–"),
]  # fmt: skip


@pytest.mark.parametrize(("show", "value", "text"), VALUES)
def test_how_a_value_is_shown(show: Callable[[object], str], value: object, text: str) -> None:
    assert show(value) == text


def test_a_route_is_told_step_by_step() -> None:
    entry = Entry(
        id="r", began=1.0, client_model="claude-opus-4-5", endpoint="messages", kind="think", rule="[routing] think",
        provider="openai", model="gpt-4.1", state="ok", status=200, stop="end_turn", seconds=2.0,
        tried="nvidia:x (key 1 of 2): 429 | nvidia:x (key 2 of 2): 529 | openai:gpt-4.1: ok",
    )  # fmt: skip
    assert [(step.title, step.text, step.more, step.tone) for step in trace.steps(entry)] == [
        ("Asked for", "claude-opus-4-5", "messages", ""),
        ("Kind", "think", "", ""),
        ("Rule", "[routing] think", "", ""),
        ("Attempt 1", "nvidia:x (key 1 of 2)", "429", "bad"),
        ("Attempt 2, again", "nvidia:x (key 2 of 2)", "529", "bad"),
        ("Attempt 3, falls back", "openai:gpt-4.1", "ok", "good"),
        ("Outcome", "ok", "200 · end_turn", "good"),
    ]


async def test_without_a_ledger_the_health_is_shown(here: Callable[..., Here]) -> None:
    place = here(PROXY_LEDGER="off")
    answer = await place.ask("/dashboard")
    assert answer.status == 200
    assert b"The ledger is off" in answer.body
    assert b"openai" in answer.body


async def test_a_ledger_that_cannot_be_read_is_told(here: Callable[..., Here], tmp_path: Path) -> None:
    place = here()
    assert (await place.ask("/dashboard/requests")).status == 200
    (tmp_path / "ledger.db").rename(tmp_path / "other.db")
    (tmp_path / "ledger.db").symlink_to(tmp_path / "elsewhere.db")
    answer = await place.ask("/dashboard/requests")
    assert answer.status == 500
    assert b"is a link or no file" in answer.body
    checked(answer.body)


def test_a_place_keeps_what_it_is_asked_for() -> None:
    assert asked.place("/p", {"a": "1", "before": "x"}, before="", b="<&>") == "/p?a=1&b=%3C%26%3E"
    assert asked.place("/p", {}) == "/p"


@pytest.mark.parametrize(("value", "place"), [("1.5_req_a", (1.5, "req_a")), ("x_y", None), ("", None), ("5", None)])
def test_where_a_page_begins(value: str, place: tuple[float, str] | None) -> None:
    assert asked.before({"before": value}) == place


async def test_the_client_is_told(here: Callable[..., Here]) -> None:
    page = (await here().ask("/dashboard/request/req_000000000000000000000001")).body.decode()
    assert CLIENT in page


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*")), ids=lambda path: path.name)
def test_a_template_escapes_all_and_runs_nothing(template: Path) -> None:
    text = template.read_text("utf-8")
    assert not re.search(
        r"\|\s*safe\b|autoescape|{%-?\s*raw|{#|\sstyle=|<style|\son\w+=|<script(?! src=\"/dashboard/assets/)", text
    )
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_script_writes_texts_only() -> None:
    script = (TEMPLATES.parent / "assets" / "script.js").read_text("utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|setAttribute|localStorage", script
    )
    assert "textContent" in script


@pytest.mark.fault("S-09")
async def test_no_page_holds_a_key(here: Callable[..., Here]) -> None:
    secrets = {"OPENAI_API_KEY": "canary-openai-zq81", "PROXY_API_KEY": "canary-of-the-proxy-wv72"}
    place = here(**secrets)
    paths = (
        *LISTS,
        "/dashboard/requests.csv?range=all",
        "/dashboard/request/req_000000000000000000000001",
        "/dashboard/x",
    )
    for path in paths:
        answer = await place.ask(path, authorization=f"Bearer {secrets['PROXY_API_KEY']}")
        assert answer.status in {200, 404}
        assert b"canary" not in answer.body
        assert not any("canary" in value for value in answer.headers.values())


@pytest.mark.parametrize("name", ["requests", "latency", "first", "tokens", "cached", "cost"])
async def test_a_chart_of_nothing_says_so(here: Callable[..., Here], tmp_path: Path, name: str) -> None:
    full, empty = here(), here(PROXY_LEDGER=str(tmp_path / "empty.db"))
    for shape in ("wide", "narrow"):
        path = f"/dashboard/chart/{name}.svg?range=30d&theme=dark&shape={shape}"
        drawn, nothing = (await full.ask(path)).body, (await empty.ask(path)).body
        assert b"Nothing in this time" in nothing
        assert b"Nothing in this time" not in drawn
        assert drawn.count(b"<path" if name in {"latency", "first", "cached"} else b"<rect") > 3


async def test_an_empty_ledger_has_every_page(here: Callable[..., Here], tmp_path: Path) -> None:
    place = here(PROXY_LEDGER=str(tmp_path / "empty.db"))
    for path in ("", "/requests", "/requests.csv", "/sessions", "/usage", "/usage.csv"):
        assert (await place.ask(f"/dashboard{path}")).status == 200
    page = (await place.ask("/dashboard")).body.decode()
    assert "$0" not in page
    assert "No request has come" in page
