"""HTTP errors of upstreams that are not Anthropic's, told the way Claude Code acts on.

The client compacts its history on `prompt is too long`, waits on 429 and 529, gives up on 401, 402 and
403, and ignores everything else it is told, so getting these right matters more than any other wording.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.dialects.limits import retold
from claude_code_proxy.dialects.retry import retry_after
from claude_code_proxy.wire.failure import STATUS, Failed, type_of
from claude_code_proxy.wire.json_text import digits, fields, items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_code_proxy.dialects.base import Answer, Call

_SIZE_STATUS: Final = frozenset({0, 400, 413, 422})
"""The statuses that a refusal for size may have; anywhere else such words mean something else."""

_BILLING: Final = re.compile(
    r"insufficient_quota|insufficient (credits|balance)|billing|payment|exceeded your current quota",
    re.IGNORECASE,
)
_OVERLOADED: Final = re.compile(r"overloaded|no healthy upstream|loading model|capacity|server is busy", re.IGNORECASE)

_PAYLOAD: Final = re.compile(r"request payload size exceeds|payload too large|request entity too large", re.IGNORECASE)
_MODERATED: Final = re.compile(r"flagged|moderation|content.?(policy|filter)", re.IGNORECASE)
_DAILY: Final = re.compile(rb"per[-_ ]?day|for the day|daily", re.IGNORECASE)
_FINAL: Final = ((b"x-should-retry", b"false"),)

_REASONS: Final[dict[str, int]] = {
    "API_KEY_INVALID": 401,
    "ACCESS_TOKEN_EXPIRED": 401,
    "CREDENTIALS_MISSING": 401,
    "API_KEY_SERVICE_BLOCKED": 403,
    "CONSUMER_INVALID": 403,
    "SERVICE_DISABLED": 403,
    "BILLING_DISABLED": 402,
}
"""The status that a reason in Google's ErrorInfo stands for: an invalid key is a 400 there (google.rpc, 2026)."""

_PRECONDITION: Final = "FAILED_PRECONDITION"
"""Google's word, with a 400, for an account or a country that may not: nothing in the request would change it."""

_STATUS_OF: Final[dict[str, int]] = {
    "invalid_request_error": 400,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "badrequesterror": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "image_content_policy_violation": 400,
    "bio_policy": 400,
    "cyber_policy": 400,
    "misalignment_policy_violation": 400,
    "data_residency_mismatch": 400,
    "failed_to_download_image": 400,
    "image_file_not_found": 400,
    "image_file_too_large": 400,
    "image_parse_error": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "empty_image_file": 400,
    "invalid_base64_image": 400,
    "invalid_image": 400,
    "invalid_image_format": 400,
    "invalid_image_mode": 400,
    "invalid_image_url": 400,
    "unsupported_image_media_type": 400,
    "invalid_encrypted_content": 400,
    "authentication_error": 401,
    "authentication": 401,
    "invalid_api_key": 401,
    "payment_required": 402,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "model_not_found": 404,
    "payload_too_large": 413,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "server_error": 502,
    "provider_unavailable": 502,
    "timeout": 504,
    "vector_store_timeout": 504,
    "overloaded_error": 529,
    "provider_overloaded": 529,
    "server_is_overloaded": 529,
    "slow_down": 529,
    "capacity_exceeded": 529,
    "invalid_argument": 400,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "internal": 500,
    "unavailable": 529,
    "deadline_exceeded": 504,
}
"""The HTTP status that a code or type stands for, in an error that comes without one (wire.md §5.4, §10.1)."""


def failure(call: Call, answer: Answer, body: bytes) -> Failed:
    """What an HTTP error answer means; never an exception, whatever the body holds."""
    content = _parsed(body)
    code, message = told(body)
    asked = digits(bytes(call.head.fields.get("max_tokens", b""))) or 0
    headers = tuple((name, as_sent(value)) for name, value in _steering(answer, content))
    if answer.status == 429 and _DAILY.search(body):
        headers = (*headers, *_FINAL)
    words = message or f"The upstream answered HTTP {answer.status}."
    return classified(_google(answer.status, content), code, words, headers, asked=asked, limited=_limited(content))


def is_size(status: int, message: str) -> bool:
    """Whether an error says, in whatever words, that more was asked for than there is room for."""
    return status in _SIZE_STATUS and retold(message, "", 0) is not None


def failure_inside(holder: dict[str, Any]) -> Failed:
    """What an error means that stands in a chunk or body which came with HTTP 200."""
    code, message = told_in(holder)
    error = fields(holder.get("error"))
    named = [error.get("code"), error.get("type"), fields(error.get("metadata")).get("error_type"), error.get("status")]
    status = next((found for name in named if (found := _status(name))), 0)
    seconds = retry_after({}, holder)
    headers = () if seconds is None else ((b"retry-after", b"%d" % seconds),)
    words = message or "The upstream reported an error."
    return classified(_google(status, holder), code, words, headers, limited=_limited(holder))


def _google(status: int, content: Any) -> int:
    """The status of an error of Google's, whose details say more than the status that it comes with."""
    error = fields(fields(content).get("error"))
    reasons = (fields(one).get("reason") for one in items(error.get("details")))
    told = next((_REASONS[reason] for reason in reasons if isinstance(reason, str) and reason in _REASONS), 0)
    return told or (403 if status == 400 and error.get("status") == _PRECONDITION else status)


def _limited(content: Any) -> bool:
    """Whether an error names a limit that is full for a while: Google's words for that are those for no credit."""
    details = items(fields(fields(content).get("error")).get("details"))
    return any("retryDelay" in fields(one) or "violations" in fields(one) for one in details)


def _status(name: object) -> int:
    status = name if isinstance(name, int) else digits(name) if isinstance(name, str) else None
    if status is not None:
        return status if 400 <= status < 600 else 0
    return _STATUS_OF.get(str(name).lower(), 0)


def _steering(answer: Answer, content: Any) -> Iterator[tuple[bytes, str]]:
    """The headers that steer the client's retries."""
    seconds = retry_after(answer.headers, content)
    if seconds is not None:
        yield b"retry-after", str(seconds)
    if "x-should-retry" in answer.headers:
        yield b"x-should-retry", answer.headers["x-should-retry"]


def kept(answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a native error that are handed on as they are."""
    names = ("retry-after", "x-should-retry")
    return tuple((name.encode(), as_sent(answer.headers[name])) for name in names if name in answer.headers)


def as_sent(value: str) -> bytes:
    """A header's value in the bytes it came in."""
    return value.encode("utf-8", "surrogateescape")


def classified(
    status: int,
    code: str,
    message: str,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    *,
    asked: int = 0,
    limited: bool = False,
) -> Failed:
    """A failure from a status (0: none is known), the provider's own code or type for it, and its message.

    `asked` is the output limit that was asked for. `limited`: a 429 is about a limit, whatever its words say.
    """
    said = f"{code} {message}"
    if status in _SIZE_STATUS and (size := retold(message, code, asked)):
        return Failed("invalid_request_error", size, 400)
    if status == 400 and _PAYLOAD.search(said):
        return Failed("request_too_large", message, 413)
    if status in {402, 429} and not limited and _BILLING.search(said):
        return Failed("billing_error", message, 402, _FINAL)
    if status == 403 and _MODERATED.search(said):  # of the prompt, not of the user
        return Failed("invalid_request_error", message, 400)
    if status == 498 or (status in {0, 500, 503} and _OVERLOADED.search(said)):
        status = 529
    if status < 400:  # none, or one that is no error
        status = 502
    kind = type_of(status)
    if status in {401, 403}:  # the proxy's own key was refused: trying again cannot help
        headers = (*headers, *_FINAL)
    return Failed(kind, message, STATUS[kind] if kind != "api_error" else max(status, 500), headers)


def told(body: bytes) -> tuple[str, str]:
    """The code (or type) and the message in an error body of any shape seen in the wild; empty if there is none.

    `{"error":{"message","type","code"}}`, `{"error":"…"}`, `{"message"}`, `{"detail": "…" | [{"loc","msg"}]}`,
    problem+json's `{"title","detail"}`, a list of one of these, or plain text. HTML is not repeated.
    """
    content = _parsed(body)
    if content is None:
        text = body[:2000].decode("utf-8", "replace").strip()
        return "", "" if text.startswith("<") else text[:500]
    return told_in(content)


def _parsed(body: bytes) -> Any:
    """The body as a value; of a list, which is how Google wraps its errors, the first; None if it is no JSON."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(content, list) and content:
        content = content[0]
    return {} if content is None else content


def told_in(content: Any) -> tuple[str, str]:
    """The same of a body that is parsed already."""
    if not isinstance(content, dict):
        return "", content if isinstance(content, str) else ""
    error = content.get("error")
    if isinstance(error, dict):
        code = _code(error)
        raw = fields(error.get("metadata")).get("raw")  # OpenRouter: the provider's own words
        return code, ": ".join(str(word) for word in (error.get("message") or code, raw) if word)
    if isinstance(error, str):
        return _code(content), str(content.get("message") or error)
    if base := fields(content.get("base_resp")):  # MiniMax
        return str(base.get("status_code") or ""), str(base.get("status_msg") or "")
    detail = content.get("detail") or fields(content.get("message")).get("detail")
    if isinstance(detail, list):
        parts = [f"{'.'.join(map(str, items(d.get('loc'))))}: {d.get('msg')}" for d in detail if isinstance(d, dict)]
        return "", "; ".join(parts)
    words = [content.get(key) for key in ("message", "title", "detail")]
    return _code(content), ": ".join(str(word) for word in words if isinstance(word, str) and word)


def _code(error: dict[str, Any]) -> str:
    return " ".join(str(error[key]) for key in ("code", "type") if error.get(key))
