"""What is asked with GET and HEAD: who is there, and is it well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from claude_code_proxy.http.request_id import new_request_id
from claude_code_proxy.wire.failure import envelope, failed

if TYPE_CHECKING:
    from starlette.requests import Request

HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""The pages for whoever watches over the proxy."""

_GREETING: Final = {"message": "Claude Code Proxy"}


def _json(content: Any, status: int = 200) -> Response:
    headers = {"request-id": new_request_id()}
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


async def home(_: Request) -> Response:
    """What the seed's users check for."""
    return _json(_GREETING)


async def healthz(_: Request) -> Response:
    """The process answers."""
    return _json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """It takes requests: started, and not shutting down. What does not do well without keeping them is named."""
    state = request.app.state
    if not state.ready:
        raise HTTPException(503, "The proxy is not ready.")
    degraded = ["ledger"] if state.ledger and state.ledger.told().failing else []
    return _json({"status": "ready", **({"degraded": degraded} if degraded else {})})


async def elsewhere(request: Request) -> Response:
    """Clients probe any base URL with HEAD before they use it; nothing else is here."""
    if request.method == "HEAD":
        return Response(status_code=200, headers={"request-id": new_request_id()})
    raise HTTPException(404, f"There is nothing at {request.url.path[:200]}.")


async def refused(_: Request, cause: Exception) -> Response:
    """Starlette's own errors, in Anthropic's envelope."""
    status, message, headers = 500, "The proxy made a mistake. Its log says which.", {}
    if isinstance(cause, HTTPException):
        status, message, headers = cause.status_code, cause.detail, dict(cause.headers or {})
    kind = {404: "not_found_error", 405: "invalid_request_error", 503: "overloaded_error"}.get(status, "api_error")
    request_id = new_request_id()
    body = envelope(failed(kind, message, status=status), request_id)
    return Response(body, status, {**headers, "request-id": request_id}, media_type="application/json")


ROUTES: Final = (
    Route("/", home),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/{path:path}", elsewhere, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
)
