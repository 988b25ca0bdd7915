"""Which targets are down, so that a healthy one is asked before them. Pure: the time is given.

A circuit breaker in the usual three states: closed; open after several failures in a row; and half-open once its
time is over, when one request at a time may try whether it works again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

FAILURES: Final = 5
"""Failures in a row that open a breaker."""

PAUSE: Final = 30.0
"""Seconds that it stays open the first time; each time in a row as much more."""

LONGEST_PAUSE: Final = 300.0

_MOST: Final = 1024
"""Targets remembered: names of models come from clients, and must not fill the memory."""


class _Breaker:
    """One that has seen a failure. `until`: when its pause is over; 0 while it is closed."""

    __slots__ = ("failures", "opened", "probing", "until")

    def __init__(self) -> None:
        self.failures = self.opened = 0
        self.until = 0.0
        self.probing = False


class Breakers:
    """The breakers of all targets. One that has none is closed, as nearly all are."""

    def __init__(self) -> None:
        self._held: dict[Hashable, _Breaker] = {}

    def open(self, target: Hashable, now: float) -> bool:
        """Whether another target should be asked before this one."""
        held = self._held.get(target)
        return held is not None and bool(held.until) and (held.probing or now < held.until)

    def closed(self, target: Hashable) -> bool:
        """Whether it is neither open nor half-open."""
        held = self._held.get(target)
        return not held or not held.until

    def ask(self, target: Hashable, now: float) -> bool:
        """A target is about to be asked. True if this is the probe, whose outcome must be told in any case."""
        held = self._held.get(target)
        if not held or not held.until or held.probing or now < held.until:
            return False
        held.probing = True
        return True

    def failed(self, target: Hashable, now: float, *, probe: bool = False) -> None:
        """It was down. What fails while the breaker is open, without being the probe, changes nothing."""
        held = self._held.get(target)
        if not held:
            if len(self._held) >= _MOST:
                del self._held[next(iter(self._held))]
            held = self._held[target] = _Breaker()
        held.failures += 1
        if probe:
            held.probing = False
        if probe if held.until else held.failures >= FAILURES:
            held.opened += 1
            held.until = now + min(PAUSE * held.opened, LONGEST_PAUSE)

    def worked(self, target: Hashable) -> None:
        """It answered: whatever was held against it is forgotten."""
        if self._held:
            self._held.pop(target, None)

    def left(self, target: Hashable) -> None:
        """The probe came to nothing that says anything: its client left, or the request was at fault."""
        if held := self._held.get(target):
            held.probing = False

    def told(self, now: float) -> dict[str, dict[str, Any]]:
        """What is held against targets: the state, failures in a row, and seconds until it is tried again."""
        return {
            str(target): {
                "state": "closed" if not held.until else "open" if now < held.until else "half-open",
                "failures": held.failures,
                "seconds": round(max(0.0, held.until - now), 1) if held.until else 0.0,
            }
            for target, held in self._held.items()
        }
