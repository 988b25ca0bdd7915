"""What follows a failure: the same target again, the next one, or the end. Pure.

Clients try again as well, up to ten times, and multiply what is tried here. So a target is asked again at most a few
times, only while nothing was sent to the client, and only for what may pass within seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_code_proxy.wire.failure import Failed

_ASKED_WRONG: Final = frozenset({400, 413, 422})
"""The request itself is at fault: any other target would be asked the same. The client acts on these (it compacts
a conversation that is too long, for one)."""

_PASSES: Final = frozenset({408, 409, 429})
"""Beside 5xx, what a client tries again."""

_AGAIN: Final = frozenset({408, 429})
"""Beside 5xx, what is tried again here."""

_NEVER: Final = 501
"""The one of 5xx that says that asking again is of no use."""

_OF_THE_KEY: Final = frozenset({401, 402, 429})
"""What another key of the same provider may not meet."""

LONGEST_WAIT: Final = 30
"""Seconds that an upstream may ask to be left alone and is asked again here; after longer ones, by the client."""

SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0, 8.0
"""Seconds before a target is asked again: by chance between the first and the second, then up to the last."""

_SPREAD: Final = 0.5
"""Seconds by which those who were told to wait equally long are spread."""


def falls_back(failure: Failed) -> bool:
    """Whether another target may do better: this one is down, busy, out of money, or does not know us or the model."""
    return failure.status not in _ASKED_WRONG


def rotates(failure: Failed) -> bool:
    """Whether another key may do better."""
    return failure.status in _OF_THE_KEY


def is_down(failure: Failed) -> bool:
    """Whether a failure says that the target does not work; not that it is busy or was asked wrongly."""
    return failure.status >= 500 or failure.status == 408


def retries(failure: Failed, wished: int | None) -> int:
    """How often the same target is asked again after a failure.

    As often as is `wished`. Without a wish an answer is believed, since clients ask again by themselves; an upstream
    that broke off without one is asked once more.
    """
    if wished is not None:
        return wished
    return 1 if failure.unanswered else 0


def pause(again: int, failure: Failed, chance: Callable[[float, float], float]) -> float | None:
    """Seconds until the same target is asked again, for the time `again` counted from 0; None: it is not.

    `chance` gives a number between two.
    """
    passes = failure.status in _AGAIN or (failure.status >= 500 and failure.status != _NEVER)
    if not passes or failure.lasting or (b"x-should-retry", b"false") in failure.headers:
        return None
    seconds = retry_after(failure)
    if seconds is None:
        return chance(SHORTEST_PAUSE, min(FIRST_PAUSE * 4**again, LONGEST_PAUSE))
    return None if seconds > LONGEST_WAIT else seconds + chance(0, _SPREAD)


def retry_after(failure: Failed) -> int | None:
    """The seconds that the upstream asked to be left alone; None if it did not."""
    told = dict(failure.headers).get(b"retry-after", b"")
    return int(told) if told.isdigit() and len(told) < 9 else None


def told(failures: Sequence[Failed]) -> Failed:
    """The failure that the client is told of, when every target has failed: the first that may pass, or the first.

    `failures` are in the order of the targets, and at least one.
    """
    return next((one for one in failures if one.status in _PASSES or one.status >= 500), failures[0])
