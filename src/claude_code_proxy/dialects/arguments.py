"""The arguments of a tool call as they come, in pieces of JSON text."""

from __future__ import annotations

from typing import Final

import msgspec

_NO_OBJECT: Final = frozenset('"n')
"""What arguments begin with that were encoded twice, or are null."""


class Arguments:
    """The JSON text of one call's arguments; what begins like no object is held back until it is whole."""

    __slots__ = ("_plain", "_said")

    def __init__(self) -> None:
        self._plain: bool | None = None  # None while nothing but blanks was said
        self._said: list[str] = []

    @property
    def said(self) -> str:
        """All that was said so far."""
        return "".join(self._said)

    def take(self, arguments: str) -> str:
        """One more piece of the arguments; what can be passed on."""
        self._said.append(arguments)
        if self._plain is None:
            text = "".join(self._said).lstrip()
            if not text:
                return ""
            self._plain = text[0] not in _NO_OBJECT
            return text if self._plain else ""
        return arguments if self._plain else ""

    def whole(self) -> bool:
        """Whether there are arguments, and they are a whole JSON document."""
        try:
            msgspec.json.decode("".join(self._said))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def rest(self) -> str:
        """The arguments that were held back, now that they are whole: an object that was encoded twice is one."""
        text = "" if self._plain else "".join(self._said).strip()
        if not text or text == "null":
            return ""
        try:
            inner = msgspec.json.decode(text)
            return inner if isinstance(inner, str) and isinstance(msgspec.json.decode(inner), dict) else text
        except (msgspec.DecodeError, RecursionError):
            return text
