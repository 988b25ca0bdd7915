"""What a file of another program becomes here: variables, tables, and what is to be said of it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Prefix(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before a model's name in LiteLLM, as formats.toml tells."""

    provider: str
    key: str = ""
    native: str = ""
    server: str = ""


class Formats(Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of formats.toml."""

    litellm: dict[str, Prefix]
    bare: dict[str, str]
    left: dict[str, dict[str, str]]
    variables: dict[str, str]


@cache
def formats() -> Formats:
    """What is known of the formats."""
    text = files(__package__).joinpath("formats.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Formats)


@dataclass
class Made:
    """The outcome. `left` says what has no counterpart, and why; `notes` what is to be known or done."""

    values: dict[str, str] = field(default_factory=dict)
    tables: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    def put(self, *path: str, **values: Any) -> None:
        """Add keys to a table."""
        self.tables.setdefault(path, {}).update(values)

    def set(self, path: tuple[str, ...], name: str, value: Any) -> None:
        """Add one key, whatever its name, to a table."""
        self.tables.setdefault(path, {})[name] = value

    def note(self, text: str) -> None:
        """Say something, once."""
        if text not in self.notes:
            self.notes.append(text)

    def leave(self, what: str, why: str) -> None:
        """Say of something that it has no counterpart, once."""
        if (what, why) not in self.left:
            self.left.append((what, why))

    def leave_rest(self, table: Mapping[str, Any], known: Iterable[str], reasons: str, place: str = "") -> None:
        """Say it of every key of a table that is not known, for the reasons of formats.toml."""
        why = formats().left[reasons]
        for name in table.keys() - set(known):
            self.leave(f"{place}{name}", why.get(name, "unknown to this version"))
        self.left.sort()


class UnusableError(ValueError):
    """A file that is not what it was taken for; the message says why."""


def text_of(value: object) -> str:
    """A text, or a number as one; nothing for what is neither."""
    return str(value).strip() if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def rows_of(value: object) -> list[dict[str, Any]]:
    """The tables in a list; none in what is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def table_of(value: object) -> dict[str, Any]:
    """A table; an empty one for what is none."""
    return {str(name): one for name, one in value.items()} if isinstance(value, dict) else {}
