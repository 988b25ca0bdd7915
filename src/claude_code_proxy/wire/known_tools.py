"""Lists of tools that were sent before: every turn of a session sends its own again, byte for byte.

They are a large part of what a turn holds. One that is known is cut out of the body before that is decoded, and what
was decoded and made of it the first time stands in its place. A list of tools is no part of a conversation, of which
nothing is kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

LEAST: Final = 8 << 10
"""Bytes of a list that is worth knowing."""

MOST: Final = 2 << 20
"""Bytes of all that are known: some forty lists."""

LARGEST: Final = 512 << 10
"""Bytes of a body above which copying the rest of it takes as long as decoding the list."""

_MOST_MADE: Final = 4
"""Things that are kept of those that were made of a list: it goes to few models at a time."""

_PLACES: Final = 16
"""Places that are looked at, from the end: a schema may have a property of that name."""

_NAME: Final = b'"tools"'
_VALUE: Final = re.compile(rb'"tools"\s*:\s*(?=\[)')
_MARK: Final = "known"
"""What stands in the body for the list. A text is no list of tools: one that is found was put there."""


class Tools:
    """A list that is known: its `raw` JSON, and its `values`, which nobody may change, as others read them, too.

    `behind`: how many bytes followed it in the body where it was last found. Most clients write the same there again.
    """

    __slots__ = ("_made", "behind", "raw", "values")

    def __init__(self, raw: bytes, values: list[Any]) -> None:
        self.raw, self.values = raw, values
        self.behind = 0
        self._made: OrderedDict[Hashable, Any] = OrderedDict()

    def made(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives for this key, made once."""
        if (held := self._made.get(key)) is None:
            held = self._made[key] = make()
            if len(self._made) > _MOST_MADE:
                self._made.popitem(last=False)
        return held


class KnownTools:
    """The lists that were seen of late."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Tools] = OrderedDict()
        self._size = 0

    def decoded(self, body: bytes) -> tuple[Any, Tools | None]:
        """A body as Python values, and its list of tools, if that is known now. Raises what msgspec raises."""
        if 2 * LEAST <= len(body) <= LARGEST:
            if (values := self._spliced(body)) is not None:
                return values
            values = msgspec.json.decode(body)
            return values, self._learned(body, values)
        return msgspec.json.decode(body), None

    def _spliced(self, body: bytes) -> tuple[Any, Tools] | None:
        """The same for a list that was known before."""
        for tools, at in self._places(body):
            end = at + len(tools.raw)
            values = msgspec.json.decode(b'%b"%b"%b' % (body[:at], _MARK.encode(), body[end:]))
            if fields(values).get("tools") == _MARK:
                values["tools"] = tools.values
                tools.behind = len(body) - end
                self._held.move_to_end(tools.raw)
                return values, tools
        return None

    def _places(self, body: bytes) -> Iterator[tuple[Tools, int]]:
        """Where a known list stands: first where it did before, then wherever a field has its name."""
        for tools in reversed(self._held.values()):
            at = len(body) - tools.behind - len(tools.raw)
            if tools.behind and at > 0 and body.startswith(tools.raw, at):
                yield tools, at
        place = len(body)
        for _ in range(_PLACES):
            if (place := body.rfind(_NAME, 0, place)) < 0:
                return
            if found := _VALUE.match(body, place):
                at = found.end()
                yield from ((one, at) for one in reversed(self._held.values()) if body.startswith(one.raw, at))

    def _learned(self, body: bytes, values: Any) -> Tools | None:
        listed = items(fields(values).get("tools"))
        if not listed:
            return None
        raw = bytes(msgspec.json.decode(body, type=dict[str, Raw])["tools"])
        if not LEAST <= len(raw) <= MOST:
            return None
        tools = self._held[raw] = Tools(raw, listed)
        self._size += len(raw)
        while self._size > MOST:
            self._size -= len(self._held.popitem(last=False)[0])
        return tools
