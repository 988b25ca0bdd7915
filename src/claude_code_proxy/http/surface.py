"""Paths to endpoints. The two that carry the traffic are reached without a framework in between."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from claude_code_proxy.hosts import Here
from claude_code_proxy.http.access import Record
from claude_code_proxy.http.edge import answered
from claude_code_proxy.http.guard import keep_private
from claude_code_proxy.http.origin import keep_out
from claude_code_proxy.http.pages import HEALTH
from claude_code_proxy.http.status import METRICS, STATUS
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.wire.failure import ApiError, Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.applications import Starlette

    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.http.drain import Drain
    from claude_code_proxy.http.passage import Passage
    from claude_code_proxy.settings import Settings

    Endpoint = Callable[[Scope, Receive, Send, str], Awaitable[None]]

COUNT_TOKENS: Final = "/v1/messages/count_tokens"
MESSAGES: Final = "/v1/messages"
MODELS: Final = "/v1/models"
DASHBOARD: Final = "/dashboard"

_METHODS: Final = {MESSAGES: "POST", COUNT_TOKENS: "POST", MODELS: "GET", STATUS: "GET", METRICS: "GET"}
"""The one method of each endpoint; one that is not here has several."""


@lru_cache(64)
def split(path: str) -> tuple[str, str] | None:
    """A path into what pins the model (`provider:model`, or empty) and the endpoint; None for other paths.

    Doubled and trailing slashes, and the `/v1` of a base URL that was given with one, mean nothing.
    """
    if path in {STATUS, METRICS}:
        return "", path
    path = path.rstrip("/")
    for endpoint in (MESSAGES, COUNT_TOKENS):
        if path.endswith(endpoint):
            return _pin(path[: -len(endpoint)]), endpoint
    before, found, after = path.partition(MODELS)
    if found and (not after or after.startswith("/")):  # the id of a model may follow
        return _pin(before), MODELS
    if path == DASHBOARD or path.startswith(f"{DASHBOARD}/"):
        return "", DASHBOARD
    return None


def _pin(path: str) -> str:
    pinned = path.strip("/")
    return "" if pinned == "v1" else pinned.removesuffix("/v1").rstrip("/")


class Surface:
    """The ASGI application: endpoints by path, other paths of providers whose paths pass, and pages."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Mapping[str, Endpoint],
        passage: Passage,
        pages: Starlette,
        metrics: Metrics | None = None,
        *,
        drain: Drain | None = None,
        here: Here | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self.settings, self._endpoints, self._passage, self._pages = settings, endpoints, passage, pages
        self._drain, self._here = drain, here or Here()

    def use(self, settings: Settings, endpoints: Mapping[str, Endpoint], passage: Passage) -> None:
        """Let these serve from now on; what the others have begun they end."""
        self.settings, self._endpoints, self._passage = settings, endpoints, passage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        self._here.reached(scope.get("server"))
        if scope["path"] not in HEALTH:  # which whoever watches the proxy asks for under any name
            try:
                keep_out(scope, self.settings)
                keep_private(scope, self.settings)
                if self._drain:
                    self._drain.check()
            except ApiError as cause:
                await answered(_fail(cause), send, Record(scope, self._metrics))
                return
        asked = scope["method"] != "HEAD"
        place = split(scope["path"]) if asked else None
        if asked and (place is None or place[1] == MODELS) and (way := self._passage.way(scope)):
            self._metrics.drift.endpoint(scope["method"], way.path)
            await self._passage(scope, receive, send, way)
            return
        if place is None:
            self._metrics.drift.endpoint(scope["method"], scope["path"])
            await self._pages(scope, receive, send)
            return
        pinned, endpoint = place
        if scope["method"] != (method := _METHODS.get(endpoint, str(scope["method"]))):
            refusal = Failed("invalid_request_error", f"Use {method} here.", 405, ((b"allow", method.encode()),))
            await answered(_fail(ApiError(refusal)), send, Record(scope, self._metrics))
            return
        await self._endpoints[endpoint](scope, receive, send, pinned)


async def _fail(cause: ApiError) -> None:
    raise cause
