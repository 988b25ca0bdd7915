"""JSON as people write it by hand: with comments, trailing commas, bare keys and single quotes."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"""
    (?P<double>"(?:\\.|[^"\\])*")
  | (?P<single>'(?:\\.|[^'\\])*')
  | (?P<comment>//[^\r\n]*|/\*.*?\*/)
  | (?P<comma>,(?=(?:\s|//[^\r\n]*|/\*.*?\*/)*[}\]]))
  | (?P<bare>[A-Za-z_$][\w$]*(?=\s*:))
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)|(\")", re.DOTALL)


def loads(text: str) -> Any:
    """Read it. Raises `ValueError`."""
    return json.loads(_TOKEN.sub(_plain, text.removeprefix("\ufeff")), strict=False)


def _plain(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "double":
            return token[0].replace("\\\n", "")
        case "single":
            return f'"{_ESCAPED.sub(_requoted, token[0][1:-1])}"'
        case "bare":
            return f'"{token[0]}"'
        case _:
            return " "


def _requoted(found: re.Match[str]) -> str:
    if found[2]:
        return '\\"'
    return {"'": "'", "\n": ""}.get(found[1], found[0])
