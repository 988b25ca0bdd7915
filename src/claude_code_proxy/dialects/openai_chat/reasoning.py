"""OpenRouter's `reasoning_details`: reasoning in pieces that go back, whole and in order, on the next turn."""

from __future__ import annotations

from typing import Any, Final

_TEXTS: Final = ("text", "summary", "data")
"""The fields that stream in pieces; the others come once."""


def add_details(whole: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    """Join pieces of a stream to the details they continue, those of the same index and type."""
    for piece in pieces:
        known = next((one for one in reversed(whole) if _same(one, piece)), None)
        if known is None or _begins(known, piece):
            whole.append(dict(piece))
            continue
        for key, value in piece.items():
            if value is None:
                continue
            held = known.get(key)
            known[key] = held + value if key in _TEXTS and isinstance(held, str) and isinstance(value, str) else value


def text_of(pieces: list[dict[str, Any]]) -> str:
    """What of these pieces a person can read."""
    texts = (piece.get("text") or piece.get("summary") for piece in pieces)
    return "".join(text for text in texts if isinstance(text, str))


def _same(one: dict[str, Any], piece: dict[str, Any]) -> bool:
    return all(one.get(key) == piece.get(key) for key in ("index", "type"))


def _begins(known: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Whether a piece begins a detail of its own: another id tells, and text after a signature."""
    ids = {one["id"] for one in (known, piece) if isinstance(one.get("id"), str)}
    return len(ids) > 1 or bool(known.get("signature") and piece.get("text"))
