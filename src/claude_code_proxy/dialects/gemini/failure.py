"""Errors of Google's in the words that Claude Code acts on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from claude_code_proxy.dialects import errors

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Answer, Call
    from claude_code_proxy.wire.failure import Failed

REFUSED_SIGNATURE: Final = "capability_rejected: thinking_signature"
"""On this Claude Code asks again without its thinking, and so without any signature but the stand-in."""

_CAPABILITIES: Final = (
    (re.compile(r"thought[ _]?signature", re.IGNORECASE), REFUSED_SIGNATURE),
    (
        re.compile(
            r"unsupported mime ?type:? *image|process input image|image is not valid|(file ?uri|provided url)",
            re.IGNORECASE,
        ),
        "capability_rejected: image_block",
    ),
    (
        re.compile(r"unsupported mime ?type:? *application|document has no pages", re.IGNORECASE),
        "capability_rejected: document_block",
    ),
)
"""Refusals of one thing in the request, and the words on which Claude Code goes on without it."""


def failure(call: Call, answer: Answer, body: bytes) -> Failed:
    """What an HTTP error answer means."""
    return retold(errors.failure(call, answer, body))


def retold(failed: Failed) -> Failed:
    """A refusal of a signature, an image or a document in the words that make the client go on without."""
    if failed.status != 400:
        return failed
    words = next((words for pattern, words in _CAPABILITIES if pattern.search(failed.message)), "")
    return replace(failed, message=f"{words} ({failed.message})") if words else failed
