from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from asgi import Exchange
from claude_code_proxy.http.asgi import ClientGone
from claude_code_proxy.http.stream import PING, EventStream, while_connected
from claude_code_proxy.wire.failure import error, failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from asgi import Message

NEVER = 3600.0
SOON = 0.001


class Reply:
    """Chunks that come when they are told to, and what became of the generator that gave them."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.begun = asyncio.Event()
        self.closed = False

    def say(self, *chunks: bytes | Exception | None) -> None:
        for chunk in chunks:
            self.coming.put_nowait(chunk)

    async def chunks(self) -> AsyncGenerator[bytes]:
        self.begun.set()
        try:
            while (chunk := await self.coming.get()) is not None:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            await asyncio.sleep(0)  # closing a connection may take a moment
            self.closed = True


class Line:
    """An event stream between a reply and a client."""

    def __init__(self, *, ping_after: float = NEVER, commit_after: float = NEVER) -> None:
        self.reply, self.client = Reply(), Exchange()
        self.headers: list[tuple[bytes, bytes]] = []
        self.stream = EventStream(
            self.reply.chunks(), "req_1", self.headers, ping_after=ping_after, commit_after=commit_after
        )
        self.task = asyncio.ensure_future(self.stream(self.client.receive, self.client.send))

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, 20)

    async def gone(self) -> None:
        with pytest.raises(ClientGone):
            await self.ended()
        assert self.reply.closed


@pytest.fixture(autouse=True)
async def _nothing_is_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # a cancelled task ends in the next round
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


async def test_chunks_are_sent_as_they_come() -> None:
    line = Line()
    line.headers.append((b"x-upstream", b"u"))
    line.reply.say(b"a")
    await line.client.until(lambda client: client.body == b"a")
    line.reply.say(b"b", None)
    await line.ended()
    assert line.client.body == b"ab"
    assert line.client.whole
    assert line.client.status == line.stream.status == 200
    assert line.client.headers == {
        "request-id": "req_1",
        "x-upstream": "u",
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
    }
    assert line.reply.closed
    assert line.stream.failed is None


async def test_headers_that_are_known_with_the_first_chunk_are_sent() -> None:
    line = Line()
    await line.reply.begun.wait()
    line.headers.append((b"request-id", b"req_up"))
    line.reply.say(b"a", None)
    await line.ended()
    assert line.client.headers["request-id"] == "req_up"


async def test_nothing_is_sent_before_the_first_chunk() -> None:
    line = Line()
    await line.reply.begun.wait()
    assert line.client.sent == []
    line.reply.say(None)
    await line.ended()
    assert (line.client.status, line.client.body) == (200, b"")
    assert line.client.whole


PHASES: list[tuple[str, list[bytes]]] = [("before the first chunk", []), ("in the middle", [b"a", b"b"])]


@pytest.mark.parametrize("said", [row[1] for row in PHASES], ids=[row[0] for row in PHASES])
@pytest.mark.parametrize("pings", [True, False])
@pytest.mark.fault("C-05")
async def test_when_the_client_goes_the_reply_is_closed_at_once(said: list[bytes], pings: bool) -> None:  # noqa: FBT001
    line = Line(ping_after=SOON if pings else NEVER)
    line.reply.say(*said)
    await line.reply.begun.wait()
    await line.client.until(lambda client: client.body.startswith(b"".join(said)) if said else True)
    line.client.disconnect()
    await line.gone()
    assert not line.client.whole


async def test_when_the_client_goes_in_a_silence_the_reply_is_closed_at_once() -> None:
    line = Line(ping_after=SOON, commit_after=SOON)
    await line.client.until(lambda client: client.body.count(PING) > 2)
    line.client.disconnect()
    await line.gone()
    assert not line.client.whole


async def test_a_client_that_went_before_it_was_asked_gets_nothing() -> None:
    line = Line()
    line.client.disconnect()
    with pytest.raises(ClientGone):
        await line.ended()
    assert line.client.sent == []


@pytest.mark.parametrize("said", [[], [b"a"]])
async def test_a_client_that_takes_nothing_any_more_is_gone_and_no_mistake(
    said: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()
    line.reply.say(*said)
    await line.client.until(lambda client: client.body == b"".join(said))
    line.client.gone = True
    line.reply.say(b"b")
    await line.gone()
    assert caplog.records == []


async def test_a_ping_that_is_not_taken_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    line = Line(ping_after=SOON)
    line.reply.say(b"a")
    await line.client.until(lambda client: client.body == b"a")
    line.client.gone = True
    await asyncio.sleep(10 * SOON)
    line.client.disconnect()
    await line.gone()
    assert caplog.records == []


@pytest.mark.fault("U-09")
async def test_a_quiet_line_gets_pings() -> None:
    line = Line(ping_after=SOON)
    line.reply.say(b"a")
    await line.client.until(lambda client: client.body.count(PING) >= 3)
    line.reply.say(b"b", None)
    await line.ended()
    assert line.client.body.replace(PING, b"") == b"ab"
    assert line.client.whole


async def test_before_it_began_a_line_gets_no_pings_until_it_is_time_to_commit() -> None:
    line = Line(ping_after=SOON, commit_after=NEVER)
    await asyncio.sleep(10 * SOON)
    assert line.client.sent == []
    line.reply.say(None)
    await line.ended()


async def test_after_a_time_the_answer_is_begun_with_a_ping() -> None:
    line = Line(ping_after=SOON, commit_after=3 * SOON)
    line.headers.append((b"x-upstream", b"u"))
    await line.client.until(lambda client: len(client.sent) >= 2)
    assert line.client.status == 200
    assert line.client.body.startswith(PING)
    line.reply.say(b"a", None)
    await line.ended()
    assert line.client.body.replace(PING, b"") == b"a"
    assert line.client.whole


async def test_nothing_is_sent_after_the_end() -> None:
    line = Line(ping_after=SOON)
    line.reply.say(b"a", None)
    await line.ended()
    before = list(line.client.sent)
    await asyncio.sleep(10 * SOON)
    assert line.client.sent == before
    assert line.client.whole


FAILURE = error("rate_limit_error", "slow down")
OURS = RuntimeError("a secret of ours")


async def test_a_failure_before_the_first_chunk_is_an_http_error() -> None:
    line = Line()
    line.headers.append((b"retry-after", b"7"))
    line.reply.say(FAILURE)
    await line.ended()
    assert (line.client.status, line.stream.status, line.stream.failed) == (429, 429, FAILURE.failed)
    assert line.client.headers["retry-after"] == "7"
    assert line.client.headers["request-id"] == "req_1"
    assert line.client.headers["content-type"] == "application/json"
    assert int(line.client.headers["content-length"]) == len(line.client.body)
    assert json.loads(line.client.body) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "req_1",
    }
    assert line.client.whole


@pytest.mark.parametrize("committed", [True, False])
async def test_a_failure_later_is_an_event(committed: bool) -> None:  # noqa: FBT001
    line = Line(ping_after=SOON, commit_after=SOON) if committed else Line()
    if not committed:
        line.reply.say(b"a")
    await line.client.until(lambda client: client.body)
    line.reply.say(FAILURE)
    await line.ended()
    _, last = line.client.body.rsplit(b"event: error\ndata: ", 1)
    assert json.loads(last)["error"] == {"type": "rate_limit_error", "message": "slow down"}
    assert line.client.whole
    assert line.stream.failed == FAILURE.failed
    assert line.stream.status == 200


@pytest.mark.parametrize("said", [[], [b"a"]])
async def test_a_mistake_of_ours_is_told_without_details_and_logged(
    said: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    line = Line()
    line.reply.say(*said, OURS)
    await line.ended()
    assert line.client.status == (200 if said else 500)
    assert b"api_error" in line.client.body
    assert b"secret" not in line.client.body
    assert line.client.whole
    assert line.stream.failed
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "req_1" in record.getMessage()
    assert "_pump" in caplog.text
    assert "secret" not in caplog.text


async def test_a_failure_with_headers_and_a_body_of_its_own_goes_out_so() -> None:
    line = Line()
    told = failed("authentication_error", "no", final=True)
    line.reply.say(type(FAILURE)(told))
    await line.ended()
    assert line.client.headers["x-should-retry"] == "false"


async def test_a_ping_that_is_not_taken_is_one_and_ends_with_the_stream() -> None:
    reply, pings, pinged = Reply(), list[str](), asyncio.Event()

    async def send(message: Message) -> None:
        if message.get("body") == PING:
            pings.append("begun")
            pinged.set()
            try:
                await asyncio.sleep(NEVER)
            finally:
                pings.append("ended")

    stream = EventStream(reply.chunks(), "req_1", [], ping_after=SOON, commit_after=NEVER)
    task = asyncio.ensure_future(stream(Exchange().receive, send))
    reply.say(b"a")
    await asyncio.wait_for(pinged.wait(), 20)
    await asyncio.sleep(20 * SOON)
    reply.say(None)
    await asyncio.wait_for(task, 20)
    await asyncio.sleep(0)
    assert pings == ["begun", "ended"]


# -- while_connected


async def _returns() -> None:
    await asyncio.sleep(0)


async def test_work_that_ends_is_the_end() -> None:
    client = Exchange()
    await while_connected(client.receive, _returns())
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0


async def test_when_the_client_goes_work_has_ended_before_it_is_told() -> None:
    client, ended = Exchange(), list[str]()

    async def work() -> None:
        try:
            client.disconnect()
            await asyncio.sleep(NEVER)
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    with pytest.raises(ClientGone):
        await while_connected(client.receive, work())
    assert ended == ["work"]
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0


async def test_who_cancels_the_task_itself_is_obeyed() -> None:
    task = asyncio.ensure_future(while_connected(Exchange().receive, asyncio.sleep(NEVER)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("raised", "seen"), [(ValueError("x"), ValueError), (OSError("x"), ClientGone), (FAILURE, type(FAILURE))]
)
async def test_what_work_raises_is_raised(raised: Exception, seen: type[Exception]) -> None:
    async def work() -> None:
        raise raised

    with pytest.raises(seen):
        await while_connected(Exchange().receive, work())


async def test_other_messages_of_the_client_mean_nothing() -> None:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}] * 3
    finished = asyncio.Event()
    receive: Callable[[], Any] = _script(messages, finished)
    await asyncio.wait_for(while_connected(receive, _after(finished)), 20)
    assert messages == []


def _script(messages: list[dict[str, Any]], finished: asyncio.Event) -> Callable[[], Any]:
    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        finished.set()
        await asyncio.sleep(NEVER)
        raise AssertionError

    return receive


async def _after(event: asyncio.Event) -> None:
    await event.wait()


async def test_chunks_that_wait_for_nothing_hide_no_client_that_leaves() -> None:
    """A server whose client has gone takes everything at once, and the upstream may be as quick."""
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x"

    async def send(_: Message) -> None:
        if sent == 1000:
            client.disconnect()

    client = Exchange()
    stream = EventStream(endless(), "req_1", [], ping_after=NEVER, commit_after=NEVER)
    with pytest.raises(ClientGone):
        await stream(client.receive, send)
    assert sent < 2000


STOPPED = [("before the first chunk", []), ("in the middle", [b"a", b"b"])]


@pytest.mark.parametrize("said", [row[1] for row in STOPPED], ids=[row[0] for row in STOPPED])
async def test_a_server_that_stops_tells_the_client(said: list[bytes]) -> None:
    line = Line()
    line.reply.say(*said)
    await line.reply.begun.wait()
    await line.client.until(lambda client: client.body == b"".join(said))
    line.task.cancel()
    await line.ended()
    assert line.reply.closed
    assert line.client.whole
    assert line.stream.failed is not None
    assert line.stream.failed.type == "overloaded_error"
    if said:
        assert line.client.body.startswith(b"abevent: error\n")
    else:
        assert line.client.status == 503
        assert line.client.headers["x-should-retry"] == "true"
