"""OpenRouter's `reasoning_details`: reasoning in pieces that go back, whole and in order, on the next turn."""

from __future__ import annotations

from typing import Any, Final

_TEXTS: Final = ("text", "summary", "data")
"""The fields that stream in pieces; the others come once."""


def add_details(whole: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    """Join pieces to the details they continue: those of the same index and type that came last."""
    for piece in pieces:
        last = whole[-1] if whole else None
        if last is None or any(last.get(key) != piece.get(key) for key in ("index", "type")) or _begins(last, piece):
            whole.append(dict(piece))
            continue
        for key, value in piece.items():
            if value is None:
                continue
            known = last.get(key)
            last[key] = known + value if key in _TEXTS and isinstance(known, str) and isinstance(value, str) else value


def text_of(pieces: list[dict[str, Any]]) -> str:
    """What of these pieces a person can read."""
    texts = (piece.get("text") or piece.get("summary") for piece in pieces)
    return "".join(text for text in texts if isinstance(text, str))


def _begins(last: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Whether a piece without an index to go by begins a detail of its own: an id tells, and so does a signature."""
    new_id = piece.get("id") is not None and piece.get("id") != last.get("id")
    return new_id or bool(last.get("signature") and piece.get("text"))
