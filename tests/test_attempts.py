"""Targets, keys and retries, without a network: what is asked, in which order, and what is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from claude_code_proxy.attempts import Attempt, Wish, first_reply
from claude_code_proxy.breaker import FAILURES
from claude_code_proxy.health import Health
from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import Target
from claude_code_proxy.wire.failure import ApiError, Failed, failed

if TYPE_CHECKING:
    from collections.abc import Sequence

PROVIDERS = load_providers({"OPENAI_API_KEY": "canary-one, canary-two,canary-three", "OPENROUTER_API_KEY": "canary-k"})
MANY = Target(PROVIDERS["openai"], "m", "")
ONE = Target(PROVIDERS["openrouter"], "m", "")
NEAR = Target(PROVIDERS["ollama"], "m", "")

BROKEN = replace(failed("api_error", "broken", status=502), unanswered=True)

Outcome = str | int | Failed


class Upstreams:
    """Answers in turn what it was told to; a number is a failure of this status."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, int]] = []
        self.paused: list[float] = []
        self.now = 0.0
        self.health = Health(lambda: self.now)

    async def ask(self, attempt: Attempt) -> str:
        self.asked.append((attempt.target.provider.name, attempt.key.number))
        outcome = self.outcomes.pop(0)
        attempt.sent = outcome != "not sent"
        if outcome == "not sent":
            raise ApiError(failed("api_error", "no token", status=502))
        if isinstance(outcome, int):
            raise ApiError(Failed("api_error", "no", outcome))
        if isinstance(outcome, Failed):
            raise ApiError(outcome)
        return outcome

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.now += seconds

    def wish(self, *targets: Target, patience: float = 100.0, repeated: bool = False, session: str = "") -> Wish:
        return Wish(
            targets,
            lambda _: patience,
            repeated=repeated,
            session=session,
            retries=2,
            chance=lambda _, most: most,
            pause=self.pause,
        )

    async def served(self, *targets: Target, **how: object) -> str | int:
        """The reply, or the status of the failure."""
        try:
            return await first_reply(self.wish(*targets, **how), self.health, self.ask)  # type: ignore[arg-type]
        except ApiError as cause:
            return cause.failed.status


def limited(seconds: int | str, status: int = 429) -> Failed:
    return Failed("rate_limit_error", "wait", status, ((b"retry-after", str(seconds).encode()),))


ALONE: list[tuple[Sequence[Outcome], str | int, list[float]]] = [
    (["hi"], "hi", []),
    ([502, "hi"], "hi", [2.0]),
    ([502, 529, "hi"], "hi", [2.0, 8.0]),
    ([502, 529, 503, "hi"], 503, [2.0, 8.0]),
    ([408, "hi"], "hi", [2.0]),
    ([limited(7), "hi"], "hi", [7.5]),
    ([limited(30, 529), "hi"], "hi", [30.5]),
    ([limited(31), "hi"], 429, []),
    ([limited("soon"), "hi"], "hi", [2.0]),
    ([limited("9" * 400), "hi"], "hi", [2.0]),
    *[([status, "hi"], status, []) for status in (400, 401, 402, 403, 404, 409, 413, 422, 501)],
    ([replace(failed("api_error", "x", status=502), lasting=True), "hi"], 502, []),
    ([failed("api_error", "x", final=True), "hi"], 500, []),
    (["not sent", "hi"], 502, []),
]


@pytest.mark.parametrize(("outcomes", "expected", "pauses"), ALONE)
async def test_one_target_alone(outcomes: Sequence[Outcome], expected: str | int, pauses: list[float]) -> None:
    upstreams = Upstreams(*outcomes)
    assert await upstreams.served(ONE) == expected
    assert upstreams.paused == pauses
    assert len(upstreams.asked) == len(pauses) + 1


@pytest.mark.parametrize(
    ("outcomes", "asked"), [([502, "hi"], 1), ([429, "hi"], 1), ([BROKEN, "hi"], 2), ([BROKEN, BROKEN, "hi"], 2)]
)
async def test_unless_told_otherwise_only_a_broken_connection_is_tried_once_more(
    outcomes: list[Outcome], asked: int
) -> None:
    upstreams = Upstreams(*outcomes)
    with contextlib.suppress(ApiError):
        await first_reply(replace(upstreams.wish(ONE), retries=None), upstreams.health, upstreams.ask)
    assert len(upstreams.asked) == asked


async def test_no_pause_goes_beyond_the_time_limit() -> None:
    upstreams = Upstreams(502, "hi")
    assert (await upstreams.served(ONE, patience=1.9), upstreams.paused) == (502, [])


async def test_the_next_target_comes_before_another_try() -> None:
    upstreams = Upstreams(502, 502, "hi")
    assert await upstreams.served(ONE, NEAR) == "hi"
    assert (upstreams.asked, upstreams.paused) == ([("openrouter", 1), ("ollama", 0), ("ollama", 0)], [2.0])


async def test_who_repeats_himself_gets_no_retries_behind_a_fallback() -> None:
    upstreams = Upstreams(502, 503)
    assert await upstreams.served(ONE, NEAR, repeated=True) == 502
    assert upstreams.paused == []
    alone = Upstreams(502, "hi")
    assert await alone.served(ONE, repeated=True) == "hi"


ROTATED: list[tuple[list[Outcome], str | int, list[int], list[float]]] = [
    ([429, "hi"], "hi", [1, 2], []),
    ([401, 402, "hi"], "hi", [1, 2, 3], []),
    ([401, 401, 401], 401, [1, 2, 3], []),
    ([limited(20), limited(9), limited(60), "hi"], "hi", [1, 2, 3, 2], [9.5]),
    ([limited(40), limited(50), limited(60)], 429, [1, 2, 3], []),
    ([limited(0), "hi"], "hi", [1, 2], []),
    ([limited(0), limited(0), limited(0), "hi"], "hi", [1, 2, 3, 1], [1.5]),
    ([403, "hi"], 403, [1], []),
]


@pytest.mark.parametrize(("outcomes", "expected", "keys", "pauses"), ROTATED)
@pytest.mark.fault("U-26")
async def test_keys_take_their_turn(
    outcomes: list[Outcome], expected: str | int, keys: list[int], pauses: list[float]
) -> None:
    upstreams = Upstreams(*outcomes)
    assert await upstreams.served(MANY) == expected
    assert ([number for _, number in upstreams.asked], upstreams.paused) == (keys, pauses)


@pytest.mark.fault("U-26")
async def test_when_every_key_is_limited_the_shortest_wait_is_told() -> None:
    upstreams = Upstreams(limited(50), limited(40), limited(60))
    with pytest.raises(ApiError) as raised:
        await first_reply(upstreams.wish(MANY), upstreams.health, upstreams.ask)
    assert dict(raised.value.failed.headers)[b"retry-after"] == b"40"


async def test_a_key_that_rests_is_not_asked_first_and_a_session_returns_to_its_own() -> None:
    upstreams = Upstreams(limited(20), "a", "b", "c")
    assert [await upstreams.served(MANY) for _ in range(2)] == ["a", "b"]
    upstreams.now += 21
    assert await upstreams.served(MANY) == "c"
    assert [number for _, number in upstreams.asked] == [1, 2, 2, 1]


async def test_a_target_that_is_down_is_asked_after_the_others_and_alone_in_any_case() -> None:
    upstreams = Upstreams(*[502] * FAILURES, "near", "far", "near again")
    for _ in range(FAILURES):
        upstreams.now += 11  # the budget of retries is not what is tested
        with pytest.raises(ApiError):
            await first_reply(replace(upstreams.wish(ONE), retries=0), upstreams.health, upstreams.ask)
    assert await upstreams.served(ONE, NEAR) == "near"
    assert await upstreams.served(ONE) == "far"  # there is no other, and it works again
    assert upstreams.health.told()["targets"] == {}


async def test_a_target_that_is_down_is_asked_when_the_others_fail_too() -> None:
    upstreams = Upstreams(*[502] * FAILURES, 404, "it works again")
    for _ in range(FAILURES):
        with pytest.raises(ApiError):
            await first_reply(replace(upstreams.wish(ONE), retries=0), upstreams.health, upstreams.ask)
    assert await upstreams.served(ONE, NEAR) == "it works again"


async def test_a_target_that_is_down_is_not_asked_twice() -> None:
    upstreams = Upstreams(*[502] * (FAILURES + 1), "hi")
    for _ in range(FAILURES + 1):
        wish = upstreams.wish(ONE) if len(upstreams.asked) == FAILURES else replace(upstreams.wish(ONE), retries=0)
        with pytest.raises(ApiError):
            await first_reply(wish, upstreams.health, upstreams.ask)
    assert upstreams.paused == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429])
async def test_what_is_no_outage_never_sets_a_target_back_as_down(status: int) -> None:
    upstreams = Upstreams(*[limited(60) if status == 429 else status] * 10)
    for _ in range(10):
        await upstreams.served(ONE)
    assert upstreams.health.told()["targets"] == {}


@pytest.mark.fault("L-07")
async def test_retries_are_few_however_many_fail() -> None:
    upstreams = Upstreams(*[502] * 60)
    for n in range(20):
        upstreams.now = 0.0  # all of it within one second
        assert await upstreams.served(Target(ONE.provider, f"m{n}", "")) == 502
    assert len(upstreams.asked) == 20 + 4


async def test_a_client_that_leaves_lets_go_of_the_probe() -> None:
    upstreams = Upstreams(*[502] * FAILURES)
    for _ in range(FAILURES):
        with pytest.raises(ApiError):
            await first_reply(replace(upstreams.wish(ONE), retries=0), upstreams.health, upstreams.ask)
    upstreams.now += 31
    began = asyncio.Event()

    async def silence(_: Attempt) -> str:
        began.set()
        await asyncio.Event().wait()
        return ""

    asking = asyncio.ensure_future(first_reply(upstreams.wish(ONE, NEAR), upstreams.health, silence))
    await began.wait()
    assert list(upstreams.health.in_order([ONE, NEAR])) == [NEAR, ONE]
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert list(upstreams.health.in_order([ONE, NEAR])) == [ONE, NEAR]


@pytest.mark.fault("S-09")
async def test_no_key_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    upstreams = Upstreams(limited(3), 401, limited(2), 502, "hi")
    wish = upstreams.wish(MANY)
    assert await first_reply(wish, upstreams.health, upstreams.ask) == "hi"
    assert wish.tried[:2] == ["openai:m with key 1 of 3: 429", "openai:m with key 2 of 3: 401"]
    seen = f"{caplog.text} {wish} {upstreams.health.told()} {upstreams.health.key(MANY, '')}"
    assert "key 2 of 3" in caplog.text
    assert "canary" not in seen.replace("api_key", "")
    resting = upstreams.health.told()["resting_keys"]
    assert {"provider": "openai", "model": "", "key": "key 2 of 3", "seconds": 289.5} in resting
    assert upstreams.health.told()["last_seconds"] == {"openai": {"requests": 0, "retries": 1}}
