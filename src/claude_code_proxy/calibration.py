"""How far the estimate of a prompt's tokens is from the upstream's own count, learned for each target.

Every tokenizer cuts text in its own way. What an upstream says of a prompt when its reply has ended, against the
estimate of that prompt, gives the factor for the next ones.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.scan import holds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_code_proxy.wire.events import Usage
    from claude_code_proxy.wire.head import Head

_FIRST: Final = 20
"""Replies of a target that are all looked at; the mean follows the last so many."""

_EVERY: Final = 32
"""Of later replies, one in so many is."""

_USELESS: Final = 7
"""Replies to let pass after a count that was nonsense, and as many more after each that follows: who counts so will
do it again. No more than after a count that is sound."""

_ENOUGH: Final = 3
"""Replies after which a target counts as calibrated."""

_LEAST, _MOST = 0.3, 3.0
"""No tokenizer is further from the estimate; a count that is, is nonsense, and nothing is learned from it."""

_SHORTEST: Final = 1000
"""Tokens of a prompt below which what a server's template puts around it would be taken for the tokenizer's doing."""

_LARGEST: Final = 2 << 20
"""Bytes of a body above which parsing it again costs more than is learned."""

_UNCALIBRATED: Final = 0.6
"""The least that a tokenizer makes of the estimate: of deeply indented code and tables."""

_SPREADS: Final = 2.0
"""Standard deviations by which the mean may be wrong."""

_WHOLE: Final = 0.75
"""The part of a window in which no prompt is cut, whatever the tokenizer."""

_KEPT: Final = 500
"""Targets that are remembered: their names come from clients."""

_OTHER: Final = (b'"image"', b'"document"', b'"web_search_20')
"""What an upstream counts in its own way: media, and the hits of its own search."""


class Factor(Struct, frozen=True, gc=False):
    """What the estimate is to be multiplied with: the mean over `replies`, and their standard deviation."""

    mean: float = 1.0
    spread: float = 0.0
    replies: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether it was learned from enough replies."""
        return self.replies >= _ENOUGH

    def least(self, margin: float) -> float:
        """A factor that surely is not too large; `margin` is the least part of the mean by which it is smaller."""
        if not self.calibrated:
            return _UNCALIBRATED
        return max(_LEAST, self.mean - max(_SPREADS * self.spread, margin * self.mean))

    def of(self, estimate: int) -> int:
        """The tokens that an estimate stands for."""
        return max(1, round(estimate * self.mean)) if self.calibrated else estimate

    def with_reply(self, ratio: float) -> Factor:
        """The factor after one more reply; newer ones slowly take the place of older ones."""
        if not self.replies:
            return Factor(ratio, 0.0, 1)
        weight = 1 / min(self.replies + 1, _FIRST)
        away = ratio - self.mean
        variance = (1 - weight) * (self.spread**2 + weight * away**2)
        return Factor(self.mean + weight * away, math.sqrt(variance), self.replies + 1)


_UNTOLD: Final = Factor()


class Calibration:
    """The factors of the targets that were asked of late, by `provider:model`."""

    def __init__(self) -> None:
        self._factors: OrderedDict[str, Factor] = OrderedDict()
        self._waiting: dict[str, int] = {}  # replies to let pass before one is looked at
        self._nonsense: dict[str, int] = {}  # counts in a row that were

    def factor(self, target: str) -> Factor:
        """What was learned of a target."""
        return self._factors.get(target, _UNTOLD)

    def counts(self, target: str) -> bool:
        """Whether a target is known to count, however badly."""
        return target in self._factors or target in self._waiting

    def factors(self) -> Iterable[tuple[str, Factor]]:
        """What was learned, by target."""
        return self._factors.items()

    def samples(self, target: str, head: Head) -> bool:
        """Whether something is to be learned from this request. Asked once of each, while its body is here."""
        if waiting := self._waiting.get(target, 0):
            self._waiting[target] = waiting - 1
            return False
        return len(head.raw) <= _LARGEST and not holds(head.raw, *_OTHER)

    def learn(self, target: str, head: Head, usage: Usage, context: int) -> None:
        """Learn from a request that is a sample, and what its upstream counted.

        Nothing is learned from a prompt that might not have fitted the window (`context` tokens, 0 if unknown):
        some servers cut it and count what is left.
        """
        tokens = sum(part or 0 for part in (usage.input, usage.cache_read, usage.cache_write))
        if usage.input is None or not tokens:
            return
        try:
            estimate = count(head)
        except ApiError:
            return
        if estimate < _SHORTEST or tokens == estimate:  # the same figure is our own, where the upstream had none
            return
        if context and estimate > _WHOLE * context:
            return
        if _LEAST <= (ratio := tokens / estimate) <= _MOST:
            self._keep(target, self.factor(target).with_reply(ratio))
        else:
            self._wait(target)

    def _wait(self, target: str) -> None:
        if len(self._waiting) > 2 * _KEPT:
            self._waiting.clear()
            self._nonsense.clear()
        times = self._nonsense[target] = self._nonsense.get(target, 0) + 1
        self._waiting[target] = min(_USELESS * times, _EVERY - 1)

    def _keep(self, target: str, factor: Factor) -> None:
        self._factors[target] = factor
        self._waiting.pop(target, None)
        self._nonsense.pop(target, None)
        self._factors.move_to_end(target)
        if factor.replies >= _FIRST:
            self._waiting[target] = _EVERY - 1
        if len(self._factors) > _KEPT:
            forgotten, _ = self._factors.popitem(last=False)
            self._waiting.pop(forgotten, None)
