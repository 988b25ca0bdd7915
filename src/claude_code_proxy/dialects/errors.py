"""HTTP errors of upstreams that are not Anthropic's, told the way Claude Code acts on.

The client compacts its history on `prompt is too long`, waits on 429 and 529, gives up on 401, 402 and
403, and ignores everything else it is told, so getting these right matters more than any other wording.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.dialects.limits import retold
from claude_code_proxy.wire.failure import STATUS, Failed, type_of
from claude_code_proxy.wire.json_text import digits, fields, items

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Answer, Call

_SIZE_STATUS: Final = frozenset({400, 413, 422})
"""The statuses that a refusal for size may have; anywhere else such words mean something else."""

_BILLING: Final = re.compile(
    r"insufficient_quota|insufficient (credits|balance)|billing|payment|exceeded your current quota",
    re.IGNORECASE,
)
_OVERLOADED: Final = re.compile(r"overloaded|no healthy upstream|loading model|capacity|server is busy", re.IGNORECASE)

_KEPT: Final = ("retry-after", "x-should-retry")


def failure(call: Call, answer: Answer, body: bytes) -> Failed:
    """What an HTTP error answer means; never an exception, whatever the body holds."""
    code, message = told(body)
    asked = digits(bytes(call.head.fields.get("max_tokens", b"")))
    return classified(
        answer.status,
        code,
        message or f"The upstream answered HTTP {answer.status}.",
        kept(answer),
        asked=asked or 0,
    )


def kept(answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an error answer that steer the client's retries."""
    return tuple((name.encode(), as_sent(answer.headers[name])) for name in _KEPT if name in answer.headers)


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
) -> Failed:
    """A failure from a status, the provider's own code or type for it, and its message.

    `asked` is the output limit that was asked for.
    """
    said = f"{code} {message}"
    if status in _SIZE_STATUS and (size := retold(message, code, asked)):
        return Failed("invalid_request_error", size, 400)
    if status in {402, 429} and _BILLING.search(said):
        return Failed("billing_error", message, 402, ((b"x-should-retry", b"false"),))
    if status in {500, 503} and _OVERLOADED.search(said):
        status = 529
    kind = type_of(status)
    if status in {401, 403}:  # the proxy's own key was refused: trying again cannot help
        headers = (*headers, (b"x-should-retry", b"false"))
    return Failed(kind, message, STATUS[kind] if kind != "api_error" else max(status, 500), headers)


def told(body: bytes) -> tuple[str, str]:
    """The code (or type) and the message in an error body of any shape seen in the wild; empty if there is none.

    `{"error":{"message","type","code"}}`, `{"error":"…"}`, `{"message"}`, `{"detail": "…" | [{"loc","msg"}]}`,
    problem+json's `{"title","detail"}`, a list of one of these, or plain text. HTML is not repeated.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[:2000].decode("utf-8", "replace").strip()
        return "", "" if text.startswith("<") else text[:500]
    if isinstance(content, list) and content:
        content = content[0]
    return told_in(content)


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
    detail = content.get("detail")
    if isinstance(detail, list):
        parts = [f"{'.'.join(map(str, items(d.get('loc'))))}: {d.get('msg')}" for d in detail if isinstance(d, dict)]
        return "", "; ".join(parts)
    words = [content.get(key) for key in ("message", "title", "detail")]
    return _code(content), ": ".join(str(word) for word in words if isinstance(word, str) and word)


def _code(error: dict[str, Any]) -> str:
    return " ".join(str(error[key]) for key in ("code", "type") if error.get(key))
