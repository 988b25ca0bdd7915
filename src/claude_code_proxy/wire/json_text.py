"""Reading JSON that nobody promised the shape of, and JSON that arrives in pieces."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import orjson

MOST = 2**53
"""The whole numbers up to this are exact in every JSON reader."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'["\\{}\[\]]')
_QUOTE_OR_ESCAPE = re.compile(r'["\\]')


def loads(data: bytes) -> Any:
    """A JSON text as Python values, also one that holds half a surrogate pair. Raises `ValueError`.

    Some servers cut their text between the halves, and each comes in a chunk of its own.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except RecursionError as cause:
            raise ValueError(str(cause)) from None


def paired(text: str) -> str:
    """Text with surrogate pairs joined, and U+FFFD for halves that have no other."""
    if text.isascii() or _SURROGATE.search(text) is None:  # nearly always
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def dumped(value: Any) -> str:
    """A value of `loads` as JSON text: whole numbers of any size, and U+FFFD for halves of surrogate pairs."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(json.loads(paired(json.dumps(value, ensure_ascii=False)))).decode()


def fields(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def items(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def digits(text: bytes | str) -> int | None:
    """A whole number of 0 or more in digits; None for anything else, and for what no one means."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


class Brackets:
    """Follows the nesting of one JSON object or array through any cuts.

    It does not validate: it tells when the bracket that came first was closed again. A document that is
    no object or array is never whole to it.
    """

    __slots__ = ("_depth", "_escaped", "_in_string", "whole")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = False
        self.whole = False

    def feed(self, text: str) -> None:
        """One more piece of the document's text."""
        at, end = 0, len(text)
        if self._escaped and end:
            at, self._escaped = 1, False
        while at < end and (found := (_QUOTE_OR_ESCAPE if self._in_string else _TOKEN).search(text, at)):
            at = found.end()
            char = found.group()
            if self._in_string:
                if char == '"':
                    self._in_string = False
                elif at < end:
                    at += 1  # the character after a backslash means nothing here
                else:
                    self._escaped = True
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                self.whole = self.whole or self._depth <= 0
