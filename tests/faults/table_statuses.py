"""Statuses, and how long to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .expected import Refused
from .ops import JSON, KEEP, sized
from .stage import Fault

if TYPE_CHECKING:
    from .ops import Op
    from .replies import Reply

STATUSES = {
    400: ("invalid_request_error", 400),
    401: ("authentication_error", 401),
    402: ("billing_error", 402),
    403: ("permission_error", 403),
    404: ("not_found_error", 404),
    408: ("timeout_error", 504),
    413: ("request_too_large", 413),
    422: ("invalid_request_error", 400),
    429: ("rate_limit_error", 429),
    500: ("api_error", 500),
    502: ("api_error", 502),
    503: ("overloaded_error", 529),
    504: ("timeout_error", 504),
    529: ("overloaded_error", 529),
    599: ("api_error", 599),
}
NATIVE = ("anthropic", "ollama")
TRANSLATED = ("openai_chat", "openai_responses", "gemini")
WORDS = "The plover is out."

WAITS = {
    "seconds": ({"retry-after": "7"}, "7"),
    "a fraction": ({"retry-after": "1.5"}, "2"),
    "nothing": ({"retry-after": "0"}, "1"),
    "a date": ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, "30"),
    "a date that is over": (
        {"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"},
        "1",
    ),
    "a negative number": ({"retry-after": "-5"}, None),
    "words": ({"retry-after": "soon"}, None),
    "a number beyond all": ({"retry-after": "9" * 30}, None),
    "infinity": ({"retry-after": "inf"}, None),
    "milliseconds": ({"retry-after-ms": "2500"}, "3"),
    "a limit's reset": ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, "360"),
}


def _status(status: int) -> Fault:
    kind, told = STATUSES[status]
    return Fault(
        "U-25",
        str(status),
        lambda r: [sized(r.error_body(WORDS, status), JSON, status), KEEP],
        Refused((kind,), (told,), WORDS),
        but={name: Refused((), (status,), WORDS, native=True) for name in NATIVE},
    )


def _wait(name: str) -> Fault:
    headers, seconds = WAITS[name]
    named = {key.replace("-", "_"): value for key, value in headers.items()}

    def script(made: Reply) -> list[Op]:
        return [sized(made.error_body(WORDS, 429), JSON, 429, **named), KEEP]

    return Fault(
        "U-25",
        f"429, wait: {name}",
        script,
        Refused(("rate_limit_error",), (429,), headers={"retry-after": seconds}),
        only=TRANSLATED,
    )


def _wordless(status: int) -> Fault:
    kind, _ = STATUSES[status]
    return Fault("U-25", f"{status} without a word", lambda r: [sized(b"", JSON, status), KEEP], Refused((kind,)))


FAULTS = [
    *map(_status, STATUSES),
    *map(_wait, WAITS),
    *map(_wordless, STATUSES),
]
