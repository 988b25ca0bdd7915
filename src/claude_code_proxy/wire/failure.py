"""What went wrong, in Anthropic's words: the error types, their statuses, and the envelope.

The table is the one that the Messages API documents and Claude Code acts on: 4xx types are final for it
(but 408, 409 and 429), 5xx types are tried again.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from msgspec import Struct

from claude_code_proxy.wire.json_text import fields, paired

STATUS: Final[dict[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "not_supported": 501,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status of each error type."""

_LONGEST: Final = 4000
"""Characters of a message that are shown; no provider's own is half as long."""

_WORDLESS: Final = "The upstream reported an error without saying which."
_STATUS: Final = re.compile(r"[45][0-9]{2}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

TYPE: Final[dict[int, str]] = {
    **{status: kind for kind, status in STATUS.items()},
    408: "timeout_error",
    502: "api_error",
    503: "overloaded_error",
}
"""The error type of each HTTP status that an upstream may answer."""


class Failed(Struct, frozen=True):
    """A request that came to nothing, or a reply that broke off.

    `status` is the HTTP status to answer while nothing has been sent; once a stream runs only `type` and
    `message` can be told. `headers` go with the answer (`retry-after`, `x-should-retry`, a native
    upstream's own). `body` replaces the envelope: a native upstream's error, byte for byte, because the
    client acts on its exact wording. `details` stand in the envelope's error, for clients that read them.
    `lasting`: it will not pass within seconds, so there is no sense in asking again at once. `unanswered`: the
    upstream broke off before it had said what is wrong.
    """

    type: str
    message: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    details: dict[str, Any] | None = None
    lasting: bool = False
    unanswered: bool = False


class ApiError(Exception):
    """Carries a `Failed` up to the edge, which answers with it."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def failed(kind: str, message: str, *, status: int | None = None, final: bool = False) -> Failed:
    """A failure of our own making.

    `status` defaults to that of the type. `final` asks the client not to try again, which it otherwise
    does for three minutes even after a 401.
    """
    headers = ((b"x-should-retry", b"false"),) if final else ()
    return Failed(kind, message, status or STATUS[kind], headers)


def error(kind: str, message: str, *, status: int | None = None, final: bool = False) -> ApiError:
    """The same, to be raised."""
    return ApiError(failed(kind, message, status=status, final=final))


INTERNAL: Final = failed("api_error", "The proxy made a mistake. Its log says which.")
"""What a client is told of an error of our own: enough to look further, nothing of what was asked."""


def type_of(status: int) -> str:
    """The error type for an upstream's HTTP status: exact, or that of its class."""
    return TYPE.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def from_error(body: object, status: int | None = None, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Failed:
    """The failure that an error body tells, in Anthropic's envelope or one like it.

    `status` is that of the HTTP answer; None for an error inside a stream, whose type then tells it, or its code.
    """
    told = fields(body).get("error")
    message = fields(told).get("message") or told or _WORDLESS
    named = fields(told).get("type")
    kind = named if isinstance(named, str) and named in STATUS else type_of(status or status_in(fields(told)) or 500)
    return Failed(kind, str(message), status or STATUS[kind], headers)


def status_in(error: dict[str, Any]) -> int:
    """The HTTP status that an error has for its `code`, as a number or in digits; 0 if there is none."""
    code = error.get("code")
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and _STATUS.fullmatch(code)) else 0
    return status if 400 <= status < 600 else 0


def envelope(failure: Failed, request_id: str) -> bytes:
    """The JSON body of an error answer."""
    if failure.body is not None:
        return failure.body
    return orjson.dumps({"type": "error", "error": _error(failure), "request_id": request_id})


def error_event(failure: Failed) -> bytes:
    """The server-sent event that ends a stream which broke off."""
    return b"event: error\ndata: %b\n\n" % orjson.dumps({"type": "error", "error": _error(failure)})


def _error(failure: Failed) -> dict[str, Any]:
    details = {} if failure.details is None else {"details": failure.details}
    return {"type": failure.type, "message": shown(failure.message) or _WORDLESS, **details}


def shown(message: str) -> str:
    """An upstream's words, fit for a terminal and for whoever reads them: no control characters, no flood."""
    text = _CONTROL.sub("", paired(message))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
