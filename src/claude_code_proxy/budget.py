"""How often a provider may be asked again. Pure: the time is given.

Clients try again too, up to ten times, so retries of ours that were not bounded would multiply an outage.
"""

from __future__ import annotations

from typing import Any, Final

SHARE: Final = 0.2
"""Of the requests within the window, this many may be retries."""

LEAST: Final = 3
"""Retries that are allowed in any case."""

WINDOW: Final = 10
"""Seconds."""


class Budget:
    """Requests and retries of the last seconds at one provider, counted by the second."""

    __slots__ = ("_asked", "_retried", "_second")

    def __init__(self) -> None:
        self._asked, self._retried = [0] * WINDOW, [0] * WINDOW
        self._second = 0

    def asked(self, now: float) -> None:
        """A request goes there for the first time."""
        self._asked[self._at(now)] += 1

    def spend(self, now: float) -> bool:
        """Take one retry from the budget; false if it is spent."""
        at = self._at(now)
        if sum(self._retried) >= max(LEAST, SHARE * sum(self._asked)):
            return False
        self._retried[at] += 1
        return True

    def told(self, now: float) -> dict[str, Any]:
        """The counts of the window."""
        self._at(now)
        return {"requests": sum(self._asked), "retries": sum(self._retried)}

    def _at(self, now: float) -> int:
        """The place of this second, after those that have left the window were emptied."""
        second = int(now)
        if second <= self._second:
            return self._second % WINDOW
        for passed in range(max(self._second + 1, second - WINDOW + 1), second + 1):
            self._asked[passed % WINDOW] = self._retried[passed % WINDOW] = 0
        self._second = second
        return self._second % WINDOW
