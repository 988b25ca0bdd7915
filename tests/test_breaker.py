"""Breakers, budgets and cooldowns on a virtual clock: what they promise holds after any history."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from claude_code_proxy import breaker, budget, cooldown
from claude_code_proxy.breaker import Breakers
from claude_code_proxy.budget import Budget
from claude_code_proxy.cooldown import Cooldowns

TARGETS = st.sampled_from(["a:m", "b:m"])


@pytest.mark.fault("F-07", "R-13")
class Machine(RuleBasedStateMachine):
    """Requests that begin, fail, work and are abandoned at any time, some of them while others run."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breakers, self.budget, self.keys = Breakers(), Budget(), Cooldowns()
        self.running: list[tuple[str, bool]] = []
        self.row = dict.fromkeys(("a:m", "b:m"), 0)  # failures in a row
        self.asked: list[float] = []
        self.retried: list[float] = []
        self.resting: dict[str, float] = {}

    @rule(seconds=st.floats(0, 400))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=TARGETS)
    def ask(self, name: str) -> None:
        is_open = self.breakers.open(name, self.now)
        probe = self.breakers.ask(name, self.now)
        assert not (probe and is_open)
        assert is_open or probe or self.breakers.closed(name)  # one that is half-open lets one request in
        self.running.append((name, probe))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from(["failed", "worked", "left"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        target, probe = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if outcome == "failed":
            self.row[target] += 1
            self.breakers.failed(target, self.now, probe=probe)
        elif outcome == "worked":
            self.row[target] = 0
            self.breakers.worked(target)
        elif probe:
            self.breakers.left(target)

    @rule(name=TARGETS, times=st.integers(1, breaker.FAILURES))
    def fail_in_a_row(self, name: str, times: int) -> None:
        for _ in range(times):
            probe = self.breakers.ask(name, self.now)
            self.breakers.failed(name, self.now, probe=probe)
            self.row[name] += 1

    @rule()
    def begin(self) -> None:
        self.budget.asked(self.now)
        self.asked.append(self.now)

    @rule()
    def retry(self) -> None:
        if self.budget.spend(self.now):
            self.retried.append(self.now)

    @rule(key=st.sampled_from("xyz"), seconds=st.none() | st.floats(-1, 1000))
    def limit(self, key: str, seconds: float | None) -> None:
        self.keys.limited("p", "m", key, self.now, seconds)
        told = (
            cooldown.LIMITED
            if seconds is None
            else min(max(seconds, cooldown.SHORTEST_LIMITED), cooldown.LONGEST_LIMITED)
        )
        self.resting[key] = max(self.resting.get(key, 0), self.now + told)

    @invariant()
    def opens_only_after_a_row_of_failures(self) -> None:
        for target, failures in self.row.items():
            assert self.breakers.closed(target) or failures >= breaker.FAILURES
            assert not self.breakers.open(target, self.now) or not self.breakers.closed(target)

    @invariant()
    def never_stuck_open(self) -> None:
        probing = {target for target, probe in self.running if probe}
        later = self.now + breaker.LONGEST_PAUSE + 1
        assert not any(self.breakers.open(target, later) for target in self.row if target not in probing)

    @invariant()
    def retries_are_few(self) -> None:
        second = int(self.now)
        asked, retried = (sum(second - int(at) < budget.WINDOW for at in times) for times in (self.asked, self.retried))
        told = self.budget.told(self.now)
        assert (told["requests"], told["retries"]) == (asked, retried)
        if self.retried and int(self.retried[-1]) == second:
            assert retried <= max(budget.LEAST, budget.SHARE * max(asked, len(self.asked)) + 1)

    @invariant()
    def the_key_that_rests_least_is_used(self) -> None:
        keys = "xyz"
        best = keys[self.keys.best("p", "m", keys, "s", self.now)]
        assert self.keys.wait("p", "m", best, self.now) == min(self.keys.wait("p", "m", key, self.now) for key in keys)
        for key in keys:
            assert self.keys.wait("p", "m", key, self.now) == pytest.approx(
                max(0.0, self.resting.get(key, 0) - self.now)
            )
            assert self.keys.wait("p", "other", key, self.now) == 0


TestMachine = Machine.TestCase


def opened(times: int) -> Breakers:
    """A target that was opened so many times in a row."""
    breakers = Breakers()
    for _ in range(breaker.FAILURES):
        breakers.failed("t", 0)
    for n in range(1, times):
        breakers.ask("t", n * 1000.0)
        breakers.failed("t", n * 1000.0, probe=True)
    return breakers


@pytest.mark.parametrize(("times", "pause"), [(1, 30), (2, 60), (3, 90), (10, 300), (30, 300)])
def test_each_pause_is_longer_up_to_the_longest(times: int, pause: float) -> None:
    breakers, since = opened(times), (times - 1) * 1000.0
    assert breakers.open("t", since + pause - 0.1)
    assert not breakers.open("t", since + pause)


def test_one_probe_at_a_time() -> None:
    breakers = opened(1)
    assert not breakers.ask("t", 29)  # nobody else was there to be asked
    assert breakers.ask("t", 30)
    assert breakers.open("t", 30)
    assert not breakers.ask("t", 31)
    breakers.left("t")
    assert breakers.ask("t", 32)


def test_what_fails_while_open_does_not_prolong_it() -> None:
    breakers = opened(1)
    breakers.failed("t", 20)
    assert not breakers.open("t", 30)


def test_an_answer_forgets_all() -> None:
    breakers = opened(3)
    breakers.worked("t")
    assert breakers.told(0) == {}


def test_the_state_is_told() -> None:
    breakers = opened(1)
    breakers.failed("u", 0)
    assert breakers.told(10) == {
        "t": {"state": "open", "failures": 5, "seconds": 20.0},
        "u": {"state": "closed", "failures": 1, "seconds": 0.0},
    }
    assert breakers.told(30)["t"]["state"] == "half-open"


def test_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    breakers, keys = Breakers(), Cooldowns()
    for n in range(5000):
        breakers.failed(n, 0)
        keys.limited("p", str(n), "k", 0, 60)
    assert len(breakers.told(0)) == len(keys.told(0)) <= 1024


@pytest.mark.fault("L-07")
def test_a_few_retries_are_free_and_then_a_share_of_the_requests() -> None:
    spent = Budget()
    assert [spent.spend(0) for _ in range(4)] == [True, True, True, False]
    for _ in range(20):
        spent.asked(1)
    assert [spent.spend(2) for _ in range(2)] == [True, False]
    assert spent.told(9) == {"requests": 20, "retries": 4}
    assert spent.told(10) == {"requests": 20, "retries": 1}
    assert spent.spend(12)


def test_a_session_keeps_its_key_and_sessions_are_spread() -> None:
    keys = Cooldowns()
    chosen = [keys.best("p", "m", "xyz", f"session {n}", 0) for n in range(100)]
    assert chosen == [keys.best("p", "m", "xyz", f"session {n}", 500) for n in range(100)]
    assert set(chosen) == {0, 1, 2}
    assert keys.best("p", "m", "xyz", "", 0) == 0


def test_a_refused_key_rests_for_every_model_until_it_works() -> None:
    keys = Cooldowns()
    keys.refused("p", "x", 0)
    assert keys.wait("p", "any", "x", 10) == cooldown.REFUSED - 10
    assert keys.wait("q", "any", "x", 10) == 0  # another provider's, though it be the same
    keys.worked("p", "any", "x")
    assert keys.wait("p", "any", "x", 10) == 0


@pytest.mark.parametrize(
    ("said", "rest"), [(None, 10.0), (0.0, 1.0), (0.5, 1.0), (60.0, 60.0), (300.0, 300.0), (86_400.0, 300.0)]
)
def test_a_limited_key_rests_as_long_as_was_said_within_bounds(said: float | None, rest: float) -> None:
    keys = Cooldowns()
    keys.limited("p", "m", "x", 100, said)
    assert keys.wait("p", "m", "x", 100) == rest
    assert keys.told(100) == [("p", "m", "x", rest)]
    assert keys.told(100 + rest) == []


def test_a_refused_key_rests_for_five_minutes() -> None:
    keys = Cooldowns()
    keys.refused("p", "x", 0)
    assert keys.wait("p", "m", "x", 0) == 300


def test_a_shorter_rest_does_not_end_a_longer_one_and_work_ends_both() -> None:
    keys = Cooldowns()
    keys.limited("p", "m", "x", 0, 60)
    keys.limited("p", "m", "x", 1, 5)
    assert keys.wait("p", "m", "x", 1) == 59
    keys.refused("p", "x", 1)
    keys.worked("p", "m", "x")
    assert keys.told(1) == []


def test_of_keys_that_rest_only_the_oldest_are_forgotten_and_those_that_are_over_first() -> None:
    keys = Cooldowns()
    for n in range(1024):
        keys.limited("p", str(n), "k", 0, 60 if n else 5)
    assert len(keys.told(0)) == 1024
    keys.limited("p", "new", "k", 5, 60)  # the first is over by now
    assert keys.wait("p", "1", "k", 5) == 55
    assert len(keys.told(5)) == 1024
    keys.limited("p", "newer", "k", 5, 60)
    assert keys.wait("p", "1", "k", 5) == 0
    assert keys.wait("p", "2", "k", 5) == 55
    assert len(keys.told(5)) == 1024


def test_the_time_that_is_left_is_told_in_tenths() -> None:
    keys = Cooldowns()
    keys.limited("p", "m", "x", 0, 9.9)
    assert keys.told(1.26) == [("p", "m", "x", 8.6)]


def test_a_second_within_the_window_is_kept_when_time_jumps() -> None:
    spent = Budget()
    spent.asked(0)
    spent.asked(5)
    assert spent.told(14) == {"requests": 1, "retries": 0}
    assert spent.told(1000) == {"requests": 0, "retries": 0}
    spent.asked(1000)
    assert spent.told(1009) == {"requests": 1, "retries": 0}
    assert spent.told(1010) == {"requests": 0, "retries": 0}
