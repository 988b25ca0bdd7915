"""The folder that a session works in, as Claude Code tells its model at the beginning of a conversation.

Claude Code 2.1 writes "Primary working directory: PATH" into its instructions, and "Working directory: PATH" into those
of subagents.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final, TypeVar

import orjson

T = TypeVar("T")

_PLACE: Final = re.compile(rb'orking directory: ((?:[^"\\]|\\[^n])+)')
_SESSIONS: Final = 1000
_LOOKS: Final = 5
"""Requests of a session that are looked at: its first ones may be errands that say nothing of it."""


class Projects:
    """The folders of the sessions that were seen lately."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, str] = OrderedDict()
        self._looks: OrderedDict[str, int] = OrderedDict()

    def of(self, session: str, body: bytes) -> str:
        """The folder of a session, one of whose requests has this body; empty if it was not told."""
        if not session:
            return ""
        if (known := self._found.get(session)) is not None:
            return known
        looks = self._looks.pop(session, 0) + 1
        place = _named(body)
        if place or looks >= _LOOKS:
            _put(self._found, session, place)
        else:
            _put(self._looks, session, looks)
        return place


def _put(into: OrderedDict[str, T], session: str, value: T) -> None:
    into[session] = value
    if len(into) > _SESSIONS:
        into.popitem(last=False)


def _named(body: bytes) -> str:
    found = _PLACE.search(body)
    if not found:
        return ""
    try:
        return str(orjson.loads(b'"%b"' % found[1])).strip()
    except orjson.JSONDecodeError:
        return ""
