"""HTTP errors of upstreams that are not Anthropic's, told the way Claude Code acts on.

The client compacts its history on `prompt is too long`, waits on 429 and 529, gives up on 401, 402 and
403, and ignores everything else it is told, so getting these right matters more than any other wording.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.wire.failure import STATUS, Failed, type_of
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Answer

_OVERFLOW: Final = re.compile(
    r"""context_length_exceeded | maximum\ context\ length | model's\ maximum\ context\ limit
    | reduce\ the\ length\ of\ the\ (messages|prompt|input) | exceeds?\ (the\ )?(available\ )?context
    | exceeds?\ (the\ )?model('s)?\ context | exceeds\ the\ context\ window | exceed\ context\ limit
    | longer\ than\ the\ (maximum\ )?(model's\ )?(maximum\ )?(context\ )?length | exceed_context_size_error
    | input\ tokens\ exceed | inputs`?\ tokens\ \+\ `?max_new_tokens | exceeds\ the\ maximum\ number\ of\ tokens
    | input\ token\ count | current\ length\ is\ \d+\ while\ limit | maximum\ input\ length\ is
    | maximum\ prompt\ length | input\ (is\ )?too\ long | prompt\ is\ too\ long | prompt\ exceeds\ max\ length
    | range\ of\ input\ length\ should\ be | exceeded\ model\ token\ limit | context\ window\ exceeds\ limit
    | requested\ token\ count\ exceeds | input\ length\ exceeds\ the\ context | too\ large\ for\ model\ with
    | prompt\ is\ longer\ than\ the\ context""",
    re.IGNORECASE | re.VERBOSE,
)
"""Wordings for a prompt that does not fit the model's window; only 400, 413 and 422 are looked at."""

_OVERFLOW_STATUS: Final = frozenset({400, 413, 422})
_NOT_OVERFLOW: Final = re.compile(r"string_above_max_length|max_tokens.{0,40}(is too large|must be)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<![\w.])\d[\d,]{2,}(?![\w.]*\w)")
_BILLING: Final = re.compile(
    r"insufficient_quota|insufficient (credits|balance)|billing|payment|exceeded your current quota",
    re.IGNORECASE,
)
_OVERLOADED: Final = re.compile(r"overloaded|no healthy upstream|loading model|capacity|server is busy", re.IGNORECASE)

_KEPT: Final = ("retry-after", "x-should-retry")


def failure(answer: Answer, body: bytes) -> Failed:
    """What an HTTP error answer means; never an exception, whatever the body holds."""
    code, message = told(body)
    return classified(answer.status, code, message or f"The upstream answered HTTP {answer.status}.", kept(answer))


def kept(answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an error answer that steer the client's retries."""
    return tuple((name.encode(), answer.headers[name].encode()) for name in _KEPT if name in answer.headers)


def classified(status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Failed:
    """A failure from a status, the provider's own code or type for it, and its message."""
    said = f"{code} {message}"
    if status in _OVERFLOW_STATUS and _OVERFLOW.search(said) and not _NOT_OVERFLOW.search(said):
        return Failed("invalid_request_error", _too_long(message), 400)
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
        parts = [f"{'.'.join(map(str, d.get('loc', ())))}: {d.get('msg')}" for d in detail if isinstance(d, dict)]
        return "", "; ".join(parts)
    words = [content.get(key) for key in ("message", "title", "detail")]
    return _code(content), ": ".join(str(word) for word in words if isinstance(word, str) and word)


def _code(error: dict[str, Any]) -> str:
    return " ".join(str(error[key]) for key in ("code", "type") if error.get(key))


def _too_long(message: str) -> str:
    """The wording that makes Claude Code compact; with both numbers it knows by how much."""
    if message.lower().startswith("prompt is too long"):
        return message
    numbers = sorted({int(found.replace(",", "")) for found in _NUMBER.findall(message)})
    if len(numbers) < 2:
        return f"prompt is too long: {message}"
    limit, asked = (numbers[0], numbers[-1]) if len(numbers) == 2 else _limit_and_prompt(message, numbers)
    return f"prompt is too long: {asked} tokens > {limit} maximum ({message})"


def _limit_and_prompt(message: str, numbers: list[int]) -> tuple[int, int]:
    """Of three or more numbers: the one named a limit or maximum, and the largest above it."""
    found = re.search(r"(?:maximum|limit|window|length)[^\d]{0,40}(\d[\d,]{2,})", message, re.IGNORECASE)
    limit = int(found.group(1).replace(",", "")) if found else numbers[0]
    return limit, max(numbers)
