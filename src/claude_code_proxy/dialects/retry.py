"""How long an upstream asks to be left alone, in whichever of many ways it says so."""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_FACTORS: Final = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_RESETS: Final = ("requests", "tokens")


def retry_after(headers: Mapping[str, str], content: Any) -> int | None:
    """Whole seconds to wait, at least 1; None if the answer does not say, or not in a way that makes sense.

    `headers` have names in lower case; `content` is the parsed body. Known are retry-after (seconds or a
    date), retry-after-ms, x-ratelimit-reset-* of a limit that is used up, Google's RetryInfo, OpenRouter's
    metadata.
    """
    error = fields(fields(content).get("error"))
    details = (fields(one).get("retryDelay") for one in items(error.get("details")))
    told = (
        _seconds(headers.get("retry-after")),
        _until(headers.get("retry-after"), headers.get("date")),
        _seconds(headers.get("retry-after-ms"), 0.001),
        *(_duration(delay) for delay in details),
        _seconds(error.get("retry_after")),
        _seconds(fields(error.get("metadata")).get("retry_after")),
        *(
            _duration(headers.get(f"x-ratelimit-reset-{what}"))
            for what in _RESETS
            if headers.get(f"x-ratelimit-remaining-{what}") == "0"
        ),
    )
    known = next((seconds for seconds in told if seconds is not None), None)
    return None if known is None else max(1, math.ceil(known))


def _seconds(value: object, factor: float = 1.0) -> float | None:
    text = str(value).strip() if isinstance(value, (str, int, float)) else ""
    return float(text) * factor if _NUMBER.fullmatch(text) else None


def _duration(value: object) -> float | None:
    """Seconds of `1m2.5s` and its like, or of a bare number."""
    text = value.strip() if isinstance(value, str) else ""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return _seconds(text)
    return sum(float(part) * factor for part, factor in zip(found.groups(), _FACTORS, strict=True) if part)


def _until(value: str | None, now: str | None) -> float | None:
    """Seconds from the upstream's own clock to a date; nothing here reads another."""
    try:
        return (parsedate_to_datetime(value or "") - parsedate_to_datetime(now or "")).total_seconds()
    except (ValueError, TypeError):
        return None
