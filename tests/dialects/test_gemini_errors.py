"""Google's errors in the words and statuses that Claude Code acts on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from calls import body, call
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.dialects.gemini import DIALECT

if TYPE_CHECKING:
    from claude_code_proxy.wire.failure import Failed

FINAL = ((b"x-should-retry", b"false"),)


def google(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {
        "error": {"code": code, "message": message, "status": status, **({"details": list(details)} if details else {})}
    }


def told(error: dict[str, Any], *, listed: bool = False) -> Failed:
    raw = json.dumps([error] if listed else error).encode()
    return DIALECT.failure(call(body()), Answer(error["error"]["code"], {}), raw)


def reason(word: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word, "domain": "googleapis.com"}


def quota(ident: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": ident}]}


def wait(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


PLAN = "You exceeded your current quota, please check your plan and billing details."
ROWS: list[tuple[str, dict[str, Any], str, int, tuple[tuple[bytes, bytes], ...]]] = [
    ("a wrong key", google(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), "authentication_error", 401, FINAL),
    ("a token that is over", google(401, "UNAUTHENTICATED", "Expired.", reason("ACCESS_TOKEN_EXPIRED")), "authentication_error", 401, FINAL),
    ("a key that may not", google(403, "PERMISSION_DENIED", "Blocked.", reason("API_KEY_SERVICE_BLOCKED")), "permission_error", 403, FINAL),
    ("a country that may not", google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "permission_error", 403, FINAL),
    ("no billing", google(403, "PERMISSION_DENIED", "Enable it.", reason("BILLING_DISABLED")), "billing_error", 402, ()),
    ("too many requests", google(429, "RESOURCE_EXHAUSTED", PLAN, quota("GenerateRequestsPerMinutePerProjectPerModel"), wait("34.4s")), "rate_limit_error", 429, ((b"retry-after", b"35"),)),
    ("too many today", google(429, "RESOURCE_EXHAUSTED", PLAN, quota("GenerateRequestsPerDayPerProjectPerModel"), wait("34s")), "rate_limit_error", 429, ((b"retry-after", b"34"), *FINAL)),
    ("Vertex, too many", google(429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."), "rate_limit_error", 429, ()),
    ("overloaded", google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "overloaded_error", 529, ()),
    ("too slow", google(504, "DEADLINE_EXCEEDED", "Deadline expired."), "timeout_error", 504, ()),
    ("internal", google(500, "INTERNAL", "An internal error has occurred."), "api_error", 500, ()),
    ("no such model", google(404, "NOT_FOUND", "models/x is not found for API version v1beta."), "not_found_error", 404, ()),
    ("anything else", google(400, "INVALID_ARGUMENT", "Invalid JSON payload received."), "invalid_request_error", 400, ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind", "status", "headers"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
@pytest.mark.parametrize("listed", [False, True])
def test_errors(error: dict[str, Any], kind: str, status: int, headers: Any, *, listed: bool) -> None:
    failure = told(error, listed=listed)
    assert (failure.type, failure.status) == (kind, status)
    assert failure.message == error["error"]["message"]
    if kind != "billing_error":
        assert failure.headers == headers


SIZES = [
    ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", "prompt is too long: 1200000 tokens > 1048576 maximum"),
    ("The input token count exceeds the maximum number of tokens allowed 1048576.", "prompt is too long: The input token count exceeds the maximum number of tokens allowed 1048576."),
    ("Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 (inclusive) to 65537 (exclusive). Update the value and try again.",
     "max_tokens: 65537 > 65536, which is the maximum allowed number of output tokens for this model"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected"), SIZES)
def test_sizes(message: str, expected: str) -> None:
    failure = told(google(400, "INVALID_ARGUMENT", message))
    assert (failure.status, failure.message) == (400, expected)


REFUSED = [
    ("Corrupted thought signature.", "thinking_signature"),
    ("Function call is missing a thought_signature in functionCall parts.", "thinking_signature"),
    ("Invalid thoughtSignature", "thinking_signature"),
    ("Unsupported MIME type: image/gif", "image_block"),
    ("Unable to process input image. Please retry or report in the troubleshooting guide.", "image_block"),
    ("Provided image is not valid.", "image_block"),
    ("Cannot fetch content from the provided URL. Please ensure the URL is valid.", "image_block"),
    ("The document has no pages.", "document_block"),
    ("Unsupported MIME type: application/msword", "document_block"),
]


@pytest.mark.parametrize(("message", "what"), REFUSED)
def test_a_refused_thing_is_told_so_that_the_client_goes_on_without(message: str, what: str) -> None:
    failure = told(google(400, "INVALID_ARGUMENT", message))
    assert failure.message == f"capability_rejected: {what} ({message})"
    assert failure.type == "invalid_request_error"


def test_a_request_of_too_many_bytes_makes_the_client_compact() -> None:
    failure = told(google(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."))
    assert (failure.type, failure.status) == ("request_too_large", 413)
