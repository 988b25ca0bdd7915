"""What an answer cost, in USD: as the user says, as the provider says, or as its list of prices does. Pure.

Whose prices hold is told by the provider's address, so a server in another's place is not taken for it. What is not
known is None, never 0; only what runs on the user's own machines costs nothing. The list is `prices.json`, with its
source and its date; it is read when it is first needed.
"""

from __future__ import annotations

import re
from datetime import date
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from claude_code_proxy.hosts import is_near
from claude_code_proxy.wire.json_text import MOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.tables import Price
    from claude_code_proxy.wire.events import Usage

Source = Literal["provider", "user", "list", ""]


class Cost(Struct, frozen=True):
    """What an answer cost in USD, None if that is not known, and who says so."""

    usd: float | None = None
    source: Source = ""


UNKNOWN: Final = Cost()


class Rates(Struct, frozen=True, array_like=True):
    """USD per million tokens. Where nothing is said, cached ones cost what others do, and thinking what is said.

    Writing to a cache is priced for five minutes; for an hour it is dearer, which no count tells apart.
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    thinking: float | None = None


class Tier(Struct, frozen=True, array_like=True):
    """The rates of all tokens of a request whose whole prompt has more than `over`."""

    over: int
    rates: Rates


class Dated(Struct, frozen=True, array_like=True):
    """Rates, from a day on (UTC), or between two minutes of each day."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    since: date | None = None
    minutes: tuple[int, int] | None = None

    def holds(self, at: float) -> bool:
        """Whether they hold at this time, in seconds since 1970."""
        if self.since:
            return at // _DAY + _EPOCH >= self.since.toordinal()
        if not self.minutes:
            return True
        (start, end), minute = self.minutes, at % _DAY / 60
        return start <= minute < end if start <= end else minute >= start or minute < end


class Row(Struct, frozen=True, array_like=True):
    """What a model costs: the last of the rates that holds counts, else the first. None: it is not known.

    A pattern is a name in lower case, with `*` for anything before or after it, or a `/regular expression/`.
    """

    patterns: tuple[str, ...]
    rates: tuple[Dated, ...]


class PriceList(Struct, frozen=True):
    """The prices at hosts that fit one of these patterns. The first row that fits counts, else one of the `others`."""

    hosts: tuple[str, ...]
    others: tuple[str, ...]
    models: tuple[Row, ...]


class Prices(Struct, frozen=True):
    """The file: where its lists are from, and of which day."""

    source: str
    date: date
    lists: dict[str, PriceList]


_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()

_NONE: Final[Mapping[str, Price]] = MappingProxyType({})

_SPELLINGS: Final = tuple(
    (re.compile(written), meant)
    for written, meant in (
        (r"-(20\d\d)([01]\d)([0-3]\d)(?=$|[-:@])", r"-\1-\2-\3"),
        (r"^(?:publishers/[^/]+/)?models/|^google/|^arn:.*/", ""),
        (r"@[^@]*$", ""),
        (r"-v\d+(?::\d+)?$", ""),
        (r"^(?:us-gov|us|eu|apac|au|jp|ca|in|sa)\.(?=[a-z]+\.)", ""),
        (r"-20\d\d-?[01]\d-?[0-3]\d$", ""),
    )
)
"""How a name is written otherwise: each is tried on the one before, until one of them is on the list.

A date with its dashes; the names of resources at Google and Amazon; Vertex AI's versions; Bedrock's, and its regions;
the day of a snapshot, whose price is the model's unless the list says another.
"""


def cost(provider: Provider, model: str, usage: Usage, at: float, own: Mapping[str, Price] = _NONE) -> Cost:
    """What an answer of this model cost. `at`: when it was asked, in seconds since 1970; `own`: the user's prices.

    The user's price counts before what the provider says that it cost, and that before its list. Where neither what
    was read nor what was said was counted, only what is free is known.
    """
    if own and (price := own.get(f"{provider.name}:{model}") or own.get(f"{provider.name}:*")):
        usd = _spent(Rates(price.input, price.output, price.cache_read, price.cache_write, price.thinking), usage)
        if usd is not None:
            return Cost(usd, "user")
    told = usage.cost
    if told is not None and told >= 0 and isfinite(told):
        return Cost(told, "provider")
    if provider.local and is_near(provider.base_url):
        elsewhere = any(fnmatchcase(model.lower(), shape) for shape in provider.passed_on)
        return UNKNOWN if elsewhere else Cost(0.0, "list")
    dated = _quoted(provider.base_url, model, provider.full_name(model))
    if not dated:
        return UNKNOWN
    chosen = dated[0]
    if len(dated) > 1:
        chosen = next((one for one in reversed(dated) if one.holds(at)), chosen)
    rates = chosen.rates
    if chosen.tiers:
        prompt = _many(usage.input) + _many(usage.cache_read) + _many(usage.cache_write)
        rates = next((tier.rates for tier in reversed(chosen.tiers) if prompt > tier.over), rates)
    usd = _spent(rates, usage)
    return UNKNOWN if usd is None else Cost(usd, "list")


def _spent(rates: Rates, usage: Usage) -> float | None:
    """The USD for what was counted."""
    if not (rates.input or rates.output):
        return 0.0
    if usage.input is None and usage.output is None:
        return None
    read, written = _many(usage.cache_read), _many(usage.cache_write)
    said = _many(usage.output)
    thought = 0 if rates.thinking is None else min(_many(usage.thinking), said)
    usd = _many(usage.input) * rates.input + (said - thought) * rates.output + thought * (rates.thinking or 0.0)
    usd += read * (rates.input if rates.cache_read is None else rates.cache_read)
    usd += written * (rates.input if rates.cache_write is None else rates.cache_write)
    return usd / 1e6


def _many(count: int | None) -> int:
    """A count as it can be: what is negative or beyond sense is brought back."""
    return min(max(count, 0), MOST) if count else 0


@lru_cache(maxsize=1)
def price_lists() -> Prices:
    """The lists of `prices.json`."""
    return msgspec.json.decode(files(__package__).joinpath("prices.json").read_bytes(), type=Prices)


@lru_cache(maxsize=1024)
def _quoted(base_url: str, model: str, full_name: str) -> tuple[Dated, ...]:
    """What a model costs at an address, by the first of its spellings that is on the list; nothing if none is."""
    host = urlsplit(base_url).hostname or ""
    lists = price_lists().lists
    there = next((one for one in lists.values() if any(fnmatchcase(host, shape) for shape in one.hosts)), None)
    if there is None:
        return ()
    for name in _spellings(model, full_name):
        for one in (there, *(lists[other] for other in there.others)):
            if row := _row(one.models, name):
                return row.rates
    return ()


def _spellings(*names: str) -> Iterator[str]:
    """Every way to write these names, in lower case."""
    for given in dict.fromkeys(name.lower() for name in names):
        name = given
        yield name
        for written, meant in _SPELLINGS:
            changed = written.sub(meant, name)
            if changed != name:
                name = changed
                yield name


def _row(rows: tuple[Row, ...], name: str) -> Row | None:
    return next((row for row in rows if any(_fits(pattern, name) for pattern in row.patterns)), None)


def _fits(pattern: str, name: str) -> bool:
    if "*" not in pattern:  # nearly always
        return pattern == name or (pattern[0] == "/" and re.search(pattern[1:-1], name) is not None)
    if pattern[0] == "/":
        return re.search(pattern[1:-1], name) is not None
    text = pattern.strip("*")
    if pattern[0] != "*":
        return name.startswith(text)
    return text in name if pattern[-1] == "*" else name.endswith(text)
