"""What runs, as it is streamed; and the dashboard where its packages are missing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asgi import Exchange
from claude_code_proxy.dashboard import live as live_module
from claude_code_proxy.dashboard.live import Live
from claude_code_proxy.http.asgi import ClientGone
from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.metrics import Metrics

from .conftest import KEY
from .rows import XSS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Here


class Stage:
    """A stream, what it is of, and what it has sent."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live_module, "EVERY", 0.01)
        self.ledger = Ledger(str(place))
        self.live = Live(Metrics(ledger=self.ledger))
        self.stopping = False

    def watch(self) -> tuple[Exchange, asyncio.Task[Any]]:
        exchange = Exchange(path="/dashboard/live")
        return exchange, asyncio.ensure_future(self.live.answer(exchange.receive, exchange.send, lambda: self.stopping))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path / "ledger.db", monkeypatch)


def told(exchange: Exchange) -> list[dict[str, Any]]:
    """What the events say."""
    return [json.loads(line[6:]) for line in exchange.body.decode().split("\n") if line.startswith("data: ")]


async def test_it_tells_what_changes_and_nothing_else(stage: Stage) -> None:
    exchange, task = stage.watch()
    await exchange.until(lambda one: len(told(one)) == 1)
    assert told(exchange)[0]["rows"] == []
    await asyncio.sleep(0.1)
    assert len(told(exchange)) == 1  # nothing has changed
    entry = Entry(id="req_a", began=0.0, endpoint="messages", client_model="claude", sent=2048)
    stage.ledger.began("req_a", lambda: entry)
    stage.ledger.began("req_b", lambda: Entry(id="req_b", began=0.0, endpoint="models"))
    await exchange.until(lambda one: told(one)[-1]["running"] == 1)
    (row,) = told(exchange)[-1]["rows"]
    assert {name: row[name] for name in ("id", "state", "asked", "target", "tokens", "bytes")} == {
        "id": "req_a", "state": "running", "asked": "claude", "target": "–", "tokens": "–", "bytes": "2.0 KiB",
    }  # fmt: skip
    entry.state, entry.seconds, entry.input, entry.output = "ok", 2.0, 1500, 20
    stage.ledger.ended(entry)
    await exchange.until(lambda one: told(one)[-1]["running"] == 0)
    (row,) = told(exchange)[-1]["rows"]
    assert (row["state"], row["time"], row["tokens"]) == ("ok", "2.0 s", "1.5k → 20")
    exchange.disconnect()
    with pytest.raises(ClientGone):
        await task


async def test_it_ends_when_the_server_stops(stage: Stage) -> None:
    exchange, task = stage.watch()
    await exchange.until(told)
    stage.stopping = True
    assert await asyncio.wait_for(task, 10) is None
    assert exchange.whole


async def test_it_ends_after_a_while_so_that_who_watches_is_let_in_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "LONGEST", 0.05)
    exchange, task = stage.watch()
    await asyncio.wait_for(task, 10)
    assert exchange.whole


async def test_not_everybody_can_watch_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_WATCHERS", 2)
    watching = [stage.watch() for _ in range(2)]
    for exchange, _ in watching:
        await exchange.until(told)
    _, refused = stage.watch()
    answer = await refused
    assert (answer.status, dict(answer.headers)) == (503, {})
    stage.stopping = True
    await asyncio.gather(*(task for _, task in watching))
    _, again = stage.watch()
    assert await again is None


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("attack", XSS)
async def test_no_text_ends_an_event(stage: Stage, attack: str) -> None:
    text = f"{attack}\n\ndata: {{}}\r\n\r\nevent: message_stop\u2028"
    entry = Entry(id="a", began=0.0, endpoint="messages", client_model=text, provider=text, model=text, project=text)
    stage.ledger.began("a", lambda: entry)
    exchange, task = stage.watch()
    await exchange.until(told)
    stage.stopping = True
    await task
    assert {line.partition(":")[0] for line in exchange.body.decode().split("\n") if line} == {"data"}
    assert told(exchange)[0]["rows"][0]["asked"] == text.replace("\n", "?").replace("\r", "?")


async def test_a_long_name_is_cut(stage: Stage) -> None:
    for ident in ("ended", "runs"):
        entry = Entry(id=ident, began=0.0, endpoint="messages", client_model="x\ud800" * 1_000_000)
        stage.ledger.began(ident, lambda entry=entry: entry)  # type: ignore[misc]
        if ident == "ended":
            stage.ledger.ended(entry)
    rows = json.loads(stage.live.data())["rows"]
    assert [row["asked"] for row in rows] == ["x?" * 250] * 2


@pytest.mark.fault("S-17")
async def test_who_is_not_let_in_sees_no_stream(here: Callable[..., Here]) -> None:
    answer = await here(PROXY_API_KEY=KEY).ask("/dashboard/live", accept="text/event-stream")
    assert answer.status == 401


async def test_without_its_packages_it_says_how_to_get_them(
    here: Callable[..., Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("claude_code_proxy.dashboard.")]:
        monkeypatch.delitem(sys.modules, name)
    place = here()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    answer = await place.ask("/dashboard")
    assert answer.status == 501
    assert b'pip install "claude-code-proxy[dashboard]"' in answer.body
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_they_are_not_imported_before_that() -> None:
    program = (
        "import sys; from claude_code_proxy.app import create_app;"
        "print([name for name in sys.modules if name.partition('.')[0] in {'jinja2', 'pygal', 'markupsafe'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
