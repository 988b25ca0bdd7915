"""What follows a target's failure: the next target, or the end. Pure.

A target is asked once. Trying it again is the client's business, which does so up to ten times and would
multiply every attempt that were made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.failure import Failed

_ASKED_WRONG: Final = frozenset({400, 413, 422})
"""The request itself is at fault: any other target would be asked the same. The client acts on these (it compacts
a conversation that is too long, for one)."""

_PASSES: Final = frozenset({408, 409, 429})
"""Beside 5xx, what a client tries again."""


def falls_back(failure: Failed) -> bool:
    """Whether another target may do better: this one is down, busy, out of money, or does not know us or the model."""
    return failure.status not in _ASKED_WRONG


def told(failures: Sequence[Failed]) -> Failed:
    """The failure that the client is told of, when every target has failed: the first that may pass, or the first.

    `failures` are in the order of the targets, and at least one.
    """
    return next((one for one in failures if one.status in _PASSES or one.status >= 500), failures[0])
