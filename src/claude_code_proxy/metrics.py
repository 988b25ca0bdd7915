"""What is counted of the requests, for `/status` and for Prometheus. Nothing here waits, writes or looks at a chunk.

Every request passes `began` and `ended` once: whoever wants to tell another system of them stands there. Labels are
names of ours, of providers, or of models; what clients choose among them is bounded.
"""

from __future__ import annotations

import platform
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy import __version__
from claude_code_proxy.drift import LONGEST, Drift
from claude_code_proxy.tables import Limits
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from claude_code_proxy.ledger.writer import Ledger

MOST: Final = 500
"""Sets of labels of a metric that are told apart; names of models come from clients."""

OTHER: Final = "other"
MEDIA_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

_PREFIX: Final = "claude_code_proxy_"
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Outcome(Struct, frozen=True):
    """What became of a request, known when its answer has ended.

    `status` is the HTTP status that was sent or, for a client that left, 499. `error` is the type of the failure,
    empty if there was none. `unknown` are kinds of the upstream's events that were passed over. `limits` are the
    model's, as far as they are known.
    """

    endpoint: str
    provider: str = ""
    model: str = ""
    status: int = 0
    error: str = ""
    usage: Usage = Usage()
    unknown: Collection[str] = ()
    limits: Limits = Limits()


class Family:
    """One metric: a value for each set of labels. Beyond `MOST` sets, those that are new count as `other`."""

    def __init__(self, name: str, kind: str, tells: str, *labels: str) -> None:
        self.name, self.kind, self.tells, self.labels = _PREFIX + name, kind, tells, labels
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, amount: float, *labels: str) -> None:
        """Add to the value of these labels."""
        key = tuple(_label(label) for label in labels)
        if key not in self.values and len(self.values) >= MOST:
            key = (OTHER,) * len(self.labels)
        self.values[key] = self.values.get(key, 0) + amount

    def lines(self) -> Iterator[str]:
        """The metric in Prometheus's text format."""
        yield f"# HELP {self.name} {self.tells}"
        yield f"# TYPE {self.name} {self.kind}"
        for key, value in self.values.items():
            pairs = (f'{label}="{text.translate(_ESCAPED)}"' for label, text in zip(self.labels, key, strict=True))
            yield f"{self.name}{{{','.join(pairs)}}} {value:.17g}" if key else f"{self.name} {value:.17g}"


def _label(text: str) -> str:
    text = text[:LONGEST]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


class Metrics:
    """The counts since the start. `clock`: seconds since 1970. The `ledger` keeps each request, where there is one."""

    def __init__(self, clock: Callable[[], float] = time.time, ledger: Ledger | None = None) -> None:
        self.ledger = ledger
        self.drift = Drift(clock)
        self.started = clock()
        self.limits: OrderedDict[str, Limits] = OrderedDict()
        self._build = Family("build_info", "gauge", "The version that runs.", "version", "python")
        self._build.add(1, __version__, platform.python_version())
        self._start = Family("start_time_seconds", "gauge", "When it was started, since 1970.")
        self._start.add(self.started)
        self._requests = Family(
            *("requests_total", "counter", "Requests answered; 499: the client left."),
            *("endpoint", "provider", "status", "error"),
        )
        self._running = Family("requests_running", "gauge", "Requests that are being answered.", "endpoint")
        self._tokens = Family(
            *(
                "tokens_total",
                "counter",
                "Tokens, as the upstream counted them where it does; `input` is without `cache_read`.",
            ),
            *("provider", "model", "kind"),
        )

    @property
    def requests(self) -> int:
        """Requests that were answered."""
        return int(sum(self._requests.values.values()))

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return int(sum(self._running.values.values()))

    def began(self, endpoint: str) -> None:
        """A request came. `ended` must follow."""
        self._running.add(1, endpoint)

    def ended(self, outcome: Outcome) -> None:
        """Its answer has ended, well or badly."""
        self._running.add(-1, outcome.endpoint)
        error = outcome.error if not outcome.error or outcome.error in STATUS else OTHER
        self._requests.add(1, outcome.endpoint, outcome.provider, str(outcome.status), error)
        usage = outcome.usage
        for kind, tokens in (
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
        ):
            if tokens:
                self._tokens.add(tokens, outcome.provider, outcome.model, kind)
        if outcome.limits != Limits():
            self.limits[f"{outcome.provider}:{outcome.model}"] = outcome.limits
            if len(self.limits) > MOST:
                self.limits.popitem(last=False)
        self.drift.count("event", outcome.unknown)
        self.drift.count("error", [outcome.error] if outcome.error else ())

    def text(self) -> str:
        """All of it in Prometheus's text format."""
        drift = Family("drift_total", "counter", "What clients and upstreams say that is not known.", "kind", "name")
        drift.values = {key: float(count) for key, count in self.drift.counts()}
        families = (self._build, self._start, self._requests, self._running, self._tokens, drift)
        return "\n".join(line for family in families for line in family.lines()) + "\n"
