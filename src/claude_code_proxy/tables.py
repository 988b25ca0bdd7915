"""The [routing], [models] and [prices] tables of the user's config.toml.

Which target stands for what; what a model can; what it costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Wish: TypeAlias = Annotated[str, Meta(min_length=1)]
"""A target as the user writes it: `provider:model`, an alias, or any name that a request may give."""

Wishes: TypeAlias = Wish | Annotated[tuple[Wish, ...], Meta(min_length=1)]
"""One target, or several in the order in which they are tried."""


class LongContext(Struct, frozen=True, forbid_unknown_fields=True):
    """The target of requests that are estimated at more than `over` tokens."""

    over: Annotated[int, Meta(ge=1)]
    to: Wishes


class Kinds(Struct, frozen=True, forbid_unknown_fields=True):
    """Targets by what a request is, the first that fits counting. `kinds` says when one is which."""

    web_search: Wishes | None = None
    image: Wishes | None = None
    long_context: LongContext | None = None
    subagent: Wishes | None = None
    background: Wishes | None = None
    thinking: Wishes | None = None

    def target(self, kind: str) -> Wishes | None:
        """The target for requests of this kind."""
        held = getattr(self, kind)
        return held.to if isinstance(held, LongContext) else held


class Tiers(Struct, frozen=True, forbid_unknown_fields=True):
    """Targets by the word in Claude's name, looked for in this order; `default` for every Claude without one here."""

    haiku: Wishes | None = None
    opus: Wishes | None = None
    sonnet: Wishes | None = None
    fable: Wishes | None = None
    default: Wishes | None = None


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The context window of a model and the most it may say, in tokens; 0 is unknown."""

    context: Annotated[int, Meta(ge=1)] = 0
    max_output: Annotated[int, Meta(ge=1)] = 0


Dollars: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000)]


class Price(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a million tokens cost. Where nothing is said, cached ones cost what others do, and thinking what is said."""

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    thinking: Dollars | None = None
    currency: Literal["USD"] = "USD"


class Tables(Struct, frozen=True, forbid_unknown_fields=True):
    """All of them.

    `aliases` are names of the user's own for a target. `fallbacks` are further targets, by `provider:model`,
    for whatever led to it but a URL that pins it.
    """

    aliases: dict[str, Wishes] = {}
    tiers: Tiers = Tiers()
    kinds: Kinds = Kinds()
    fallbacks: dict[str, Wishes] = {}


KINDS: Final = tuple(field.name for field in msgspec.structs.fields(Kinds))
"""The kinds of request, in the order in which they are looked for."""

TIERS: Final = tuple(field.name for field in msgspec.structs.fields(Tiers) if field.name != "default")
"""The words in a model's name that say its tier, in the order in which they are looked for."""


class TablesError(ValueError):
    """Tables that cannot be used; the message has a line for each fault."""


def read_tables(table: object, known: Callable[[str], bool]) -> Tables:
    """The tables of a [routing] table; names of aliases in lower case.

    `known` tells whether what stands before a target's colon may stand there. Raises `TablesError`.
    """
    try:
        tables = msgspec.convert(table, Tables)
    except msgspec.ValidationError as cause:
        raise TablesError(f"[routing] {cause}") from None
    tables = msgspec.structs.replace(tables, aliases={name.lower(): to for name, to in tables.aliases.items()})
    if faults := [*_unknown(tables, known), *_circular(tables.aliases)]:
        raise TablesError("\n".join(faults))
    return tables


def read_limits(table: object, known: Callable[[str], str]) -> dict[str, Limits]:
    """The limits of a [models] table, by `provider:model`.

    `known` gives the name of the provider that a name or alias stands for, empty if there is none. Raises
    `TablesError`.
    """
    return _by_target("models", table, Limits, known)


def read_prices(table: object, known: Callable[[str], str]) -> dict[str, Price]:
    """The prices of a [prices] table, by `provider:model`; `provider:*` is all of its models. See `read_limits`."""
    return _by_target("prices", table, Price, known)


_Row = TypeVar("_Row", bound=Struct)


def _by_target(name: str, table: object, kind: type[_Row], known: Callable[[str], str]) -> dict[str, _Row]:
    """The rows of a table whose keys are `provider:model`, under the provider's own name."""
    try:
        rows = msgspec.convert(table, dict[str, kind])  # type: ignore[valid-type]
    except msgspec.ValidationError as cause:
        raise TablesError(f"[{name}] {cause}") from None
    named: dict[str, _Row] = {}
    faults: list[str] = []
    for target, row in rows.items():
        head, _, model = target.partition(":")
        if model and (provider := known(head)):
            named[f"{provider}:{model}"] = row
        else:
            faults.append(f"[{name}] {target!r} must be a provider that is known, a colon and its model")
    if faults:
        raise TablesError("\n".join(faults))
    return named


def _unknown(tables: Tables, known: Callable[[str], bool]) -> Iterator[str]:
    """Targets whose provider does not exist."""
    for place, wishes in _wishes(tables):
        for wish in several(wishes):
            head, colon, _ = wish.partition(":")
            if wish.lower() not in tables.aliases and colon and "/" not in head and not known(head):
                yield f"[routing] {place}: {wish!r} names no provider that is known"


def _wishes(tables: Tables) -> Iterator[tuple[str, Wishes]]:
    """Every target in the tables, and where it stands."""
    for name, to in tables.aliases.items():
        yield f"aliases.{name}", to
    for name in (*TIERS, "default"):
        if of_tier := getattr(tables.tiers, name):
            yield f"tiers.{name}", of_tier
    for name in KINDS:
        if of_kind := tables.kinds.target(name):
            yield f"kinds.{name}", of_kind
    for name, to in tables.fallbacks.items():
        yield f"fallbacks.{name}", (name, *several(to))


def _circular(aliases: Mapping[str, Wishes]) -> Iterator[str]:
    """Aliases that stand for themselves in the end."""
    for name in aliases:
        reached: set[str] = set()
        ahead = [name]
        while ahead:
            for wish in map(str.lower, several(aliases[ahead.pop()])):
                if wish in aliases and wish not in reached:
                    reached.add(wish)
                    ahead.append(wish)
        if name in reached:
            yield f"[routing] aliases.{name}: leads back to itself"


def several(wishes: Wishes) -> tuple[str, ...]:
    """The targets, in order."""
    return (wishes,) if isinstance(wishes, str) else wishes
