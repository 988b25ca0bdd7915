"""Secrets that must never be told, and the search for them, whole or in part."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEAST = 6
"""Characters of a secret that nobody may learn in a row."""

_LETTERS = "bcdfghjkmnpqrtvwxzBCDFGHJKMNPQRTVWXZ"  # no words, no numbers, nothing that looks like an id


def canary(name: str) -> str:
    """A secret of 32 letters, the same for a name each time, that nothing else looks like in six."""
    return "".join(random.Random(name).choices(_LETTERS, k=32))


def told(text: str, secrets: Iterable[str]) -> list[str]:
    """The parts of secrets that are in a text, each with what is around the first."""
    found = []
    for secret in secrets:
        parts = (secret[at : at + LEAST] for at in range(len(secret) - LEAST + 1))
        found += [f"{part} in …{text[max(0, at - 80) : at + 80]}…" for part in parts if (at := text.find(part)) >= 0]
    return found


_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_SHORTEST = 12


def secrets_of(env: Mapping[str, str]) -> list[str]:
    """The values of variables that hold secrets, as far as they are long enough to be told from other words."""
    held = (one.strip() for name, value in env.items() if name.endswith(_NAMES) for one in value.split(","))
    return [one for one in held if len(one) >= _SHORTEST]
