from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_code_proxy.wire.machine import Pipe
from machines import fed

if TYPE_CHECKING:
    from collections.abc import Sequence


class Split:
    """Gives each character twice, and `end` at the close."""

    def __init__(self, end: str = "") -> None:
        self.end = end

    def feed(self, item: str, /) -> Sequence[str]:
        return [char for char in item for _ in range(2)]

    def close(self) -> Sequence[str]:
        return [self.end] if self.end else []


class Keep:
    """Gives all at the close only."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def feed(self, item: str, /) -> Sequence[str]:
        self.kept.append(item)
        return ()

    def close(self) -> Sequence[str]:
        return ["".join(self.kept)]


def test_what_one_stage_gives_the_next_is_fed() -> None:
    assert list(Pipe(Split(), Split()).feed("ab")) == ["a"] * 4 + ["b"] * 4


def test_what_a_stage_gives_at_its_close_goes_through_the_stages_after_it() -> None:
    assert fed(Pipe(Split("x"), Split("y"), Keep()), ["a"]) == ["aaaaxxy"]


def test_each_stage_is_closed_after_it_was_fed_all() -> None:
    assert fed(Pipe(Keep(), Keep(), Keep()), ["a", "b"]) == ["ab"]


def test_a_stage_that_gives_nothing_ends_the_run() -> None:
    fails: Any = object()  # would raise if it were fed
    assert list(Pipe(Keep(), fails).feed("a")) == []


def test_a_pipe_is_a_machine_itself_and_an_empty_one_hands_on() -> None:
    assert fed(Pipe(Pipe(Split(), Keep()), Pipe()), ["a"]) == ["aa"]
