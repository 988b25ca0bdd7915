"""Why a prompt cache was not read: the first block that differs from the turn before, and what that cost. Pure."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Final, Literal, Protocol

from msgspec import Struct

from claude_code_proxy.ledger.blocks import ORDER, blocks
from claude_code_proxy.ledger.capture import opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.ledger.blocks import Block
    from claude_code_proxy.wire.events import Usage

_AROUND: Final = 60
"""Characters that are shown on each side of a difference."""

_MATTER: Final = frozenset({"model", "tool_choice", "thinking", "reasoning", "reasoning_effort", "output_config"})
"""Settings that are part of the prompt of some models; Anthropic's documentation names the first three."""

_PARTS: Final = {"request": "client", "outgoing": "upstream"}


class Price(Protocol):
    """What a model costs, in US dollars per million tokens; `prices.Rates` is one."""

    @property
    def input(self) -> float:
        """Of the prompt."""

    @property
    def cache_read(self) -> float | None:
        """Of what was read from a cache; None: as the others."""


class Difference(Struct, frozen=True):
    """Where two prompts part.

    `path` leads to the block, `before` and `after` are what stands around the difference, `at` characters into it.
    `kind`: the block is another one, is new in between, or is missing. What only follows at the end differs from
    nothing.
    """

    path: str
    block: str
    kind: Literal["changed", "added", "removed"]
    at: int
    before: str
    after: str


class Sight(Struct, frozen=True):
    """What became of the prefix of one prompt in the next.

    `same` and `before` are the tokens of the prefix that both share and of the prompt before: estimated, in the measure
    of what the upstream counted where it did. `read`: tokens that were read from the cache, None if that was not told.
    `lost`: tokens that could have been read, had the prompt begun like the one before; `cost` what these cost more, in
    US dollars. None: not known. `settings` are those that differ and may be part of the prompt.
    """

    whose: str
    first: Difference | None
    same: int
    before: int
    read: int | None
    lost: int | None
    cost: float | None
    settings: list[str]


def xray(
    previous: Mapping[str, bytes],
    these: Mapping[str, bytes],
    usage: Usage | None = None,
    price: Price | None = None,
) -> list[Sight]:
    """The prompts of the client, and those that were sent upstream, against those of the turn before.

    Both are parts as `Reader.captured` gives them; one that was cut is not looked at. `usage` is what the upstream
    counted this time. Raises `ValueError` for damaged parts.
    """
    sights: list[Sight] = []
    for part, whose in _PARTS.items():
        if part in previous and part in these:
            old, new = opened(previous[part]), opened(these[part])
            if not (old.about.get("cut") or new.about.get("cut")):
                sights.append(sight(whose, old.data, new.data, usage, price))
    return sights


def sight(whose: str, previous: bytes, this: bytes, usage: Usage | None, price: Price | None) -> Sight:
    """The same of two bodies."""
    old, new = blocks(previous), blocks(this)
    first, same = _parting(_prompt(old), _prompt(new))
    before, all_of_it = (sum(block.tokens for block in _prompt(some)) for some in (old, new))
    counted = _counted(usage)
    scale = counted / all_of_it if counted and all_of_it else 1.0
    same, before = round(same * scale), round(before * scale)
    read = usage.cache_read if usage else None
    lost = None if read is None else max(0, min(before, counted or before) - read)
    return Sight(whose, first, same, before, read, lost, _cost(lost, price), _settings(old, new))


def _prompt(some: Sequence[Block]) -> list[Block]:
    return [block for block in some if block.place != "settings"]


def _parting(old: Sequence[Block], new: Sequence[Block]) -> tuple[Difference | None, int]:
    """Where they part, and the tokens before that."""
    same = 0
    for number, (one, other) in enumerate(zip_longest(old, new)):
        if one is None:  # more follows, as in every turn
            break
        if other is not None and (one.raw, one.role, one.place) == (other.raw, other.role, other.place):
            same += one.tokens
            continue
        if other is None:
            return Difference(one.path, one.kind, "removed", 0, _excerpt(one.text, 0), ""), same
        kind = _kind(old[number:], new[number:])
        before, after = _told(one, other)
        at = _shared(before, after) if kind == "changed" else 0
        if kind == "changed":
            same += round(one.tokens * at / max(1, len(before)))
        shown = one if kind == "removed" else other
        return Difference(shown.path, shown.kind, kind, at, _excerpt(before, at), _excerpt(after, at)), same
    return None, same


def _kind(old: Sequence[Block], new: Sequence[Block]) -> Literal["changed", "added", "removed"]:
    """Whether the first of these blocks was changed, or another one stands before it, or it is gone."""
    one, other = old[0], new[0]
    kept = any(_alike(one, later) for later in new[1:])
    known = any(_alike(other, later) for later in old[1:])
    if kept != known:
        return "added" if kept else "removed"
    if one.place != other.place:
        return "removed" if ORDER.index(one.place) < ORDER.index(other.place) else "added"
    return "changed"


def _told(one: Block, other: Block) -> tuple[str, str]:
    """What two blocks say, such that it differs."""
    if one.text != other.text:
        return one.text, other.text
    if one.role != other.role:
        return f"{one.role}: {one.text}", f"{other.role}: {other.text}"
    return one.raw.decode("utf-8", "replace"), other.raw.decode("utf-8", "replace")


def _shared(one: str, other: str) -> int:
    """Characters that both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _alike(one: Block, other: Block) -> bool:
    return (one.raw, one.role, one.place) == (other.raw, other.role, other.place)


def _excerpt(text: str, at: int) -> str:
    start, end = max(0, at - _AROUND), at + _AROUND
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _counted(usage: Usage | None) -> int:
    """Tokens of the whole prompt, 0 if they were not counted."""
    if usage is None or usage.input is None:
        return 0
    return usage.input + (usage.cache_read or 0) + (usage.cache_write or 0)


def _cost(lost: int | None, price: Price | None) -> float | None:
    if lost is None or price is None:
        return None
    cached = price.input if price.cache_read is None else price.cache_read
    return lost * (price.input - cached) / 1_000_000


def _settings(old: Sequence[Block], new: Sequence[Block]) -> list[str]:
    before, now = ({block.path: block.raw for block in some if block.path in _MATTER} for some in (old, new))
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
