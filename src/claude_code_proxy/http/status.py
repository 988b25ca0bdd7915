"""`GET /status` and `GET /metrics`: what the proxy has seen since its start, for people and for Prometheus.

Behind the same doors as the models: they tell which providers and models are used. Neither is in the log, since
whoever watches asks every few seconds.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import asdict

from claude_code_proxy import __version__
from claude_code_proxy.drift import stamp
from claude_code_proxy.http.asgi import every_header, merged, send_failure, send_whole
from claude_code_proxy.http.guard import admit
from claude_code_proxy.metrics import MEDIA_TYPE
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from claude_code_proxy.calibration import Calibration
    from claude_code_proxy.health import Health
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.settings import Settings

STATUS = "/status"
METRICS = "/metrics"


class Status:
    """Both endpoints; the path says which."""

    def __init__(self, settings: Settings, metrics: Metrics, calibration: Calibration, health: Health) -> None:
        self._settings, self._metrics, self._calibration, self._health = settings, metrics, calibration, health

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        del receive, pinned  # nothing in a body could matter
        request_id = f"req_{secrets.token_hex(12)}"
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
