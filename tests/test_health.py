"""What health learns from one request is what it says before the next."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from claude_code_proxy.breaker import FAILURES, PAUSE
from claude_code_proxy.cooldown import LIMITED, REFUSED
from claude_code_proxy.health import Health, Key, numbered, waiting
from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import Target
from claude_code_proxy.wire.failure import ApiError, Failed, failed

PROVIDERS = load_providers(
    {
        "OPENAI_API_KEY": "canary-one,canary-two,canary-three",
        "GROQ_API_KEY": "canary-a,canary-b",
        "XAI_API_KEY": "canary-x",
    }
)
THREE = Target(PROVIDERS["openai"], "m", "")
TWO = Target(PROVIDERS["groq"], "m", "")
ONE = Target(PROVIDERS["xai"], "m", "")
NONE = Target(PROVIDERS["ollama"], "m", "")


class Past:
    """A history of requests, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.health = Health(lambda: self.now)

    def request(self, target: Target, outcome: BaseException | None = None, *, sent: bool = True, key: int = 1) -> None:
        keys = target.provider.api_keys or (target.provider.api_key,)
        used = Key(keys[key - 1], key) if keys[0] else Key()
        with contextlib.suppress(ApiError, asyncio.CancelledError), self.health.learning(target, used, lambda: sent):
            if outcome:
                raise outcome

    def fails(self, target: Target, status: int, *, key: int = 1) -> None:
        self.request(target, ApiError(Failed("api_error", "no", status)), key=key)

    def is_set_back(self, target: Target) -> bool:
        """Whether others are asked first."""
        other = NONE if target is not NONE else ONE
        return list(self.health.in_order([target, other])) == [other, target]

    def break_down(self, target: Target) -> None:
        for _ in range(FAILURES):
            self.fails(target, 503)


@pytest.fixture
def past() -> Past:
    return Past()


def test_a_target_that_fails_in_a_row_is_asked_after_the_others(past: Past) -> None:
    for _ in range(FAILURES - 1):
        past.fails(ONE, 503)
    assert not past.is_set_back(ONE)
    assert past.health.again(ONE)
    past.fails(ONE, 503)
    assert past.is_set_back(ONE)
    assert not past.health.again(ONE)
    assert list(past.health.in_order([ONE])) == [ONE]


@pytest.mark.parametrize("status", [400, 404, 413, 422, 429])
def test_a_refusal_is_a_sign_of_life(past: Past, status: int) -> None:
    for _ in range(FAILURES - 1):
        past.fails(NONE, 503)
    past.fails(NONE, status)
    past.fails(NONE, 503)
    assert not past.is_set_back(NONE)


def test_what_worked_ends_the_row(past: Past) -> None:
    for _ in range(FAILURES - 1):
        past.fails(ONE, 503)
    past.request(ONE)
    past.fails(ONE, 503)
    assert not past.is_set_back(ONE)


def test_what_was_not_sent_says_nothing(past: Past) -> None:
    for _ in range(FAILURES - 1):
        past.fails(ONE, 503)
    past.request(ONE, ApiError(failed("api_error", "no token", status=503)), sent=False)
    past.request(ONE, sent=False)
    assert not past.is_set_back(ONE)
    past.fails(ONE, 503)
    assert past.is_set_back(ONE)


LEFT = [
    pytest.param(ApiError(failed("api_error", "no token", status=500)), False, id="not sent"),
    pytest.param(asyncio.CancelledError(), True, id="the client left"),
    pytest.param(None, False, id="answered here"),
]


@pytest.mark.parametrize(("outcome", "sent"), LEFT)
def test_a_probe_that_told_nothing_lets_the_next_one_probe(
    past: Past,
    outcome: BaseException | None,
    sent: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    past.break_down(ONE)
    past.now += PAUSE + 1
    assert not past.is_set_back(ONE)
    past.request(ONE, outcome, sent=sent)
    assert not past.is_set_back(ONE)
    past.request(ONE)
    assert past.health.again(ONE)


def test_a_probe_that_failed_sets_the_target_back_again(past: Past) -> None:
    past.break_down(ONE)
    past.now += PAUSE + 1
    past.fails(ONE, 503)
    assert past.is_set_back(ONE)


def test_while_one_probes_the_others_are_asked_elsewhere(past: Past) -> None:
    past.break_down(ONE)
    past.now += PAUSE + 1
    with past.health.learning(ONE, Key("canary-x", 1), lambda: True):
        assert past.is_set_back(ONE)
    assert not past.is_set_back(ONE)


def test_keys_take_each_others_place(past: Past) -> None:
    first = past.health.key(THREE, "")
    assert first == Key("canary-one", 1)
    past.fails(THREE, 429, key=1)
    assert past.health.key(THREE, "") == Key("canary-two", 2)
    past.fails(THREE, 401, key=2)
    assert past.health.key(THREE, "") == Key("canary-three", 3)
    assert past.health.wait(THREE) == 0
    assert not past.is_set_back(THREE)
    past.fails(THREE, 429, key=3)
    assert past.health.wait(THREE) == LIMITED
    assert past.is_set_back(THREE)
    past.now += LIMITED
    assert past.health.wait(THREE) == 0
    assert past.health.key(THREE, "") == Key("canary-one", 1)


def test_two_keys_are_several(past: Past) -> None:
    past.fails(TWO, 429, key=1)
    assert past.health.key(TWO, "") == Key("canary-b", 2)
    assert [numbered(TWO.provider, past.health.key(TWO, "")), numbered(ONE.provider, Key("canary-x", 1))] == [
        "key 2 of 2",
        "",
    ]


def test_one_key_is_used_even_while_it_rests(past: Past) -> None:
    past.fails(ONE, 401)
    assert past.health.wait(ONE) == REFUSED
    assert past.is_set_back(ONE)
    assert past.health.key(ONE, "") == Key("canary-x", 1)


def test_where_there_is_no_key_none_rests(past: Past) -> None:
    past.fails(NONE, 401)
    past.fails(NONE, 429)
    assert past.health.wait(NONE) == 0
    assert past.health.key(NONE, "a session") == Key()
    assert past.health.told()["resting_keys"] == []


@pytest.mark.parametrize("status", [400, 404, 413, 500])
def test_what_is_no_fault_of_a_key_lets_it_work_on(past: Past, status: int) -> None:
    past.fails(THREE, status, key=1)
    assert past.health.key(THREE, "") == Key("canary-one", 1)


def test_a_key_that_works_rests_no_longer(past: Past) -> None:
    past.fails(THREE, 401, key=1)
    past.request(THREE, key=1)
    assert past.health.key(THREE, "") == Key("canary-one", 1)


def test_it_tells_which_keys_rest_but_not_what_they_are(past: Past) -> None:
    past.health.asked(THREE)
    past.fails(THREE, 429, key=2)
    past.fails(ONE, 401)
    told = past.health.told()
    assert told["resting_keys"] == [
        {"provider": "openai", "model": "m", "key": "key 2 of 3", "seconds": LIMITED},
        {"provider": "xai", "model": "", "key": "", "seconds": REFUSED},
    ]
    assert set(told["last_seconds"]) == {"openai"}
    assert "canary" not in repr(told)
    assert "canary" not in repr(Key("canary-one", 1))


def test_a_key_that_nobody_numbered_is_told_without_one(past: Past) -> None:
    past.fails(ONE, 429)
    assert [one["key"] for one in past.health.told()["resting_keys"]] == [""]


def test_a_wait_takes_the_place_of_another() -> None:
    before = Failed("rate_limit_error", "no", 429, ((b"retry-after", b"1"), (b"x-other", b"y")))
    assert waiting(before, 7).headers == ((b"retry-after", b"7"), (b"x-other", b"y"))
