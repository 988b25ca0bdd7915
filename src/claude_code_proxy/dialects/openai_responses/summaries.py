"""Summaries of the reasoning, which OpenAI shows to verified organisations only.

Nothing but a refusal tells whether one is. It is remembered for as long as the process lives, so that the client's
next try, which follows at once, asks for none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import structs

if TYPE_CHECKING:
    from claude_code_proxy.wire.failure import Failed

_REFUSED: Final = re.compile(r"verified to generate reasoning summar", re.IGNORECASE)
_HINT: Final = "(Asked again, the proxy does without them; OPENAI_REASONING_SUMMARY=off makes it so from the start.)"

_without: set[str] = set()
"""The addresses that refused."""


def shown_at(base_url: str) -> bool:
    """Whether summaries may be asked for there."""
    return base_url not in _without


def learnt(failure: Failed, base_url: str) -> Failed:
    """The failure, with what was learnt from it if it is about summaries."""
    if failure.status != 400 or not _REFUSED.search(failure.message):
        return failure
    _without.add(base_url)
    return structs.replace(failure, message=f"{failure.message} {_HINT}")
