"""What errors of a Responses API mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects import errors
from claude_code_proxy.dialects.openai_responses.summaries import learnt
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Answer, Call
    from claude_code_proxy.wire.failure import Failed

_STALE: Final = re.compile(
    r"invalid_encrypted_content|encrypted content .*could not be (verified|decrypted)"
    r"|without its required (following item|'?reasoning'? item)|items are not persisted when",
    re.IGNORECASE | re.DOTALL,
)
"""Reasoning that was sent back is not taken any more: another organisation, a new version of the model."""

_FORGET: Final = "capability_rejected: thinking_signature"
"""The words on which Claude Code asks again without the thinking of the conversation so far."""


def failure(call: Call, answer: Answer, body: bytes) -> Failed:
    """What an HTTP error answer means; never an exception, whatever the body holds."""
    failure = learnt(errors.failure(call, answer, body), call.base_url)
    return _renewed(failure, body.decode("utf-8", "replace")[:4000])


def failure_inside(holder: dict[str, Any]) -> Failed:
    """What an error means that came in a reply: `holder` has it as `error`, or is the error itself."""
    error = holder.get("error") if isinstance(holder.get("error"), (dict, str)) else None
    inner = {"error": error or {key: value for key, value in holder.items() if key != "type"}}
    code = fields(inner["error"]).get("code")
    return _renewed(errors.failure_inside(inner), str(code))


def _renewed(failure: Failed, said: str) -> Failed:
    if failure.status in {400, 404, 502} and _STALE.search(f"{said} {failure.message}"):
        return failed("invalid_request_error", f"{_FORGET} ({failure.message})")
    return failure
