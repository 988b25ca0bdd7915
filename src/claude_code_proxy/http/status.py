"""`GET /status` and `GET /metrics`: what the proxy has seen since its start, for people and for Prometheus.

Behind the same doors as the models: they tell which providers and models are used. Neither is in the log, since
whoever watches asks every few seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec.structs import asdict

from claude_code_proxy import __version__
from claude_code_proxy.drift import stamp
from claude_code_proxy.exposition import MEDIA_TYPE, Family
from claude_code_proxy.http.asgi import every_header, merged, send_failure, send_whole
from claude_code_proxy.http.guard import admit
from claude_code_proxy.http.request_id import new_request_id
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from claude_code_proxy.calibration import Calibration
    from claude_code_proxy.health import Health
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.ledger.writer import Ledger
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.settings import Settings

STATUS = "/status"
METRICS = "/metrics"

_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}


class Status:
    """Both endpoints; the path says which."""

    def __init__(self, settings: Settings, metrics: Metrics, calibration: Calibration, health: Health) -> None:
        self._settings, self._metrics, self._calibration, self._health = settings, metrics, calibration, health

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        del receive, pinned  # nothing in a body could matter
        request_id = new_request_id()
        try:
            admit(every_header(scope), self._settings)
        except ApiError as cause:
            await send_failure(send, cause.failed, request_id)
            return
        headers = merged([(b"cache-control", b"no-store")], (), request_id)
        if scope["path"] == METRICS:
            await send_whole(send, 200, self._metrics.text().encode(), headers, MEDIA_TYPE)
            return
        await send_whole(send, 200, orjson.dumps(self.told()), headers)

    def told(self) -> dict[str, Any]:
        """What `/status` tells. `requests` are those of every endpoint but these two; times are in UTC."""
        metrics = self._metrics
        return {
            "version": __version__,
            "started": stamp(metrics.started),
            "requests": metrics.requests,
            "running": metrics.running,
            "clients": metrics.drift.clients.told(),
            "drift": metrics.drift.told(),
            "calibration": {
                target: {"ratio": round(factor.mean, 4), "spread": round(factor.spread, 4), "replies": factor.replies}
                for target, factor in self._calibration.factors()
            },
            "limits": {
                target: {"context": limits.context, "max_output": limits.max_output}
                for target, limits in metrics.limits.items()
            },
            "breakers": self._health.told(),
            "ledger": metrics.ledger and asdict(metrics.ledger.told()),
        }


def breaker_states(health: Health) -> list[Family]:
    """The breakers of targets that have failed of late, as a metric."""
    states = Family("breaker_state", "gauge", "Breakers: 0 closed, 1 half-open, 2 open.", "target")
    for target, held in health.told()["targets"].items():
        states.add(_STATES[held["state"]], target)
    return [states]


def ledger_rows(ledger: Ledger) -> list[Family]:
    """How the ledger does, as a metric."""
    rows = Family("ledger_rows", "gauge", "Rows of the ledger since the start, by what became of them.", "state")
    told = ledger.told()
    for state, count in (("written", told.written), ("waiting", told.waiting), ("lost", told.lost)):
        rows.add(count, state)
    return [rows]
