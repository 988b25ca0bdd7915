"""Errors in the shapes that providers give them, and what the client must be told of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upstreams import Http

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOGLE = "type.googleapis.com/google.rpc."
FINAL = {"x-should-retry": "false"}
HTML = b"<!DOCTYPE html>\n<html><head><title>Oops</title></head><body>nginx</body></html>"


def openai(message: str, code: Any = None, kind: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def google(status: str, message: str, *details: Mapping[str, Any]) -> list[Any]:
    return [{"error": {"code": 400, "message": message, "status": status, "details": list(details)}}]


@dataclass(frozen=True)
class Told:
    """What the client must be told of an answer: `words` stand in the message, None is a header that is not sent."""

    status: int
    kind: str
    words: str = ""
    headers: Mapping[str, str | None] = field(default_factory=dict)


KEY = Told(401, "authentication_error", "Wrong key", FINAL)
NO_MONEY = Told(402, "billing_error", "money", FINAL)
BAD = Told(400, "invalid_request_error", "Odd")
MISSING = Told(404, "not_found_error", "nowhere")
BUSY = Told(529, "overloaded_error", "busy")
BROKEN = Told(500, "api_error", "broke")
SLOW = Told(429, "rate_limit_error", "Slow")
DAILY = Told(429, "rate_limit_error", "day", FINAL)


def waiting(seconds: str | None) -> Told:
    return Told(429, "rate_limit_error", "Slow", {"retry-after": seconds})


CASES: dict[str, tuple[Http, Told]] = {
    "400": (Http(400, openai("Odd.", "unsupported_value", "invalid_request_error")), BAD),
    "400 as a string": (Http(400, {"error": "Odd."}), BAD),
    "400 as plain text": (Http(400, "Odd."), BAD),
    "400 as a problem": (
        Http(400, b'{"title":"Odd","detail":"Very."}', {"content-type": "application/problem+json"}),
        BAD,
    ),
    "400 from Gemini": (Http(400, google("INVALID_ARGUMENT", "Odd.")), BAD),
    "400 without words": (Http(400, {}), Told(400, "invalid_request_error", "400")),
    "400 in HTML": (Http(400, HTML, {"content-type": "text/html"}), Told(400, "invalid_request_error", "400")),
    "400 of a name that is long": (
        Http(400, openai("Odd: 'user' has a maximum length of 64, got 150.", "string_above_max_length")),
        BAD,
    ),
    "401": (Http(401, openai("Wrong key.", "invalid_api_key")), KEY),
    "401 as a string": (Http(401, {"error": "Wrong key"}), KEY),
    "401 from FastAPI": (Http(401, {"detail": "Wrong key"}), KEY),
    "401 from a gateway": (Http(401, {"status": 401, "title": "Unauthorized", "detail": "Wrong key"}), KEY),
    "401 without a body": (Http(401), Told(401, "authentication_error", "401", FINAL)),
    "402 from OpenRouter": (Http(402, openai("No money left.", 402)), Told(402, "billing_error", "money")),
    "402 from DeepSeek": (
        Http(402, openai("Insufficient Balance", "invalid_request_error", "unknown_error")),
        Told(402, "billing_error", "Insufficient Balance"),
    ),
    "403": (Http(403, openai("Not here.", "unsupported_country")), Told(403, "permission_error", "Not here.", FINAL)),
    "403 in HTML": (Http(403, HTML), Told(403, "permission_error", "403", FINAL)),
    "404": (Http(404, openai("It is nowhere.", "model_not_found")), MISSING),
    "404 from vLLM": (
        Http(404, {"object": "error", "message": "It is nowhere.", "type": "NotFoundError", "code": 404}),
        MISSING,
    ),
    "404 from FastAPI": (Http(404, {"detail": "It is nowhere."}), MISSING),
    "404 as plain text": (Http(404, "404 page is nowhere"), MISSING),
    "408": (Http(408, openai("Too late.")), Told(504, "timeout_error", "late")),
    "409": (Http(409, openai("At once.")), Told(409, "conflict_error", "At once")),
    "413": (Http(413, openai("Too big.")), Told(413, "request_too_large", "big")),
    "413 from nginx": (Http(413, HTML), Told(413, "request_too_large", "413")),
    "422 from Mistral": (
        Http(
            422,
            {
                "object": "error",
                "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Odd input"}]},
                "type": "invalid_request_error",
                "code": None,
            },
        ),
        Told(400, "invalid_request_error", "top_k"),
    ),
    "422 from FastAPI": (
        Http(422, {"detail": [{"loc": ["body", "x", 0], "msg": "Odd"}]}),
        Told(400, "invalid_request_error", "body.x.0: Odd"),
    ),
    "422 in words": (Http(422, openai("Odd.")), BAD),
    "429": (Http(429, openai("Slow down.", "rate_limit_exceeded")), waiting(None)),
    "429 with seconds": (Http(429, openai("Slow down."), {"retry-after": "7"}), waiting("7")),
    "429 with a part of a second": (Http(429, openai("Slow down."), {"retry-after": "0.4"}), waiting("1")),
    "429 with more than seconds": (Http(429, openai("Slow down."), {"retry-after": "2.5"}), waiting("3")),
    "429 with milliseconds": (Http(429, openai("Slow down."), {"retry-after-ms": "1500"}), waiting("2")),
    "429 with nonsense": (Http(429, openai("Slow down."), {"retry-after": "soon"}), waiting(None)),
    "429 with a reset": (
        Http(
            429, openai("Slow down."), {"x-ratelimit-reset-requests": "1m2.5s", "x-ratelimit-remaining-requests": "0"}
        ),
        waiting("63"),
    ),
    "429 from Gemini": (
        Http(
            429,
            google("RESOURCE_EXHAUSTED", "Slow down.", {"@type": GOOGLE + "RetryInfo", "retryDelay": "34s"}),
        ),
        waiting("34"),
    ),
    "429 from OpenRouter": (
        Http(429, openai("Slow down.", 429, metadata={"retry_after": 12, "provider_name": "X"})),
        waiting("12"),
    ),
    "429 from Cloudflare": (
        Http(429, b"error code: 1015", {"retry-after": "10"}),
        Told(429, "rate_limit_error", "1015"),
    ),
    "429 for want of money": (Http(429, openai("No money.", "insufficient_quota", "insufficient_quota")), NO_MONEY),
    "429 from Z.ai for want of money": (Http(429, openai("Insufficient balance: no money.", "1113")), NO_MONEY),
    "429 from Z.ai": (Http(429, openai("Slow down.", "1302")), SLOW),
    "429 for the day from OpenRouter": (
        Http(
            429,
            openai(
                "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
                429,
                metadata={"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0"}},
            ),
        ),
        DAILY,
    ),
    "429 for the day from Gemini": (
        Http(
            429,
            google(
                "RESOURCE_EXHAUSTED",
                "You have used what there is for the day.",
                {
                    "@type": GOOGLE + "QuotaFailure",
                    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
                },
            ),
        ),
        DAILY,
    ),
    "498 from Groq": (Http(498, openai("All are busy.", "capacity_exceeded")), BUSY),
    "500": (Http(500, openai("It broke.", None, "server_error")), BROKEN),
    "500 without a body": (Http(500), Told(500, "api_error", "500")),
    "500 of a server that is busy": (Http(500, openai("The server is busy, overloaded.")), BUSY),
    "501": (Http(501, openai("Not made.")), Told(501, "not_supported", "Not made")),
    "502 in HTML": (Http(502, HTML, {"content-type": "text/html"}), Told(502, "api_error", "502")),
    "502 from OpenRouter": (
        Http(502, openai("Provider returned error", 502, metadata={"raw": "It broke.", "provider_name": "X"})),
        Told(502, "api_error", "It broke."),
    ),
    "503": (
        Http(503, openai("We are busy."), {"retry-after": "5"}),
        Told(529, "overloaded_error", "busy", {"retry-after": "5"}),
    ),
    "503 from llama.cpp": (
        Http(503, openai("Loading model", 503, "unavailable_error")),
        Told(529, "overloaded_error", "Loading model"),
    ),
    "503 from envoy": (Http(503, b"no healthy upstream"), Told(529, "overloaded_error", "no healthy upstream")),
    "504 in HTML": (Http(504, HTML), Told(504, "timeout_error", "504")),
    "520 from Cloudflare": (Http(520, HTML), Told(520, "api_error", "520")),
    "529": (Http(529, openai("All are busy.")), BUSY),
    "200 with an error": (Http(200, openai("It broke.", "server_error")), Told(502, "api_error", "broke")),
    "200 with a limit": (Http(200, openai("Slow down.", 429)), SLOW),
    "200 with a wrong key": (Http(200, openai("Wrong key", 401)), KEY),
    "200 with a code as text": (Http(200, openai("Slow down.", "429")), SLOW),
    "200 with a limit's type": (Http(200, openai("Slow down.", "rate_limit_exceeded", "rate_limit_error")), SLOW),
    "200 with an error of MiniMax": (
        Http(200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "It broke."}}),
        Told(502, "api_error", "broke"),
    ),
    "200 without choices": (
        Http(200, {"id": "x", "object": "chat.completion", "choices": None}),
        Told(502, "api_error"),
    ),
}

# Inside a stream: what comes as its first chunk, and the status and type for it.
FIRST: dict[str, tuple[dict[str, Any], int, str]] = {
    "a status": (openai("All are busy.", 503), 529, "overloaded_error"),
    "a status as text": (openai("All are busy.", "503"), 529, "overloaded_error"),
    "a type": (openai("All are busy.", None, "overloaded_error"), 529, "overloaded_error"),
    "a limit": (openai("Slow down.", 429), 429, "rate_limit_error"),
    "a limit's code": (openai("Slow down.", "rate_limit_exceeded"), 429, "rate_limit_error"),
    "a bad request": (openai("Odd.", 400, "BadRequestError"), 400, "invalid_request_error"),
    "a bad request's type": (openai("Odd.", None, "invalid_request_error"), 400, "invalid_request_error"),
    "a string": ({"error": "It broke."}, 502, "api_error"),
    "OpenRouter's": (
        openai("Provider returned error", 502, metadata={"error_type": "provider_unavailable"})
        | {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]},
        502,
        "api_error",
    ),
}

FILTERED = openai(
    "The response was filtered due to the prompt triggering the content management policy.",
    "content_filter",
    innererror={"code": "ResponsibleAIPolicyViolation"},
)
