"""A .env, changed in place: other lines, comments and the order stay as they are."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from claude_code_proxy.cli.config.secret import MASK, is_secret
from claude_code_proxy.cli.ending import CommandError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_PLAIN: Final = re.compile(r"[\w./:@%+,-]*", re.ASCII)
_LEADING: Final = re.compile(r"\s*(?:export[^\S\r\n]+)?")


def read(text: str) -> dict[str, str]:
    """The variables that a .env sets. Nothing in them is expanded."""
    return {name: value for name, value in dotenv_values(stream=StringIO(text), interpolate=False).items() if value}


def edited(text: str, values: Mapping[str, str]) -> str:
    """The .env with these values: each in its own place, new ones at the end.

    Raises `CommandError` for a value that no line of a .env can hold.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    parts: list[str] = []
    lines = {name: _line(name, value) for name, value in values.items()}
    held = {name: value for name, value in read(text).items() if name in values}
    missing = dict(lines)
    for binding in parse_stream(StringIO(text)):
        original = binding.original.string
        if binding.key in lines and held.get(binding.key) != values[binding.key]:
            leading = match[0] if (match := _LEADING.match(original)) else ""
            original = f"{leading}{lines[binding.key]}{newline}"
        missing.pop(binding.key or "", None)
        parts.append(original)
    if missing and parts and not parts[-1].endswith("\n"):
        parts[-1] += newline
    changed = "".join([*parts, *(line + newline for line in missing.values())])
    if read(changed) != {**read(text), **{name: value for name, value in values.items() if value}}:
        raise CommandError("The .env cannot be changed in place: a line in it is not closed. Mend it first.")
    return changed


def pieces(text: str, keys: Container[str] = ()) -> list[tuple[str, str]]:
    """The .env in pieces: each as it stands, and as it may be shown, secrets masked; `keys` are further ones."""
    found: list[tuple[str, str]] = []
    for binding in parse_stream(StringIO(text)):
        original = binding.original.string
        if binding.key is None:
            # What stands in a comment may have been a secret, too.
            found += [(line, _commented(line)) for line in original.splitlines(keepends=True)]
        else:
            value = MASK if (is_secret(binding.key) or binding.key in keys) and binding.value else (binding.value or "")
            found.append((original, f"{binding.key}={value}"))
    return found


def _commented(line: str) -> str:
    name, equals, _ = line.strip().partition("=")
    return f"{name}={MASK}" if equals and is_secret(name.strip("# ")) else line.rstrip("\r\n")


def _line(name: str, value: str) -> str:
    if any(not char.isprintable() for char in value):
        raise CommandError(f"{name} holds a character that cannot be printed, so it was not copied whole.")
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"
