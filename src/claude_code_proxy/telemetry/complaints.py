"""What is said when a collector takes nothing: once, and without what the SDK would repeat of its headers."""

from __future__ import annotations

import logging
from typing import Final

LOUD: Final = "opentelemetry"
"""The parent of the SDK's loggers, which tell of each failed attempt anew."""

_SENDERS: Final = frozenset({"trace_exporter", "metric_exporter"})
"""The last names of the loggers that tell what came of sending."""

_STATUSES: Final = range(100, 600)

_log = logging.getLogger(__name__)


class Complaints(logging.Handler):
    """Stands in for the SDK's own log.

    It shows a warning once, as it is written in the SDK: what would be filled in may hold a key. `failing` are the
    signals that were not taken the last time.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.failing: set[str] = set()
        self._shown: set[str] = set()
        self._reason = ""
        loud = logging.getLogger(LOUD)
        loud.handlers, loud.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep why an export failed, for `sent`; show the rest."""
        if record.name.rpartition(".")[2] in _SENDERS:
            self._reason = _reason(record) or self._reason
        elif record.msg not in self._shown:
            self._shown.add(record.msg)
            _log.warning("OpenTelemetry: %s", record.msg)

    def sent(self, signal: str, *, taken: bool) -> None:
        """Traces or metrics were sent: tell when that fails for the first time, and when it works again."""
        if not taken and signal not in self.failing:
            self.failing.add(signal)
            _log.warning(
                "The OpenTelemetry collector does not take %s%s. Requests are not affected.", signal, self._reason
            )
        elif taken and signal in self.failing:
            self.failing.remove(signal)
            _log.info("The OpenTelemetry collector takes %s again.", signal)


def _reason(record: logging.LogRecord) -> str:
    """The status or the kind of error in a record; texts may hold more than that."""
    held = record.args if isinstance(record.args, tuple) else ()
    told = [
        f"HTTP {one}" if isinstance(one, int) else type(one).__name__
        for one in held
        if isinstance(one, BaseException) or one in _STATUSES
    ]
    return f" ({told[0]})" if told else ""
