"""Which of a provider's keys may be used now. Pure: the time is given.

A key that met a rate limit rests for that model as long as the provider said; one that was refused, or whose credit
is spent, rests for all of them.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITED: Final = 10.0
"""Seconds that a key rests after a 429 that does not say how long."""

SHORTEST_LIMITED, LONGEST_LIMITED = 1.0, 300.0
"""Seconds that it rests at least and at most, whatever the provider said: a limit may have been lifted."""

REFUSED: Final = 300.0
"""Seconds that a key rests which was refused: somebody may mend it meanwhile."""

_MOST: Final = 1024
"""Rests remembered: names of models come from clients, and must not fill the memory."""


class Cooldowns:
    """The keys that rest, and until when."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str, str], float] = {}  # provider, model (empty: any), key

    def limited(self, provider: str, model: str, key: str, now: float, seconds: float | None) -> None:
        """A key met a limit on this model; `seconds` is what the provider said, if it did."""
        rest = LIMITED if seconds is None else min(max(seconds, SHORTEST_LIMITED), LONGEST_LIMITED)
        self._rest((provider, model, key), now, rest)

    def refused(self, provider: str, key: str, now: float) -> None:
        """A key is not accepted, or has no credit."""
        self._rest((provider, "", key), now, REFUSED)

    def worked(self, provider: str, model: str, key: str) -> None:
        """A key did what it should."""
        if self._until:
            self._until.pop((provider, model, key), None)
            self._until.pop((provider, "", key), None)

    def wait(self, provider: str, model: str, key: str, now: float) -> float:
        """Seconds until this key may be used for this model; 0 if it may now."""
        held = self._until
        if not held:
            return 0.0
        until = max(held.get((provider, model, key), now), held.get((provider, "", key), now))
        return until - now

    def best(self, provider: str, model: str, keys: Sequence[str], session: str, now: float) -> int:
        """The place of the key to use: the session's own while it may be, else the next that may, else the first to be.

        A session keeps to one key, because providers keep caches of prompts by account.
        """
        first = int.from_bytes(sha256(session.encode()).digest()[:4]) % len(keys) if session else 0
        turn = [(first + n) % len(keys) for n in range(len(keys))]
        return min(turn, key=lambda at: self.wait(provider, model, keys[at], now))

    def told(self, now: float) -> list[tuple[str, str, str, float]]:
        """The keys that rest: provider, model (empty: any), key, seconds. The keys are not to be shown."""
        return [(*name, round(until - now, 1)) for name, until in self._until.items() if until > now]

    def _rest(self, name: tuple[str, str, str], now: float, seconds: float) -> None:
        if len(self._until) >= _MOST:
            self._until = {name: until for name, until in self._until.items() if until > now}
        while len(self._until) >= _MOST:
            del self._until[next(iter(self._until))]
        self._until[name] = max(now + seconds, self._until.get(name, 0.0))
