"""How a reply of Gemini's ends: its finish reasons, and the prompts that it does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects.gemini.failure import REFUSED_SIGNATURE
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.json_text import fields, paired

if TYPE_CHECKING:
    from claude_code_proxy.wire.events import Failed, StopReason

STOP_REASONS: Final[dict[str, StopReason]] = {
    "STOP": "end_turn",
    "MAX_TOKENS": "max_tokens",
    "CONTINUATION": "max_tokens",
    "SAFETY": "refusal",
    "RECITATION": "refusal",
    "LANGUAGE": "refusal",
    "BLOCKLIST": "refusal",
    "PROHIBITED_CONTENT": "refusal",
    "SPII": "refusal",
    "MODEL_ARMOR": "refusal",
    "ESCALATION": "refusal",
    "PUP_LIMITED_DISABLED": "refusal",
    "IMAGE_SAFETY": "refusal",
    "IMAGE_PROHIBITED_CONTENT": "refusal",
    "IMAGE_RECITATION": "refusal",
    "IMAGE_OTHER": "end_turn",
    "NO_IMAGE": "end_turn",
}
"""What a finish reason means; any other is an end of the turn if anything was said, and a failure if nothing was."""

_BROKEN: Final[dict[str, str]] = {
    "MALFORMED_FUNCTION_CALL": "The model wrote a tool call that Google could not read.",
    "MALFORMED_RESPONSE": "The model wrote a reply that Google could not read.",
    "UNEXPECTED_TOOL_CALL": "The model called a tool that it was not offered.",
}
"""Finish reasons after which the same request is worth another try: the next answer is another one."""


def broken(finish: str, message: str, *, silent: bool) -> Failed | None:
    """The failure that a finish reason stands for, if it is one. `silent`: nothing was said before it."""
    if finish == "MISSING_THOUGHT_SIGNATURE":
        return failed("invalid_request_error", f"{REFUSED_SIGNATURE} ({message or finish})")
    if finish in _BROKEN:
        return failed("api_error", " ".join(filter(None, (_BROKEN[finish], message))), status=502)
    if silent and finish not in STOP_REASONS:
        return failed("api_error", f"Google ended the reply with {finish}. {message}".strip(), status=502)
    return None


def blocked(chunk: dict[str, Any]) -> tuple[str, str] | None:
    """Why a prompt is not answered, and what to tell the user; None for one that is."""
    feedback = fields(chunk.get("promptFeedback"))
    reason = feedback.get("blockReason")
    if not isinstance(reason, str) or not reason or chunk.get("candidates"):
        return None
    message = feedback.get("blockReasonMessage")
    said = f" {paired(message)}" if isinstance(message, str) and message else ""
    return paired(reason), f"Google blocked the prompt ({paired(reason)}).{said}"
