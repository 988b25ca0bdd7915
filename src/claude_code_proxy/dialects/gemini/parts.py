"""Parts of a reply that Anthropic's format has no block for, told in text."""

from __future__ import annotations

from typing import Any, Final

import orjson

from claude_code_proxy.wire.json_text import fields, paired

_LARGEST: Final = 64 << 10
"""Bytes of a part that travels with the conversation; larger ones are told of only."""

_KEPT: Final = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")


def told(part: dict[str, Any]) -> str:
    """The part in words; empty for one that says nothing to the user."""
    if code := fields(part.get("executableCode")):
        return _fenced(str(code.get("language") or "").lower(), code.get("code"))
    if result := fields(part.get("codeExecutionResult")):
        return _fenced("", result.get("output") or result.get("outcome"))
    if data := fields(part.get("inlineData")):
        size = len(str(data.get("data") or "")) * 3 // 4
        return f"[The model made a file ({paired(str(data.get('mimeType')))}, {size} bytes) that cannot be shown here.]"
    if file := fields(part.get("fileData")):
        return paired(str(file.get("fileUri") or ""))
    return ""


def kept_whole(part: dict[str, Any]) -> dict[str, Any] | None:
    """The part as it goes back to the model; None for one that does not."""
    if not any(name in part for name in _KEPT):
        return None
    try:
        return part if len(orjson.dumps(part)) <= _LARGEST else None
    except TypeError:
        return None


def _fenced(language: str, text: object) -> str:
    said = paired(str(text or "")).rstrip("\n")
    return f"\n```{paired(language)}\n{said}\n```\n"
