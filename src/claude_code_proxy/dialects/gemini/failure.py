"""Errors of Google's in the words that Claude Code acts on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from claude_code_proxy.dialects import errors

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Answer, Call
    from claude_code_proxy.wire.failure import Failed

_SIGNATURE: Final = re.compile(r"thought[ _]?signature", re.IGNORECASE)
REFUSED_SIGNATURE: Final = "capability_rejected: thinking_signature"
"""On this Claude Code asks again without its thinking, and so without any signature but the stand-in."""


def failure(call: Call, answer: Answer, body: bytes) -> Failed:
    """What an HTTP error answer means."""
    return retold(errors.failure(call, answer, body))


def retold(failed: Failed) -> Failed:
    """A refusal of a thought signature in the words that make the client go on without."""
    if failed.status == 400 and _SIGNATURE.search(failed.message):
        return replace(failed, message=f"{REFUSED_SIGNATURE} ({failed.message})")
    return failed
