"""What Claude Code believes of models, and what would lead it past the proxy. Data in claude_code.toml."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

MAX_CONTEXT: Final = "CLAUDE_CODE_MAX_CONTEXT_TOKENS"
"""The variable that tells Claude Code the window of models that it does not know."""


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """What Claude Code takes the window of models with such names for, in tokens."""

    match: tuple[str, ...]
    context: int
    fixed: bool = False


class Clash(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a variable is in the way; `breaks` if nothing arrives with it, `with_` if only beside another."""

    why: str
    breaks: bool = False
    with_: str = msgspec.field(default="", name="with")


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of claude_code.toml."""

    install: str
    places: tuple[str, ...]
    window: tuple[Window, ...]
    clashes: dict[str, Clash]


@cache
def facts() -> Facts:
    """What is known of Claude Code."""
    return msgspec.convert(tomllib.loads(files(__package__).joinpath("claude_code.toml").read_text("utf-8")), Facts)


def believed(model: str) -> Window:
    """What Claude Code takes a model for that it was told to use."""
    name = model.lower()
    return next(row for row in facts().window if any(fnmatchcase(name, one) for one in row.match))


def advice(model: str, target: str, context: int) -> str:
    """How to start Claude Code so that it knows the window of the target that `model` leads to.

    `target` is `provider:model`, `context` its window in tokens, 0 if nobody knows it. Empty where there is nothing to
    say: the window is not known, or Claude Code does not take it for a larger one.
    """
    if not context or context >= believed(model).context:
        return ""
    setting = f"{MAX_CONTEXT}={context}"
    if not believed(model).fixed:
        return setting
    return f"{setting} ANTHROPIC_MODEL={target}" if not believed(target).fixed else ""
