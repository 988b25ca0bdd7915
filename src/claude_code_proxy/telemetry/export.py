"""What OpenTelemetry is told of requests that are over, made beside the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from claude_code_proxy import __version__
from claude_code_proxy.telemetry import METRICS, TRACES, conventions
from claude_code_proxy.telemetry.complaints import Complaints
from claude_code_proxy.telemetry.points import Reader
from claude_code_proxy.telemetry.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from claude_code_proxy.metrics import Outcome

LAST: Final = 3.0
"""Seconds in which a collector must take what is left when the proxy stops."""

_HOPELESS: Final = 0.5
"""The same for one that took nothing the last time."""

_PAUSE: Final = 0.5
"""Seconds after which waiting requests are told of at the latest."""

_PORTION: Final = 128
"""Waiting requests that are told of at once: some two milliseconds of work, in which the event loop stands still."""

_MOST_WAITING: Final = 10_000
"""Requests that wait to be told of; beyond that the oldest are not."""

_NAME: Final = "claude-code-proxy"
_UNNAMED: Final = "unknown_service"


class Export:
    """What a collector is told of requests. Raises `ValueError` or `OSError` for variables that the SDK cannot use."""

    def __init__(self, wanted: AbstractSet[str]) -> None:
        complaints = self._complaints = Complaints()
        resource, scope = _resource(), InstrumentationScope(_NAME, __version__)
        told: list[Spans | Reader] = []
        if TRACES in wanted:
            told.append(Spans(resource, scope, complaints))
        if METRICS in wanted:
            told.append(Reader(resource, scope, complaints))
        self._adds, self._ends = [one.add for one in told], [one.shutdown for one in told]
        self._waiting: deque[Outcome] = deque(maxlen=_MOST_WAITING)
        self._over = False
        self._due = threading.Event()
        self._worker = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._worker.start()

    def ended(self, outcome: Outcome) -> None:
        """A request is over. It is only queued: what is told of it is made beside the event loop."""
        if outcome.endpoint == conventions.ENDPOINT:
            self._waiting.append(outcome)
            if len(self._waiting) == _PORTION:
                self._due.set()

    def _work(self) -> None:
        while not self._over or self._waiting:
            self._due.wait(_PAUSE)
            self._due.clear()
            while self._waiting:
                outcome = self._waiting.popleft()
                for add in self._adds:
                    add(outcome)

    def close(self) -> None:
        """Send what is left, as far as the collector takes it in time: its threads end with the process."""
        self._over = True
        self._due.set()
        self._worker.join(LAST)
        threads = [threading.Thread(target=end, daemon=True) for end in self._ends]
        for thread in threads:
            thread.start()
        by = time.monotonic() + (_HOPELESS if self._complaints.failing else LAST)
        for thread in threads:
            thread.join(max(0.0, by - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            logging.getLogger(__name__).warning("The OpenTelemetry collector did not take what was left in time.")


def _resource() -> Resource:
    """Who tells: named by OpenTelemetry's own variables, else by us."""
    told = Resource.create({"service.version": __version__})
    unnamed = str(told.attributes.get("service.name", _UNNAMED)).startswith(_UNNAMED)
    return told.merge(Resource({"service.name": _NAME})) if unnamed else told
