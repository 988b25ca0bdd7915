"""Capture: what is kept of a request and its answers, what never is, and that no request waits for it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from canaries import canary, told
from claude_code_proxy import __version__
from claude_code_proxy.ledger import capture
from claude_code_proxy.ledger.capture import Capture
from claude_code_proxy.ledger.reading import read
from claude_code_proxy.ledger.writer import Ledger
from faults.ops import KEEP, SSE, STALL, Drip, chunk, chunked_head, chunks, sized
from faults.replies import DIALECTS, KEYS, reply
from machines import sized as cut

from .capturing import Stage, capturing

if TYPE_CHECKING:
    from pathlib import Path

    from faults.ops import Op

CLIENT, PASTED, SAID, ECHOED = (canary(name) for name in ("the client", "in a prompt", "by the model", "in an error"))
PROXY_KEY = canary("the proxy itself")
LARGEST = 100_000
SECRETS = (CLIENT, PASTED, SAID, ECHOED, PROXY_KEY)


def everything(stage: Stage) -> str:
    """All bytes of the ledger's files, and all that is packed in them."""
    files = [file.read_bytes() for file in stage.place.parent.glob("ledger.db*")]
    parts = [kept for row in stage.rows() for kept in stage.parts(row.id).values()]
    unpacked = [kept.data + json.dumps(kept.about).encode() for kept in parts]
    assert unpacked
    return b"\n".join([*files, *unpacked]).decode("utf-8", "replace")


async def test_what_is_kept(tmp_path: Path) -> None:
    made = reply("openai_chat", stream=True, text="A word.")
    script: list[Op] = [chunked_head(SSE), *chunks(cut(made.body, 90)), b"0\r\n\r\n", KEEP]
    async with capturing(tmp_path) as stage:
        sent = await stage.ask("openai_chat", [script], {"stream": True})
        await stage.written()
        parts = stage.latest()
    assert set(parts) == {"request", "asked", "outgoing", "incoming", "answer"}
    assert json.loads(parts["request"].data)["messages"] == [{"role": "user", "content": "Hi"}]
    asked = json.loads(parts["asked"].data)
    assert asked["url"].endswith("/api/v1/chat/completions")
    assert asked["headers"]["authorization"] == "[masked]"
    assert asked["versions"]["proxy"] == __version__
    assert parts["outgoing"].data == stage.upstream.attempts[0].body
    assert parts["incoming"].data == made.body
    assert parts["incoming"].about["status"] == 200
    assert b"".join(parts["incoming"].pieces) == made.body
    assert parts["answer"].data == sent.body
    assert parts["answer"].about["status"] == 200


async def test_nothing_is_kept_when_it_is_off(tmp_path: Path) -> None:
    async with capturing(tmp_path, PROXY_CAPTURE="false") as stage:
        for stream in (True, False):
            made = reply("openai_chat", stream=stream)
            assert (await stage.ask("openai_chat", [made.whole], {"stream": stream})).status == 200
        await stage.written()
        assert len(stage.rows()) == 2
        with read(str(stage.place)) as reader:
            assert reader.rows("SELECT * FROM captures") == []


async def test_what_came_is_kept_of_one_whose_client_leaves(tmp_path: Path) -> None:
    made = reply("openai_chat", stream=True)
    begun = made.said_by(5)
    async with capturing(tmp_path) as stage:
        exchange = stage.began("openai_chat", [[made.head, chunk(begun), STALL]], {"stream": True})
        task = asyncio.ensure_future(stage.messages(exchange.scope, exchange.receive, exchange.send, stage.pinned))
        await exchange.until(lambda it: b"alpha-0" in it.body)
        exchange.disconnect()
        await asyncio.wait_for(task, 20)
        await stage.written()
        parts = stage.latest()
        assert stage.rows()[0].state == "client_closed"
    assert parts["incoming"].data == begun
    assert parts["answer"].data == exchange.body != b""
    assert parts["answer"].about["status"] == 499


async def test_failed_attempts_are_kept_too(tmp_path: Path) -> None:
    made = reply("openai_chat", stream=True)
    wrong = sized(made.error_body("Too much.", 429), status=429)
    keys = {"OPENROUTER_API_KEY": ",".join(f"{KEYS['openai_chat']}-{number}" for number in range(3))}
    async with capturing(tmp_path, **keys) as stage:
        sent = await stage.ask("openai_chat", [[wrong, KEEP], [wrong, KEEP], made.whole], {"stream": True})
        assert sent.status == 200
        await stage.written()
        parts = stage.latest()
    assert parts["failed-1"].about["status"] == parts["failed-2"].about["status"] == 429
    assert b"Too much." in parts["failed-2"].data
    assert parts["incoming"].data == made.body


async def test_one_that_cannot_be_reached(tmp_path: Path) -> None:
    async with capturing(tmp_path, OPENROUTER_BASE_URL="http://127.0.0.1:9/v1") as stage:
        sent = await stage.ask("openai_chat", [], {"stream": True})
        assert sent.status == 502
        await stage.written()
        parts = stage.latest()
    assert parts["incoming"].about["broke"]["status"] == 502
    assert json.loads(parts["answer"].data)["error"]["type"] == "api_error"
    assert sent.body == parts["answer"].data


async def test_a_request_that_is_refused(tmp_path: Path) -> None:
    async with capturing(tmp_path) as stage:
        sent = await stage.ask("openai_chat", [], {"messages": "none"})
        assert sent.status == 400
        await stage.written()
        parts = stage.latest()
    assert set(parts) == {"request", "answer"}
    assert parts["answer"].data == sent.body


@pytest.mark.parametrize("size", [1, 3, 10, 33, 1 << 20])
async def test_no_secret_is_in_the_file(size: int, tmp_path: Path) -> None:
    """Whoever says it, and in whatever pieces."""
    body = {
        "system": f"export KEY=\nsk-proj-{PASTED}",
        "messages": [{"role": "user", "content": f"{CLIENT} sk-proj-{PASTED} and {PROXY_KEY}"}],
        "metadata": {"user_id": f"{CLIENT}"},
    }
    headers = {"authorization": f"Bearer {CLIENT}", "x-api-key": PROXY_KEY, "cookie": f"session={CLIENT}"}
    async with capturing(tmp_path, PROXY_API_KEY=PROXY_KEY) as stage:
        for dialect in DIALECTS:
            key = KEYS.get(dialect, "")
            text = f"Your key is sk-ant-{SAID}, or {key}, or {PROXY_KEY}{CLIENT}."
            for stream in (True, False):
                made = reply(dialect, stream=stream, text=text)
                refusal = made.error_body(f"No such key: sk-ant-{ECHOED} {key} {PROXY_KEY}", 401)
                wrong: list[Op] = [sized(refusal, status=401, x_echo=f"Bearer {key}", set_cookie=f"k={ECHOED}"), KEEP]
                pieces: list[Op] = [chunked_head(SSE), *chunks(cut(made.body, size)), b"0\r\n\r\n", KEEP]
                whole: list[Op] = list(made.whole)
                for script in (wrong, pieces if stream else whole):
                    await stage.ask(dialect, [script], {**body, "stream": stream}, headers)
        await stage.written()
        assert len(stage.rows()) == 4 * len(DIALECTS)
        held = everything(stage)
        assert told(held, SECRETS) == []
        assert not any(key in held for key in KEYS.values())


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with capturing(tmp_path) as stage:
        await stage.ask("openai_chat", [reply("openai_chat", stream=False).whole])
        await asyncio.to_thread(until_written, stage)
        assert await asyncio.to_thread(modes, tmp_path) == {0o600}


def modes(folder: Path) -> set[int]:
    """Who may read the files of the ledger."""
    if sys.platform == "win32":
        return {0o600}
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("ledger.db*")}


def until_written(stage: Stage) -> None:
    while not stage.rows() or stage.rows()[0].state == "running":
        pass


async def test_a_part_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "LARGEST", LARGEST)
    large = "x" * (LARGEST + 10_000)
    made = reply("anthropic", stream=True, text="y" * (LARGEST + 10_000))
    async with capturing(tmp_path) as stage:
        sent = await stage.ask("anthropic", [made.whole], {"stream": True, "system": large})
        await stage.written()
        parts = stage.latest()
    assert len(sent.body) > LARGEST
    for name in ("request", "outgoing", "incoming", "answer"):
        assert len(parts[name].data) == LARGEST
        assert parts[name].about["cut"] is True
        assert parts[name].about["size"] > LARGEST
    assert parts["answer"].data == sent.body[:LARGEST]
    assert sum(parts["incoming"].about["lengths"]) == LARGEST


async def test_all_of_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is no room for is lost, said so, and given back to nobody twice."""
    monkeypatch.setattr("claude_code_proxy.ledger.writer.MOST_BYTES", 3000)
    made = reply("openai_chat", stream=True)
    async with capturing(tmp_path) as stage:
        for _ in range(5):
            assert (await stage.ask("openai_chat", [made.whole], {"stream": True})).status == 200
        lost = stage.ledger.told().lost
        await stage.written()
        rows = stage.rows()
        parts = [stage.parts(row.id) for row in rows]
    assert len(rows) == 5
    assert lost
    marked = [kept for some in parts for kept in some.values() if kept.about.get("cut")]
    assert marked
    assert all(kept.about["size"] > len(kept.data) for kept in marked)
    assert stage.ledger.reserve(3000), "all room was given back"


class Holding:
    """A ledger that counts what it holds."""

    def __init__(self) -> None:
        self.held = self.most = 0
        self.kept: list[str] = []

    def reserve(self, size: int) -> bool:
        self.held += size
        self.most = max(self.most, self.held)
        return True

    def release(self, size: int) -> None:
        self.held -= size

    def keep(self, id: str, part: str, began: float, data: Any, held: int) -> None:  # noqa: A002
        self.held -= held
        self.kept.append(part)


async def test_room_is_made_for_no_more_than_is_kept() -> None:
    holding, largest = Holding(), capture.LARGEST
    held = Capture(holding, "req", 0.0, ())
    held.requested(b"a" * (2 * largest), ())
    for attempt in range(8):
        held.asks({}, {}, {"authorization": "Bearer abcdefghijkl"}, b"b" * (2 * largest))
        held.answered(500 if attempt < 7 else 200, {})
        for _ in range(100):
            held.took(b"c" * 100_000)
    held.begun()
    assert holding.held <= 1.1 * largest
    held.ended(200)
    assert holding.held == 0
    assert holding.most <= 3.1 * largest
    failed = [f"failed-{number}" for number in range(1, 6)]
    assert sorted(holding.kept) == sorted([*failed, "request", "asked", "outgoing", "incoming", "answer"])


async def test_a_locked_ledger_is_waited_for_by_nobody(tmp_path: Path) -> None:
    made = reply("openai_chat", stream=True)
    async with capturing(tmp_path) as stage:
        await stage.ask("openai_chat", [made.whole], {"stream": True})
        await asyncio.to_thread(until_written, stage)
        lock = sqlite3.connect(stage.place, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        answers = [await stage.ask("openai_chat", [made.whole], {"stream": True}) for _ in range(20)]
        assert [answer.status for answer in answers] == [200] * 20
        lock.execute("ROLLBACK")
        lock.close()
        await stage.written()
        rows = stage.rows()
        assert len(rows) == 21
        assert all("answer" in stage.parts(row.id) for row in rows)


async def test_a_ledger_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    made = reply("openai_chat", stream=True)
    async with capturing(tmp_path) as stage:
        stage.place.parent.joinpath("nothing").mkdir()
        broken = Ledger(str(tmp_path / "nothing"), interval=0.01)
        other = Stage(stage.upstream, stage.settings, broken, stage.pool, tmp_path / "nothing")
        broken.start()
        answers = [await other.ask("openai_chat", [made.whole], {"stream": True}) for _ in range(5)]
        assert [answer.status for answer in answers] == [200] * 5
        await asyncio.to_thread(broken.close)
        assert broken.told().failing


async def test_an_answer_in_drops(tmp_path: Path) -> None:
    """A piece for each byte that comes by itself; they are kept as they came."""
    made = reply("openai_chat", stream=True, text="Hi")
    async with capturing(tmp_path) as stage:
        framed = b"".join(chunks(cut(made.body, 100)))
        script: list[Op] = [chunked_head(SSE), Drip(framed, 40), b"0\r\n\r\n", KEEP]
        assert (await stage.ask("openai_chat", [script], {"stream": True})).status == 200
        await stage.written()
        kept = stage.latest()["incoming"]
    assert kept.data == made.body
    assert b"".join(kept.pieces) == made.body


def test_what_was_said_is_gone_when_its_days_are_over(tmp_path: Path) -> None:
    """Also from the pages of the file that are free again."""
    place, word, now = tmp_path / "ledger.db", canary("said long ago").encode(), [0.0]
    for day in (0, 10):
        now[0] = day * 86_400.0
        ledger = Ledger(str(place), capture_days=3, interval=0.01, clock=lambda: now[0])
        if not day:
            ledger.keep("req_1", "request", now[0], word * 1000)
        ledger.start()
        ledger.close()
        assert (word in b"".join(file.read_bytes() for file in tmp_path.glob("ledger.db*"))) is not bool(day)


@pytest.mark.parametrize("on", [True, False])
async def test_it_follows_the_settings(on: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """As the application does when they change: endpoints are made anew, the ledger stays."""
    said = {True: "true", False: "false"}
    async with capturing(tmp_path, PROXY_CAPTURE=said[not on]) as stage:
        made = reply("openai_chat", stream=False)
        await stage.ask("openai_chat", [made.whole])
        other = Stage(stage.upstream, replace(stage.settings, proxy_capture=on), stage.ledger, stage.pool, stage.place)
        await other.ask("openai_chat", [made.whole])
        await stage.written()
        later, earlier = stage.rows()
        assert (bool(stage.parts(earlier.id)), bool(stage.parts(later.id))) == (not on, on)
