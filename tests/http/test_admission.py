"""So much at once and no more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.http.admission import Admission
from claude_code_proxy.settings import Settings
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from claude_code_proxy.http.asgi import Message, Receive, Scope


def settings(streams: int = 2, queue: int = 2, wait: float = 30.0, memory: int = 1) -> Settings:
    return Settings(providers={}, max_streams=streams, max_queue=queue, queue_timeout=wait, body_memory_mib=memory)


class Guest:
    """One that asks for a turn, and keeps it until told."""

    def __init__(self, admission: Admission) -> None:
        self.inside, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.ensure_future(self._visit(admission))

    async def _visit(self, admission: Admission) -> None:
        async with admission.turn():
            self.inside.set()
            await self.leave.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def refused(guest: Guest) -> None:
    with pytest.raises(ApiError) as caught:
        await asyncio.wait_for(guest.task, 20)
    failed = caught.value.failed
    assert (failed.type, failed.status) == ("overloaded_error", 529)
    assert dict(failed.headers) == {b"retry-after": b"2", b"x-should-retry": b"true"}


async def test_turns_come_in_order_and_no_more_than_allowed() -> None:
    admission = Admission(settings())
    guests = [Guest(admission) for _ in range(5)]
    await settle()
    assert [guest.inside.is_set() for guest in guests] == [True, True, False, False, False]
    await refused(guests[4])
    guests[0].leave.set()
    await settle()
    assert [guest.inside.is_set() for guest in guests[:4]] == [True, True, True, False]
    for guest in guests[:4]:
        guest.leave.set()
    await asyncio.gather(*(guest.task for guest in guests[:4]))
    assert guests[3].inside.is_set()


async def test_one_that_waited_too_long_is_refused_and_leaves_no_trace() -> None:
    admission = Admission(settings(streams=1, wait=0.01))
    first, second = Guest(admission), Guest(admission)
    await refused(second)
    first.leave.set()
    await first.task
    third = Guest(admission)
    assert await asyncio.wait_for(third.inside.wait(), 20)
    third.leave.set()
    await third.task
    assert not second.inside.is_set()


@pytest.mark.parametrize("freed_before", [False, True])
async def test_one_that_leaves_while_it_waits_takes_no_turn(freed_before: bool) -> None:  # noqa: FBT001
    admission = Admission(settings(streams=1))
    first, second, third = (Guest(admission) for _ in range(3))
    await settle()
    if freed_before:
        first.leave.set()
        await asyncio.sleep(0)  # the turn is the second's now, which has not run since
    second.task.cancel()
    await settle()
    assert second.task.cancelled()
    first.leave.set()
    await asyncio.wait_for(third.inside.wait(), 20)
    third.leave.set()
    await asyncio.gather(first.task, third.task)
    assert not second.inside.is_set()


async def test_no_queue_at_all() -> None:
    admission = Admission(settings(streams=1, queue=0))
    first, second = Guest(admission), Guest(admission)
    await refused(second)
    assert first.inside.is_set()
    assert not second.inside.is_set()
    first.leave.set()
    await first.task


async def test_more_turns_at_once_when_the_settings_say_so() -> None:
    admission = Admission(settings(streams=1))
    first, second = Guest(admission), Guest(admission)
    await settle()
    assert not second.inside.is_set()
    admission.use(settings(streams=2))
    first.leave.set()
    await first.task
    third = Guest(admission)
    await settle()
    assert second.inside.is_set()
    assert third.inside.is_set()
    for guest in (second, third):
        guest.leave.set()
    await asyncio.gather(second.task, third.task)


def sent(size: int) -> tuple[Scope, Receive]:
    """A request with a body of this size."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * size}

    return {"type": "http", "headers": []}, receive


async def test_what_is_held_is_let_go() -> None:
    admission = Admission(settings(streams=9))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(admission.admitted(*sent(600_000)))
        async with admission.admitted(*sent(100_000)):
            with pytest.raises(ApiError) as caught:
                await stack.enter_async_context(admission.admitted(*sent(600_000)))
        assert caught.value.failed.status == 529
        await stack.enter_async_context(admission.admitted(*sent(400_000)))
        first.let_go()
        assert first.body == b""
        await stack.enter_async_context(admission.admitted(*sent(600_000)))
    async with admission.admitted(*sent(1 << 20)) as held:
        assert len(held.body) == 1 << 20


async def test_the_log_is_told_once_of_many(caplog: pytest.LogCaptureFixture) -> None:
    admission = Admission(settings(streams=1, queue=0))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admission.turn())
        for _ in range(5):
            with pytest.raises(ApiError):
                await stack.enter_async_context(admission.turn())
    assert len(caplog.records) == 1
