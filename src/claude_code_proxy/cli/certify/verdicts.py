"""What a check finds, and what all of them together mean for Claude Code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

Level = Literal["pass", "weak", "fail", "not offered", "not tried"]

STYLES: Final[dict[Level, str]] = {
    "pass": "good",
    "weak": "note",
    "fail": "bad",
    "not offered": "faint",
    "not tried": "faint",
}


class Verdict(Struct, frozen=True):
    """What one sample of a check found, in a line. `status` is that of the HTTP error, where one is the reason.

    `weak` is the model's own fault, `fail` that of the wire or the backend.
    """

    level: Level
    text: str
    status: int = 0


class Result(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a check. `passed` of `samples` passed; `with_profile` is the verdict with `quirks` changed."""

    name: str
    needed: bool
    level: Level
    text: str
    passed: int = 0
    samples: int = 0
    quirks: dict[str, Any] = {}
    with_profile: Verdict | None = None


Grade = Literal["yes", "with limits", "no"]

GRADES: Final[tuple[Grade, ...]] = ("yes", "with limits", "no")
"""The best first; the place is the exit status."""


def passed(text: str) -> Verdict:
    """It is as it should be."""
    return Verdict("pass", text)


def weak(text: str) -> Verdict:
    """The model did not do what it was asked to."""
    return Verdict("weak", text)


def failed(text: str, status: int = 0) -> Verdict:
    """Something between the model and us is wrong."""
    return Verdict("fail", text, status)


def absent(text: str, status: int = 0) -> Verdict:
    """There is no such thing here, and that is said clearly."""
    return Verdict("not offered", text, status)


def untried(text: str) -> Verdict:
    """It was left out."""
    return Verdict("not tried", text)


def grade(results: Iterable[Result], *, with_profile: bool = False) -> Grade:
    """Whether Claude Code works: not without what it needs; with limits if anything else is missing or unsure."""
    worst: Grade = "yes"
    for result in results:
        level, some = result.level, result.passed > 0
        if with_profile and result.with_profile:
            level = result.with_profile.level
        if level in {"pass", "not tried"}:
            continue
        if result.needed and not (level == "weak" and some):
            return "no"
        if result.needed or level != "not offered":
            worst = "with limits"
    return worst
