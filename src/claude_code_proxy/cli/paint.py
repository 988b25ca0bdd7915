"""A little colour, on a terminal that wants it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

CODES: Final = {"good": "32", "note": "33", "bad": "31", "strong": "1", "faint": "2"}


def painted(text: str, style: str, stream: TextIO) -> str:
    """The text in a style of `CODES`, where the stream is a terminal and nobody asked for none (NO_COLOR)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{CODES[style]}m{text}\x1b[0m"


def printable(text: object) -> str:
    """What others wrote, without anything that moves a terminal's cursor."""
    return "".join(char for char in str(text) if char.isprintable())
