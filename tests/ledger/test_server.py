"""A real server keeps a ledger: what is in it is what happened, whatever happens to the ledger or to the server."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from claude_code_proxy.ledger.reading import Chosen, read
from e2e.proxy import serving
from edge.line import HELLO, PATH, line, provider, request
from upstreams import Call, Chat, FakeChat, Http, Raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from claude_code_proxy.ledger.entry import Entry
    from e2e.proxy import Proxy
    from upstreams import Recorded

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONGEST = 30.0
SESSION = "5f2b1f8e-0000-4000-8000-000000000001"
HEADERS = {"x-claude-code-session-id": SESSION, "user-agent": "claude-cli/2.1.330 (external, cli)"}


@pytest_asyncio.fixture(loop_scope="session")
async def chat() -> AsyncIterator[FakeChat]:
    async with FakeChat([Chat("Hello there")]) as fake:
        yield fake


class Kept:
    """A server and its ledger."""

    def __init__(self, place: str, home: Path, chat: FakeChat) -> None:
        self.place, self._home, self._chat = place, home, chat
        self._stack = AsyncExitStack()
        self.proxy: Proxy

    async def start(self, *options: str, **env: str) -> None:
        """Start the server, again after it has ended."""
        env = {**provider(self._chat), "PROXY_LEDGER": self.place, "DRAIN_TIMEOUT": "3", **env}
        self.proxy = await self._stack.enter_async_context(serving(self._home, *options, **env))

    async def stop(self) -> None:
        """End it, if it has not ended."""
        await self._stack.aclose()

    async def rows(self, wanted: Callable[[list[Entry]], bool] = bool, **chosen: Any) -> list[Entry]:
        """The rows, the oldest first, once they are as wanted."""
        async with asyncio.timeout(LONGEST):
            while True:
                found = await asyncio.to_thread(self._rows, chosen)
                if wanted(found):
                    return found
                await asyncio.sleep(0.05)  # another process writes, and tells nobody

    def _rows(self, chosen: dict[str, Any]) -> list[Entry]:
        with read(self.place) as reader:
            return reader.page(Chosen(**{"endpoint": ""} | chosen), most=5000)[::-1]


@pytest_asyncio.fixture(loop_scope="session")
async def kept(place: str, tmp_path: Path, chat: FakeChat) -> AsyncIterator[Kept]:
    """A ledger in either kind of database."""
    server = Kept(place, tmp_path, chat)
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def in_file(tmp_path: Path, chat: FakeChat) -> AsyncIterator[Kept]:
    server = Kept(str(tmp_path / "state" / "ledger.db"), tmp_path, chat)
    yield server
    await server.stop()


async def ask(url: str, body: dict[str, Any] | None = None, *, path: str = PATH, stream: bool = True) -> int:
    """The status of an answer that was read to its end."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + path, json=(body or HELLO) | {"stream": stream}, headers=HEADERS) as response,
    ):
        await response.read()
        return response.status


def count(number: int) -> Callable[[list[Entry]], bool]:
    """That there are so many rows, and none of them runs."""
    return lambda rows: len(rows) == number and all(row.state != "running" for row in rows)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_row_tells_what_happened(kept: Kept, stream: bool) -> None:  # noqa: FBT001 -- a column of the table
    await kept.start()
    system = 'You are Claude Code.\n - Primary working directory: /home/me/a \\ "b" é\n - Is a git repository: true'
    assert await ask(kept.proxy.url, HELLO | {"system": system}, stream=stream) == 200
    (row,) = await kept.rows(count(1))
    assert row.id.startswith("req_")
    told = {
        "endpoint": "messages",
        "client": "claude-cli/2.1.330 (external, cli)",
        "session": SESSION,
        "project": '/home/me/a \\ "b" é',
        "client_model": "m",
        "rule": "the URL",
        "provider": "openai",
        "model": "gpt-4.1",
        "stream": int(stream),
        "attempts": 1,
        "tried": "openai:gpt-4.1: ok",
        "state": "ok",
        "status": 200,
        "error": "",
        "stop": "end_turn",
        "input": 100,
        "output": 34,
        "cache_read": 20,
        "thinking": 7,
    }
    assert {name: getattr(row, name) for name in told} == told
    assert row.first is not None
    assert row.seconds is not None
    assert 0 < row.first <= row.seconds < LONGEST
    assert row.received > 100
    assert row.sent > 100


def _refusal(status: int) -> Http:
    return Http(status, {"error": {"message": "no", "type": "x"}})


ENDS: list[tuple[str, Any, int, dict[str, Any]]] = [
    ("ok", Chat("Hello"), 200, {"state": "ok", "error": ""}),
    ("a tool", Chat(tool_calls=[Call("Read", "{}")]), 200, {"state": "ok", "stop": "tool_use"}),
    ("limited", _refusal(429), 429, {"state": "upstream_error", "error": "rate_limit_error", "attempts": 1}),
    ("no key", _refusal(401), 401, {"state": "upstream_error", "error": "authentication_error"}),
    ("broken", _refusal(500), 500, {"state": "upstream_error", "error": "api_error"}),
    (
        "cut",
        Raw([("raw", b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n')]),
        200,
        {"state": "upstream_error"},
    ),
    ("slow", Raw([("silence",)]), 504, {"state": "timeout", "error": "timeout_error"}),
]


@pytest.mark.parametrize(("reply", "status", "told"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
async def test_every_end_has_its_state(
    in_file: Kept, chat: FakeChat, reply: Any, status: int, told: dict[str, Any]
) -> None:
    chat.use(reply)
    await in_file.start(LOCAL_FIRST_BYTE_TIMEOUT="0.5")
    body = HELLO | {"tools": [{"name": "Read", "input_schema": {"type": "object"}}]}
    assert await ask(in_file.proxy.url, body) == status
    (row,) = await in_file.rows(count(1))
    assert {name: getattr(row, name) for name in told} == told
    assert row.status == status


async def test_what_no_upstream_was_asked_for_has_a_row_too(in_file: Kept) -> None:
    await in_file.start()
    assert await ask(in_file.proxy.url, path="/nobody:m/v1/messages") == 400
    async with aiohttp.ClientSession() as session, session.get(in_file.proxy.url + "/v1/models") as response:
        assert response.status == 200
    assert await ask(in_file.proxy.url, path="/openai:gpt-4.1/v1/messages/count_tokens") == 200
    rows = await in_file.rows(count(3))
    assert [(row.endpoint, row.state) for row in rows] == [
        ("messages", "refused"),
        ("models", "ok"),
        ("count_tokens", "ok"),
    ]


async def test_a_request_that_runs_has_a_row_and_one_whose_client_left_says_so(in_file: Kept, chat: FakeChat) -> None:
    await in_file.start()
    chat.use(by=chat.cut(Chat("Hello there"), 2, ("silence",)))
    async with line(in_file.proxy.url, request()) as leaving:
        (row,) = await in_file.rows(state="running")
        assert (row.provider, row.model, row.seconds) == ("openai", "gpt-4.1", None)
        leaving.writer.close()
    (row,) = await in_file.rows(count(1))
    assert (row.state, row.status, row.id) == ("client_closed", 499, row.id)
    assert row.sent > 0


@pytest.mark.fault("R-04")
async def test_what_a_killed_server_had_written_is_there_and_what_ran_is_marked(kept: Kept, chat: FakeChat) -> None:
    await kept.start()
    for _ in range(5):
        assert await ask(kept.proxy.url) == 200
    known = await kept.rows(count(5))
    chat.use(by=chat.cut(Chat("Hello there"), 2, ("silence",)))
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(line(kept.proxy.url, request()))
        await kept.rows(lambda rows: len(rows) == 25)
        kept.proxy.process.kill()
        await kept.proxy.process.wait()
    await kept.stop()
    chat.use(Chat("Hello again"))
    await kept.start()
    assert await ask(kept.proxy.url) == 200
    rows = await kept.rows(count(26))
    assert [row.state for row in rows].count("aborted") == 20
    assert [row for row in rows if row.id in {one.id for one in known}] == known
    if not kept.place.startswith("postgresql"):
        with closing(sqlite3.connect(kept.place)) as found:
            assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.fault("R-09")
async def test_a_server_that_is_stopped_leaves_no_request_without_its_end(in_file: Kept, chat: FakeChat) -> None:
    await in_file.start(DRAIN_TIMEOUT="0.3")
    chat.use(by=chat.cut(Chat("Hello there"), 2, ("silence",)))
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(line(in_file.proxy.url, request()))
        await in_file.rows(lambda rows: len(rows) == 20)
        await in_file.stop()
    rows = await in_file.rows(lambda rows: len(rows) == 20)
    assert not [row for row in rows if row.state in {"running", "aborted"}]


@pytest.mark.fault("R-01")
async def test_when_the_disk_is_full_requests_go_on_and_rows_come_later(
    in_file: Kept, record_property: Callable[[str, object], None]
) -> None:
    await in_file.start()
    assert await ask(in_file.proxy.url) == 200
    await in_file.rows(count(1))
    process = in_file.proxy.process.pid
    allowed = resource.prlimit(process, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    for _ in range(60):
        assert await ask(in_file.proxy.url) == 200
    await in_file.proxy.log.until("The ledger cannot be written")
    async with aiohttp.ClientSession() as session:
        async with session.get(in_file.proxy.url + "/status") as response:
            told = (await response.json())["ledger"]
        async with session.get(in_file.proxy.url + "/readyz") as response:
            assert (response.status, (await response.json())["degraded"]) == (200, ["ledger"])
    assert told["failing"]
    assert told["lost"] == 0
    resource.prlimit(process, resource.RLIMIT_FSIZE, allowed)
    rows = await in_file.rows(count(61))
    record_property("figure", f"{told['waiting']} rows waited, {61 - len(rows)} lost")
    assert {row.state for row in rows} == {"ok"}


class Bill:
    """A provider that fails at times, and writes down what it asks money for."""

    def __init__(self) -> None:
        self.chance = random.Random(11)
        self.input = self.output = self.cached = self.answers = 0

    def __call__(self, rec: Recorded) -> Any:
        roll = self.chance.random()
        if roll < 0.1:
            return _refusal(self.chance.choice([400, 401, 429, 500, 503]))
        prompt, said = self.chance.randint(100, 200_000), self.chance.randint(1, 3000)
        cached = self.chance.randint(0, prompt)
        if "leave" in rec.json["messages"][0]["content"]:
            return Raw([("raw", b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'), ("silence",)])
        self.input += prompt - cached
        self.output += said
        self.cached += cached
        self.answers += 1
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + said,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        return Chat("Hello there", usage=usage)


async def test_the_sums_are_what_the_provider_bills(
    kept: Kept, chat: FakeChat, record_property: Callable[[str, object], None]
) -> None:
    bill, every = Bill(), 2000
    chat.use(by=bill)
    await kept.start(MAX_STREAMS="64", MAX_QUEUE="1000", QUEUE_TIMEOUT="30")
    turns = asyncio.Semaphore(32)

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        async with turns:
            leaves = not number % 20
            content = "leave" if leaves else "Hello"
            body = HELLO | {"stream": leaves or bool(number % 3), "messages": [{"role": "user", "content": content}]}
            async with session.post(kept.proxy.url + PATH, json=body, headers=HEADERS) as response:
                if leaves and response.status == 200:
                    await response.content.readany()
                else:
                    await response.read()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(one(session, number) for number in range(every)))
    rows = await kept.rows(count(every))
    with read(kept.place) as reader:
        total = reader.total(Chosen())
    assert (total.input, total.output, total.cache_read) == (bill.input, bill.output, bill.cached)
    assert [row.state for row in rows].count("ok") == bill.answers
    assert {row.state for row in rows} == {"ok", "client_closed", "upstream_error"}
    record_property("figure", f"{every} requests, {bill.answers} billed, no difference")
