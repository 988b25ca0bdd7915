from __future__ import annotations

import pytest

from claude_code_proxy.policy import falls_back, is_down, pause, retry_after, rotates, told
from claude_code_proxy.wire.failure import Failed


def failure(status: int) -> Failed:
    return Failed("api_error", str(status), status)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 409, 429, 500, 501, 502, 503, 504, 529])
def test_what_another_target_may_do_better(status: int) -> None:
    assert falls_back(failure(status))


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_no_other_target_can_mend(status: int) -> None:
    assert not falls_back(failure(status))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        *(([401, 529, 429], 529), ([404, 401], 404), ([429, 500], 429), ([403], 403), ([402, 404, 408], 408)),
        *(([401, 500], 500), ([401, 409], 409), ([404, 499], 404)),
    ],
)
def test_the_client_is_told_what_may_pass(statuses: list[int], expected: int) -> None:
    assert told([failure(status) for status in statuses]).status == expected


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
def test_what_says_that_a_target_is_down(status: int) -> None:
    assert is_down(failure(status))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 429])
def test_what_says_that_it_is_there(status: int) -> None:
    assert not is_down(failure(status))


@pytest.mark.parametrize(("status", "another"), [(401, True), (402, True), (429, True), (403, False), (500, False)])
def test_what_another_key_may_not_meet(status: int, another: bool) -> None:  # noqa: FBT001
    assert rotates(failure(status)) is another


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((b"0", 0), (b"30", 30), (b"soon", None), (b"-1", None), (b"1.5", None), (b"9" * 4000, None), (b"", None)),
        *((b"12345678", 12345678), (b"123456789", None)),
    ],
)
def test_the_wait_that_an_upstream_asks_for(value: bytes, seconds: int | None) -> None:
    assert retry_after(Failed("api_error", "", 529, ((b"retry-after", value),))) == seconds


def test_an_upstream_that_asks_for_nothing_is_waited_for_by_chance() -> None:
    assert retry_after(Failed("api_error", "", 529)) is None
    assert pause(0, Failed("api_error", "", 429, ((b"retry-after", b"7"),)), lambda _, most: most) == 7.5
    assert pause(0, Failed("api_error", "", 429, ((b"retry-after", b"7"),)), lambda least, _: least) == 7.0


@pytest.mark.parametrize(
    ("status", "again"),
    [(408, True), (429, True), (500, True), (503, True), (529, True), (501, False), (499, False), (409, False)],
)
def test_what_is_tried_again(status: int, again: bool) -> None:  # noqa: FBT001
    assert (pause(0, failure(status), max) is not None) is again


@pytest.mark.parametrize(("again", "longest"), [(0, 2.0), (1, 8.0), (5, 8.0)])
def test_pauses_are_by_chance_and_grow(again: int, longest: float) -> None:
    asked: list[tuple[float, float]] = []

    def chance(least: float, most: float) -> float:
        asked.append((least, most))
        return least

    assert pause(again, failure(502), chance) == 0.5
    assert asked == [(0.5, longest)]
