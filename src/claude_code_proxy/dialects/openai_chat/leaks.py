"""Tool calls that a server left in the text, because it does not know its model's own notation for them.

Text becomes a call only when nothing else is plausible: tools were offered, the notation begins a line outside
a code block, all of it is there and reads without an error, and it names a tool that was offered. Anything
else stays the text it was. Nothing is run here; the client asks its user as for any other call.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from claude_code_proxy.dialects.openai_chat.notations import NOTATIONS, Notation, whole_replies
from claude_code_proxy.wire.events import Stop, Text, Thinking, ToolArgs, ToolCall, Usage
from claude_code_proxy.wire.json_text import dumped, fields, items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.dialects.openai_chat.notations import Said
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Tool

_FENCES: Final = ("```", "~~~")
_LINE: Final = 64  # no opener is longer
_MOST: Final = 1 << 20
_MOST_ENDS: Final = 100
"""Characters, and ends that were none, after which what began like a call is taken for text."""

_KEYS: Final = 1 << 20
"""Above every key that the decoder gives to calls of its own."""

_START: Final = "\x00"
"""Stands before the first line of a reply: some notations are looked for there only."""


_MIDLINE: Final = "-"
"""Stands for a line of which the beginning was none of a call's."""


class _Watched(NamedTuple):
    """What to look for in a reply to a request with certain tools."""

    notations: dict[str, Notation]
    openers: tuple[str, ...]
    opener: re.Pattern[str]
    first: frozenset[str]


@lru_cache(maxsize=256)
def _watched(tools: tuple[str, ...]) -> _Watched:
    anywhere = {opener: notation for notation in NOTATIONS for opener in notation.openers}
    at_start = {opener: notation for notation in whole_replies(tools) for opener in notation.openers}
    notations = {**anywhere, **at_start}
    openers = (*notations, *_FENCES)
    lines, first = ("|".join(map(re.escape, some)) for some in ((*anywhere, *_FENCES), at_start))
    opener = re.compile(rf"(?:(?:{_START}|\n)[ \t]*(?={lines})|{_START}\s*(?={first}))({lines}|{first})")
    return _Watched(notations, openers, opener, frozenset(one[0] for one in openers))


class LeakedCalls:
    """A machine from events to events: calls in the text become calls.

    `seed` makes their ids. `tools` are those that were offered, by the name they were offered under.
    """

    __slots__ = (
        "_between",
        "_called",
        "_count",
        "_fence",
        "_held",
        "_line",
        "_notation",
        "_parts",
        "_seam",
        "_seed",
        "_thoughts",
        "_tools",
        "_watched",
    )

    def __init__(self, seed: str, tools: Mapping[str, Tool]) -> None:
        self._seed, self._tools = seed, tools
        self._watched = _watched(tuple(tools))
        self._notation: Notation | None = None  # of what is held, which may be a call
        self._held = ""
        self._seam = ""  # the end of it, in which a closer may have begun
        self._parts: list[str] = []  # what is held of a call, after the part that was read in vain
        self._line = _START  # the line that is being said, as far as it was passed on
        self._between = False  # nothing but white space was said since a call
        self._thoughts: list[str] = []
        self._called = False
        self._fence = ""  # of the code block that is being said
        self._count = 0

    def feed(self, event: Event, /) -> Sequence[Event]:
        if not isinstance(event, Text):
            return self._beside_text(event)
        text = event.text
        if self._midline and "\n" not in text:  # nearly always: nothing begins here
            return (event,)
        if self._notation and self._goes_on(text):
            return ()
        if not self._held and not self._between and self._watched.first.isdisjoint(text):
            self._pass(text)
            return (event,)
        out: list[Event] = []
        rest, self._held = self._held + text, ""
        while rest:
            rest = self._call(rest, out) if self._notation else self._text(rest, out)
        return out

    def close(self) -> Sequence[Event]:
        return self._flush(cut=True)

    def _beside_text(self, event: Event) -> Sequence[Event]:
        if isinstance(event, Usage):
            return (event,)
        if isinstance(event, Thinking):
            self._thoughts.append(event.text)
        elif isinstance(event, ToolCall):
            self._called = True
        elif isinstance(event, Stop):
            cut = event.reason == "max_tokens"
            return (*self._flush(cut=cut), *(() if cut else self._thought_calls()), event)
        return (*self._flush(cut=False), event)

    def _thought_calls(self) -> list[Event]:
        """The calls that end the reasoning of a reply without any other: its server took them for thoughts."""
        if self._called or not self._thoughts:
            return []
        inner = LeakedCalls(self._seed, self._tools)
        said = [*inner.feed(Text("".join(self._thoughts))), *inner.feed(Stop("end_turn"))][:-1]
        if not said or isinstance(said[-1], Text):
            return []
        return [event for event in said if not isinstance(event, Text)]

    # -- text

    def _text(self, text: str, out: list[Event]) -> str:
        """Say text as far as it surely is none of a call; what is left to look at."""
        context, said = self._line + text, len(self._line)
        for found in self._watched.opener.finditer(context):
            if found.end() <= said or (self._fence and found[1] != self._fence):
                continue
            if found[0].startswith(_START) and found.start() > 0:  # the model said that character
                continue
            start = max(said, found.start(1))
            self._say(context[said:start], out)
            if found[1] not in _FENCES:
                self._notation = self._watched.notations[found[1]]
                return context[found.start(1) :] if found.start(1) >= said else context[said:]
            self._fence = "" if self._fence else found[1]
            self._say(context[start : found.end()], out)
            self._line = _MIDLINE
            return context[found.end() :]
        line = context.rpartition("\n")[2].lstrip(" \t\r\n" + _START)
        opening = bool(line) and any(one.startswith(line) for one in self._watched.openers)
        kept = min(len(line), len(text)) if opening else 0
        if self._between and not text[: len(text) - kept].strip():
            kept = len(text)
        self._say(text[: len(text) - kept], out)
        self._held = text[len(text) - kept :]
        return ""

    def _say(self, text: str, out: list[Event]) -> None:
        if self._between:
            text = text.lstrip("\n") if text.strip() else ""
            self._between = not text
        if text:
            self._pass(text)
            out.append(Text(text))

    @property
    def _midline(self) -> bool:
        """Whether the line has begun with something that is no opener, and nothing is held."""
        return self._line == _MIDLINE and not (self._held or self._between or self._notation or self._parts)

    def _pass(self, text: str) -> None:
        _, newline, rest = text.rpartition("\n")
        line = newline + rest if newline else self._line + rest
        # Its beginning matters as long as it is blank.
        self._line = _MIDLINE if line[1:].strip() else line[0] + line[1:][-_LINE:]

    # -- calls

    def _goes_on(self, text: str) -> bool:
        """Take a piece of a call that is not its end. Joining the pieces each time would cost their square."""
        seam = self._seam + text
        if self._notation and any(closer in seam for closer in self._notation.closers):
            self._held += "".join(self._parts)
            self._parts.clear()
            self._seam = ""
            return False
        self._parts.append(text)
        self._seam = seam[-_LINE:]
        return True

    def _call(self, text: str, out: list[Event]) -> str:
        """Read a call if it is all there; what is left to look at."""
        notation = self._notation
        if notation is None:
            return text
        ends = sorted(found.end() for closer in notation.closers for found in re.finditer(re.escape(closer), text))
        if len(text) > _MOST or len(ends) > _MOST_ENDS:
            return self._give_up(text, len(text), out)
        for end in ends:  # the first may stand in an argument
            said = notation.read(text[:end])
            if said and self._offered(said):
                self._make(said, out)
                return text[end:]
            if said:
                return self._give_up(text, end, out)
        self._held, self._seam = text, text[-_LINE:]
        return ""

    def _offered(self, said: list[Said]) -> bool:
        return all(name in self._tools for name, _ in said)

    def _give_up(self, text: str, end: int, out: list[Event]) -> str:
        self._notation = None
        self._say(text[:end], out)
        return text[end:]

    def _make(self, said: list[Said], out: list[Event]) -> None:
        for name, arguments in said:
            tool, key = self._tools[name], _KEYS + self._count
            self._count += 1
            out.append(ToolCall(key, f"toolu_{self._seed}_{key}", tool["name"]))
            out.append(ToolArgs(key, dumped(typed(arguments, tool))))
        self._notation, self._between, self._called, self._line = None, True, True, "\n"

    def _flush(self, *, cut: bool) -> list[Event]:
        """What is held is all there will be: a call of which the last tag was left out, or text.

        Of a reply that was cut nothing becomes a call: its arguments may not be all there.
        """
        held, self._held, self._seam = self._held + "".join(self._parts), "", ""
        self._parts.clear()
        notation, self._notation = self._notation, None
        out: list[Event] = []
        said = notation.read(held) if held and notation and not cut else None
        if said and self._offered(said):
            self._make(said, out)
        else:
            self._say(held, out)
        return out


def typed(arguments: dict[str, Any], tool: Tool) -> dict[str, Any]:
    """Arguments with the types of the tool's schema, where the notation had only text for them."""
    properties = fields(fields(tool.get("input_schema")).get("properties"))
    return {name: _typed(value, _kinds(properties.get(name))) for name, value in arguments.items()}


def _kinds(schema: object) -> set[str]:
    """The types that a schema allows; empty if it does not say."""
    told = fields(schema)
    kind = told.get("type")
    kinds = {one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str)}
    for other in (*items(told.get("anyOf")), *items(told.get("oneOf"))):
        kinds |= _kinds(other)
    return kinds


_BOOLEANS: Final = {"true": True, "false": False}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _typed(value: Any, kinds: set[str]) -> Any:
    if not isinstance(value, str) or not kinds or "string" in kinds:
        return value
    text = value.strip()
    if "boolean" in kinds and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        read = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return value
    return read if any(isinstance(read, _TYPES[kind]) for kind in kinds if kind in _TYPES) else value
