"""A config.toml, changed in place: comments, the order and what is not concerned stay as they are."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from claude_code_proxy.cli.config.secret import MASK, is_secret
from claude_code_proxy.cli.ending import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

Path: TypeAlias = tuple[str, ...]
Tables: TypeAlias = "dict[Path, dict[str, Any]]"
"""Tables by their path, as ("routing", "tiers"); what a table holds stands within it, inner tables in braces."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def edited(text: str, tables: Mapping[Path, Mapping[str, Any]]) -> str:
    """The config with these tables: a key that is there gets its new value, others are added.

    Raises `CommandError` where the file is written so that this cannot be done line by line.
    """
    try:
        wanted = copy.deepcopy(tomllib.loads(text))
    except tomllib.TOMLDecodeError as cause:
        raise CommandError(f"config.toml cannot be read: {cause}") from None
    changed = text
    for path, table in tables.items():
        if table:
            _merge(wanted, path, table)
            changed = _with(changed, path, table)
    try:
        same = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        lines = "".join(f"\n[{_dotted(path)}]\n{_lines(table)}" for path, table in tables.items() if table)
        raise CommandError(f"config.toml cannot be changed line by line. Put this into it by hand:\n{lines}")
    return changed


def pieces(text: str) -> list[tuple[str, str]]:
    """The lines: each as it stands, and as it may be shown, secrets masked."""
    return [(line, _shown(line)) for line in text.splitlines(keepends=True)]


def _merge(tables: dict[str, Any], path: Path, table: Mapping[str, Any]) -> None:
    for name in path:
        inner = tables.setdefault(name, {})
        if not isinstance(inner, dict):
            raise CommandError(f"config.toml: {'.'.join(path)} is no table.")
        tables = inner
    tables.update(table)


def _with(text: str, path: Path, table: Mapping[str, Any]) -> str:
    lines = text.splitlines(keepends=True)
    heads = {number: head for number, line in enumerate(lines) if (head := _head(line))}
    begin = next((number for number, head in heads.items() if head == path), -1)
    if begin < 0:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[{_dotted(path)}]\n{_lines(table)}"
    end = next((number for number in heads if number > begin), len(lines))
    missing = dict(table)
    last = begin
    for number in range(begin + 1, end):
        if lines[number].strip() and not lines[number].lstrip().startswith("#"):
            last = number
        if (name := _key(lines[number])) in missing:
            lines[number] = _lines({name: missing.pop(name)})
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    lines.insert(last + 1, _lines(missing))
    return "".join(lines)


def _head(line: str) -> Path:
    """The path of the table that begins here; empty if none does."""
    if not line.lstrip().startswith("[") or line.lstrip().startswith("[["):
        return ()
    try:
        table: dict[str, Any] = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while table:
        [(name, table)] = table.items()
        path.append(name)
    return tuple(path)


def _key(line: str) -> str:
    """The key that a line sets; empty if it sets none, or does not end with the line."""
    try:
        table = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ""
    return next(iter(table)) if len(table) == 1 and "=" in line else ""


def _shown(line: str) -> str:
    name = _key(line)
    return f"{name} = {MASK}" if is_secret(name) else line.rstrip("\r\n")


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_name(name)} = {_value(value)}\n" for name, value in table.items())


def _dotted(path: Path) -> str:
    return ".".join(map(_name, path))


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    match value:
        case str():  # a JSON string is one of TOML, but for this one character
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool() | int() | float():
            return json.dumps(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            inner = ", ".join(f"{_name(name)} = {_value(one)}" for name, one in value.items())
            return f"{{ {inner} }}"
