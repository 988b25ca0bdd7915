"""The factor between the estimate of a prompt and its upstream's own count."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import body
from claude_code_proxy.calibration import Calibration, Factor
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.head import decode_head

if TYPE_CHECKING:
    from claude_code_proxy.wire.head import Head


def prompt(tokens: int = 2000, **fields: Any) -> Head:
    request = body(messages=[{"role": "user", "content": "x" * round(tokens * 3.5)}], **fields)
    return decode_head(json.dumps(request).encode())


HEAD = prompt()
ESTIMATE = count(HEAD)


def learned(*usages: Usage, head: Head = HEAD, context: int = 0) -> Factor:
    calibration = Calibration()
    for usage in usages:
        learn(calibration, "p:m", usage, head=head, context=context)
    return calibration.factor("p:m")


def learn(calibration: Calibration, target: str, usage: Usage, *, head: Head = HEAD, context: int = 0) -> None:
    if calibration.samples(target, head):
        calibration.learn(target, head, usage, context)


def times(ratio: float) -> Usage:
    return Usage(round(ESTIMATE * ratio))


def test_nothing_is_known_at_first() -> None:
    factor = Calibration().factor("p:m")
    assert (factor.mean, factor.calibrated, factor.of(1000)) == (1.0, False, 1000)
    assert factor.least(0.0) < 1


def test_three_replies_are_enough() -> None:
    assert [learned(*[times(1.3)] * n).of(1000) for n in (1, 2, 3)] == pytest.approx([1000, 1000, 1300], rel=0.01)


def test_the_mean_and_its_spread() -> None:
    factor = learned(*map(times, (1.2, 1.3, 1.4)))
    assert factor.replies == 3
    assert factor.mean == pytest.approx(1.3, rel=0.01)
    assert factor.spread == pytest.approx(0.0816, rel=0.02)
    assert factor.least(0.03) == pytest.approx(1.3 - 2 * 0.0816, rel=0.02)
    assert factor.least(0.5) == pytest.approx(0.65, rel=0.02)


def test_newer_replies_take_the_place_of_older_ones() -> None:
    factor = Factor()
    for ratio in [0.7] * 50 + [1.4] * 100:
        factor = factor.with_reply(ratio)
    assert factor.mean == pytest.approx(1.4, rel=0.01)
    assert factor.spread < 0.1


WHOLE = [
    Usage(2600),
    Usage(200, 5, 2400, 0),
    Usage(200, 5, 2000, 400, 3),
    Usage(0, 5, None, 2600),
]


@pytest.mark.parametrize("usage", WHOLE)
def test_what_came_from_a_cache_is_part_of_the_prompt(usage: Usage) -> None:
    assert learned(usage).mean == pytest.approx(2600 / ESTIMATE)


NOTHING: list[tuple[str, Usage, dict[str, Any]]] = [
    ("no usage", Usage(), {}),
    ("no input", Usage(None, 12, 1300, 0), {}),
    ("none at all", Usage(0, 12, 0, 0), {}),
    ("our own estimate", Usage(ESTIMATE, 12), {}),
    ("a short prompt", Usage(1100), {"head": prompt(900)}),
    ("a prompt that may have been cut", times(0.6), {"context": 2400}),
    ("a search by the provider", times(1.3), {"head": prompt(tools=[{"type": "web_search_20250305", "name": "s"}])}),
    ("an image", times(1.3), {"head": prompt(system=[{"type": "image", "source": {"type": "url", "url": "u"}}])}),
    ("no request", times(1.3), {"head": decode_head(b'{"model":"m"}')}),
    ("a very large one", Usage(1_200_000), {"head": prompt(1_000_000)}),
]


@pytest.mark.parametrize(("usage", "how"), [row[1:] for row in NOTHING], ids=[row[0] for row in NOTHING])
def test_what_nothing_is_learned_from(usage: Usage, how: dict[str, Any]) -> None:
    assert learned(usage, **how) == Factor()


@given(st.lists(st.integers(0, 2**53)))
def test_nonsense_does_no_harm(counts: list[int]) -> None:
    factor = learned(*map(Usage, counts))
    assert factor.least(0.1) >= 0.3
    assert 0.3 <= factor.mean <= 3
    assert 0 <= factor.spread <= 2.7
    assert factor.of(1) >= 1


def test_the_first_replies_are_looked_at_and_later_ones_now_and_then() -> None:
    replies = [learned(*[times(1.3)] * n).replies for n in (19, 20, 21, 51, 52, 53, 83, 84)]
    assert replies == [19, 20, 20, 20, 21, 21, 21, 22]


def test_who_counts_nonsense_is_asked_less_and_less() -> None:
    calibration, head, looked = Calibration(), prompt(), []
    for n in range(150):
        if calibration.samples("p:m", head):
            looked.append(n)
            calibration.learn("p:m", head, Usage(7 if n < 120 else ESTIMATE + 99), 0)
    assert looked == [0, 8, 23, 45, 74, 106, *range(138, 150)]


def test_targets_are_apart_and_the_oldest_is_forgotten() -> None:
    calibration = Calibration()
    for n in range(600):
        for _ in range(3 if n else 25):
            learn(calibration, f"p:{n}", times(1.3))
        if n < 550:
            learn(calibration, "p:kept", times(0.5))
    assert not calibration.factor("p:0").calibrated
    assert calibration.factor("p:599").mean == pytest.approx(1.3, rel=0.01)
    assert len(calibration._factors) == 500
    assert len(calibration._waiting) <= 500


def test_what_is_true_is_learned_however_uneven_the_replies() -> None:
    chance = random.Random(7)
    factor = Factor()
    for _ in range(200):
        factor = factor.with_reply(chance.gauss(1.25, 0.1))
    assert factor.mean == pytest.approx(1.25, abs=0.1)
    assert 0.04 < factor.spread < 0.2
    assert factor.least(0.0) < 1.25


@pytest.mark.parametrize("ratio", [0.01, 0.29, 3.1, 50.0])
def test_nothing_is_learned_from_a_count_that_no_tokenizer_gives(ratio: float) -> None:
    assert learned(*[times(ratio)] * 5) == Factor()
