"""Which settings are secrets, so that they are never shown."""

from __future__ import annotations

from typing import Final

_WORDS: Final = frozenset({"KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS"})

MASK: Final = "********"


def is_secret(name: str) -> bool:
    """Whether what a variable, or a key of a table, holds is to be kept to oneself: a word of its name says so."""
    if name.upper().endswith("_ENV"):  # the name of a variable
        return False
    if name.upper().endswith("_PROXY"):  # its address may hold a password
        return True
    return not _WORDS.isdisjoint(name.upper().replace("-", "_").split("_"))
