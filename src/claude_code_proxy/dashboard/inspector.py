"""What is shown of a captured request: its cache X-ray, what was asked, sent, heard and answered, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from claude_code_proxy.ledger.inspect import Section
from claude_code_proxy.ledger.turns import inspected
from claude_code_proxy.prices import Rates, cost
from claude_code_proxy.wire.events import Usage

if TYPE_CHECKING:
    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.ledger.reading import Reader
    from claude_code_proxy.settings import Settings

MOST: Final = 200
"""Blocks of a section that are shown: half of them from its beginning, half from its end."""

_MILLION: Final = 1_000_000
_FEW: Final = 1000
"""Tokens of which the price is asked: so few that no dearer tier is meant."""


def sections(entry: Entry, reader: Reader, settings: Settings) -> list[Section]:
    """The parts of what was captured of a request; none where nothing was."""
    try:
        found = inspected(reader, entry, prompt_rates(entry, settings))
    except ValueError:
        return [Section("What was captured of it is damaged")]
    return [shortened(one) for one in found]


def shortened(one: Section) -> Section:
    """The section with no more than `MOST` blocks."""
    if len(one.rows) <= MOST:
        return one
    left = ("blocks left out in the middle", str(len(one.rows) - MOST))
    return replace(one, facts=[*one.facts, left], rows=[*one.rows[: MOST // 2], *one.rows[-MOST // 2 :]])


def prompt_rates(entry: Entry, settings: Settings) -> Rates | None:
    """What the prompt of this model costs, where that is known."""
    if not (provider := settings.providers.get(entry.provider)):
        return None
    asked = (Usage(input=_FEW, output=0), Usage(input=0, output=0, cache_read=_FEW))
    fresh, read = (cost(provider, entry.model, usage, entry.began, settings.prices).usd for usage in asked)
    if fresh is None:
        return None
    each = _MILLION / _FEW
    return Rates(fresh * each, 0.0, None if read is None else read * each)
