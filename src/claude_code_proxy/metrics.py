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
from claude_code_proxy.drift import Drift
from claude_code_proxy.exposition import MOST, OTHER, Family, Histogram
from claude_code_proxy.tables import Limits
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from claude_code_proxy.ledger.writer import Ledger

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
"""Bounds of the histograms: from an error of ours to an answer that thinks for ten minutes."""

_WORKED: Final = "ok"
_UNKNOWN: Final = Limits()


class Outcome(Struct, frozen=True, gc=False):
    """What became of a request, known when its answer has ended.

    `status` is the HTTP status that was sent or, for a client that left, 499. `error` is the type of the failure,
    empty if there was none. `unknown` are kinds of the upstream's events that were passed over. `limits` are the
    model's, as far as they are known.

    `seconds` is how long it took, `first` until the answer began (None: it did not), `began` when, since 1970. `cost`
    is in US dollars (None: not known). `routed` is the target that was chosen, which others may have stood in for;
    `tried` are all attempts, each ending in `: ` and its status or `ok`. `base_url` is the provider's. `client_model`,
    `session` and `trace` (a `traceparent`) are what the client sent.
    """

    endpoint: str
    provider: str = ""
    model: str = ""
    status: int = 0
    error: str = ""
    usage: Usage = Usage()
    unknown: Collection[str] = ()
    limits: Limits = Limits()
    seconds: float = 0
    first: float | None = None
    cost: float | None = None
    request_id: str = ""
    session: str = ""
    client_model: str = ""
    routed: str = ""
    tried: tuple[str, ...] = ()
    stop: str = ""
    stream: bool = False
    began: float = 0
    trace: str = ""
    base_url: str = ""

    @property
    def kind(self) -> str:
        """The error as a label: an upstream's own word is none."""
        return self.error if not self.error or self.error in STATUS else OTHER


class Metrics:
    """The counts since the start. `clock`: seconds since 1970. The `ledger` keeps each request, where there is one."""

    def __init__(self, clock: Callable[[], float] = time.time, ledger: Ledger | None = None) -> None:
        self.ledger = ledger
        self.drift = Drift(clock)
        self.started = clock()
        self.limits: OrderedDict[str, Limits] = OrderedDict()
        self._sources: list[Callable[[], Iterable[Family]]] = []
        self._listeners: list[Callable[[Outcome], None]] = []
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
        self._cost = Family(
            *("cost_usd_total", "counter", "What it cost in US dollars, where that is known."),
            *("provider", "model"),
        )
        self._attempts = Family(
            *("attempts_total", "counter", "Attempts to have a request answered, by what came of them."),
            *("provider", "status"),
        )
        self._fallbacks = Family(
            *("fallbacks_total", "counter", "Answers of another target than the one that was chosen."),
            *("from", "to"),
        )
        self._duration = Histogram(
            *("request_duration_seconds", "From a request to the end of its answer."),
            *("endpoint", "provider", "model"),
            bounds=SECONDS,
        )
        self._first = Histogram(
            *("time_to_first_token_seconds", "From a request to the first bytes of its answer."),
            *("provider", "model"),
            bounds=SECONDS,
        )

    @property
    def requests(self) -> int:
        """Requests that were answered."""
        return int(sum(self._requests.values.values()))

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return int(sum(self._running.values.values()))

    def add_source(self, source: Callable[[], Iterable[Family]]) -> None:
        """Let others tell metrics of theirs: they are asked each time the text is made."""
        self._sources.append(source)

    def listen(self, listener: Callable[[Outcome], None]) -> None:
        """Have each outcome told to this, which must neither wait nor raise."""
        self._listeners.append(listener)

    def began(self, endpoint: str) -> None:
        """A request came. `ended` must follow."""
        self._running.add(1, endpoint)

    def ended(self, outcome: Outcome) -> None:
        """Its answer has ended, well or badly."""
        self._running.add(-1, outcome.endpoint)
        provider, model = outcome.provider, outcome.model
        self._requests.add(1, outcome.endpoint, provider, str(outcome.status), outcome.kind)
        self._duration.observe(outcome.seconds, outcome.endpoint, provider, model)
        if outcome.first is not None:
            self._first.observe(outcome.first, provider, model)
        usage = outcome.usage
        for kind, tokens in (
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
        ):
            if tokens:
                self._tokens.add(tokens, provider, model, kind)
        if outcome.cost is not None:
            self._cost.add(outcome.cost, provider, model)
        self._tried(outcome)
        if outcome.limits != _UNKNOWN:
            self.limits[f"{provider}:{model}"] = outcome.limits
            if len(self.limits) > MOST:
                self.limits.popitem(last=False)
        self.drift.count("event", outcome.unknown)
        self.drift.count("error", [outcome.error] if outcome.error else ())
        for listener in self._listeners:
            listener(outcome)

    def _tried(self, outcome: Outcome) -> None:
        status = ""
        for attempt in outcome.tried:
            status = attempt.rpartition(": ")[2]
            self._attempts.add(1, attempt.partition(":")[0], status)
        answered = f"{outcome.provider}:{outcome.model}"
        if status == _WORKED and outcome.routed != answered:
            self._fallbacks.add(1, outcome.routed, answered)

    def families(self) -> Iterable[Family]:
        """All metrics."""
        drift = Family("drift_total", "counter", "What clients and upstreams say that is not known.", "kind", "name")
        drift.values = {key: float(count) for key, count in self.drift.counts()}
        yield from (self._build, self._start, self._requests, self._running, self._duration, self._first)
        yield from (self._tokens, self._cost, self._attempts, self._fallbacks, drift)
        for source in self._sources:
            yield from source()

    def text(self) -> str:
        """All of it in Prometheus's text format."""
        return "\n".join(line for family in self.families() for line in family.lines()) + "\n"
