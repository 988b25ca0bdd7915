"""What is proposed: models, and where keys come from."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Choice(Struct, frozen=True, forbid_unknown_fields=True):
    """What defaults.toml says of a provider."""

    key: str = ""
    big: tuple[str, ...] = ()
    small: tuple[str, ...] = ()


@cache
def choices() -> dict[str, Choice]:
    """The tables of defaults.toml."""
    text = files(__package__).joinpath("defaults.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Choice])


def proposed(provider: str, models: Sequence[str]) -> tuple[str, str]:
    """The models for BIG_MODEL and SMALL_MODEL among the provider's; without a list the best names known, or none."""
    known = choices().get(provider, Choice())
    big = _first(known.big, models) or _first(choices()["any"].big, models)
    return big, _first(known.small, models) or big


def _first(patterns: Sequence[str], models: Sequence[str]) -> str:
    for pattern in patterns:
        if not models and "*" not in pattern:
            return pattern
        if found := next((name for name in models if fnmatchcase(name.lower(), pattern)), ""):
            return found
    return ""
