"""The way that a request took, told in steps: what was asked for, why it went where, each attempt, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from claude_code_proxy.dashboard import shown

if TYPE_CHECKING:
    from claude_code_proxy.ledger.entry import Entry


class Step(Struct, frozen=True):
    """A step: its name, what is said of it, more words, and how it is coloured."""

    title: str
    text: str
    more: str = ""
    tone: str = ""


def steps(entry: Entry) -> list[Step]:
    """The steps of a request."""
    told = [Step("Asked for", entry.client_model or shown.NONE, entry.endpoint)]
    if entry.kind:
        told.append(Step("Kind", entry.kind))
    if entry.rule:
        told.append(Step("Rule", entry.rule))
    tried = [one for one in entry.tried.split(" | ") if one]
    before = ""
    for number, one in enumerate(tried, 1):
        name, _, outcome = one.rpartition(": ")
        place = name.partition(" (")[0]
        why = "falls back" if before and place != before else "again" if before else ""
        told.append(Step(f"Attempt {number}", name or one, outcome, "good" if outcome == "ok" else "bad"))
        if why:
            told[-1] = Step(f"Attempt {number}, {why}", name or one, outcome, told[-1].tone)
        before = place
    if not tried and entry.provider:
        told.append(Step("Chosen", shown.target(entry), "not asked" if entry.seconds is not None else "waits"))
    ending = " · ".join(word for word in (str(entry.status or ""), entry.error, entry.stop) if word)
    told.append(Step("Outcome", shown.state(entry.state), ending, shown.tone(entry.state)))
    return told
