"""Metrics in Prometheus's text format. Labels are bounded, since names of models come from clients."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST: Final = 500
"""Sets of labels of a metric that are told apart."""

MOST_HISTOGRAMS: Final = 100
"""The same of a histogram, which has a line for each of its buckets."""

LONGEST: Final = 100
"""Characters of a label."""

OTHER: Final = "other"
MEDIA_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

_PREFIX: Final = "claude_code_proxy_"
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family:
    """One metric: a value for each set of labels. Beyond `most` sets, those that are new count as `other`."""

    def __init__(self, name: str, kind: str, tells: str, *labels: str, most: int = MOST) -> None:
        self.name, self.kind, self.tells, self.labels = _PREFIX + name, kind, tells, labels
        self._most = most
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, amount: float, *labels: str) -> None:
        """Add to the value of these labels."""
        key = labels if labels in self.values else self.key(labels)  # those there are such as `label` leaves them
        self.values[key] = self.values.get(key, 0) + amount

    def key(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels under which these are counted."""
        key = tuple(label(text) for text in labels)
        return (OTHER,) * len(key) if key not in self.values and len(self.values) >= self._most else key

    def lines(self) -> Iterator[str]:
        """The metric in Prometheus's text format."""
        yield f"# HELP {self.name} {self.tells}"
        yield f"# TYPE {self.name} {self.kind}"
        for key, value in self.values.items():
            pairs = self.pairs(key)
            yield f"{self.name}{{{pairs}}} {value:.17g}" if pairs else f"{self.name} {value:.17g}"

    def pairs(self, key: tuple[str, ...]) -> str:
        """Labels and their values."""
        told = zip(self.labels, key, strict=True)
        return ",".join(f'{name}="{text.translate(_ESCAPED)}"' for name, text in told)


class Histogram(Family):
    """How many of the values lie at or below each bound. `bounds` grow; `values` are the sums."""

    def __init__(self, name: str, tells: str, *labels: str, bounds: Sequence[float]) -> None:
        super().__init__(name, "histogram", tells, *labels, most=MOST_HISTOGRAMS)
        self._bounds = bounds
        self._counts: dict[tuple[str, ...], list[int]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count a value among those of these labels."""
        key = labels if labels in self.values else self.key(labels)
        counts = self._counts.get(key) or self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self.values[key] = self.values.get(key, 0) + value

    def lines(self) -> Iterator[str]:
        """The metric in Prometheus's text format."""
        yield f"# HELP {self.name} {self.tells}"
        yield f"# TYPE {self.name} {self.kind}"
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        for key, counts in self._counts.items():
            pairs = self.pairs(key)
            before = f"{pairs}," if pairs else ""
            *_, total = upto = list(accumulate(counts))
            for bound, count in zip(bounds, upto, strict=True):
                yield f'{self.name}_bucket{{{before}le="{bound}"}} {count}'
            yield f"{self.name}_sum{{{pairs}}} {self.values[key]:.17g}"
            yield f"{self.name}_count{{{pairs}}} {total}"


def label(text: str) -> str:
    """A text that may be a client's, as a label."""
    text = text[:LONGEST]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
