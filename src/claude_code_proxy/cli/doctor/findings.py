"""What doctor found: what is in order, what is to know, what is broken and how to mend it."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

Level = Literal["ok", "note", "bad"]

STYLES: Final[dict[Level, str]] = {"ok": "good", "note": "note", "bad": "bad"}


class Finding(Struct, frozen=True, omit_defaults=True):
    """One line of the report. `bad` is what keeps something from working; `fix` says what to do."""

    level: Level
    text: str
    fix: str = ""


class Section(Struct, frozen=True):
    """A part of the report, with the same in detail for programs."""

    title: str
    findings: tuple[Finding, ...]
    detail: dict[str, object] = {}
