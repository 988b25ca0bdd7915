"""Tool calls that a server left in the text, because it does not know its model's own notation for them.

Text becomes a call only when nothing else is plausible: tools were offered, the notation begins a line outside
a code block, all of it is there and reads without an error, and it names a tool that was offered. Anything
else stays the text it was. Nothing is run here; the client asks its user as for any other call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects.openai_chat.notations import NOTATIONS
from claude_code_proxy.wire.events import Text, ToolArgs, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.dialects.openai_chat.notations import Notation, Said
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Tool

_OPENERS: Final = tuple(opener for notation in NOTATIONS for opener in notation.openers)
_FIRST: Final = frozenset(opener[0] for opener in _OPENERS)
_AT_LINE_START: Final = re.compile(r"(?:^|(?<=\n))[ \t]*(" + "|".join(map(re.escape, _OPENERS)) + ")")
_FENCE: Final = re.compile(r"(?:^|(?<=\n))[ \t]*```")
_LINE: Final = 64
_KEYS: Final = 1 << 20
"""Above every key that the decoder gives to calls of its own."""


class LeakedCalls:
    """A machine from events to events: calls in the text become calls.

    `seed` makes their ids. `tools` are those that were offered, by the name they were offered under.
    """

    __slots__ = ("_count", "_fenced", "_held", "_line", "_notation", "_seed", "_tools")

    def __init__(self, seed: str, tools: Mapping[str, Tool]) -> None:
        self._seed, self._tools = seed, tools
        self._notation: Notation | None = None  # of what is held, which may be a call
        self._held = ""
        self._line = ""  # the line that is being said, as far as it was passed on
        self._fenced = False
        self._count = 0

    def feed(self, event: Event, /) -> Sequence[Event]:
        if not isinstance(event, Text):
            return (*self._flush(), event) if self._held else (event,)
        if not self._held and not self._fenced and _FIRST.isdisjoint(event.text) and "`" not in event.text:
            self._pass(event.text)
            return (event,)  # nearly always
        out: list[Event] = []
        rest = self._held + event.text
        self._held = ""
        while rest:
            rest = self._call(rest, out) if self._notation else self._text(rest, out)
        return out

    def close(self) -> Sequence[Event]:
        return self._flush()

    # -- text

    def _text(self, text: str, out: list[Event]) -> str:
        """Say text as far as it surely is none of a call; what is left to look at."""
        context = self._line + text
        found = None if self._fenced else _AT_LINE_START.search(context)
        fence = _FENCE.search(context)
        if fence and fence.end() > len(self._line) and (not found or fence.start() < found.start()):
            self._say(text[: fence.end() - len(self._line)], out)
            self._fenced = not self._fenced
            self._line = "`"  # this fence is read
            return context[fence.end() :]
        if found and found.start(1) >= len(self._line):
            self._say(text[: found.start(1) - len(self._line)], out)
            self._notation = next(one for one in NOTATIONS if found[1] in one.openers)
            return context[found.start(1) :]
        line = context.rpartition("\n")[2].lstrip(" \t")
        kept = 0
        if any(opener.startswith(line) for opener in (*_OPENERS, "```")) and line:
            kept = min(len(line), len(text))  # perhaps the first half of an opener
        self._say(text[: len(text) - kept], out)
        self._held = text[len(text) - kept :]
        return ""

    def _say(self, text: str, out: list[Event]) -> None:
        if text:
            self._pass(text)
            out.append(Text(text))

    def _pass(self, text: str) -> None:
        _, newline, line = text.rpartition("\n")
        if newline:
            self._line = line
        elif len(self._line) < _LINE:  # no opener is longer, and a longer line has begun already
            self._line += text[:_LINE]

    # -- calls

    def _call(self, text: str, out: list[Event]) -> str:
        """Read a call if it is all there; what is left to look at."""
        notation = self._notation
        if notation is None or not notation.closers:  # it ends with the text
            self._held = text
            return ""
        ends = [at + len(closer) for closer in notation.closers if (at := text.find(closer)) >= 0]
        if not ends:
            self._held = text
            return ""
        end = min(ends)
        self._notation = None
        calls = self._read(notation, text[:end])
        if calls is None:
            self._say(text[:end], out)
        else:
            out += calls
            self._line = ""
        return text[end:] if calls is None else text[end:].lstrip("\n")

    def _flush(self) -> list[Event]:
        """What is held is all there will be: a call whose end was left out, or text."""
        held, self._held = self._held, ""
        notation, self._notation = self._notation, None
        out: list[Event] = []
        if held and notation and (calls := self._read(notation, held)) is not None:
            return calls
        self._say(held, out)
        return out

    def _read(self, notation: Notation, text: str) -> list[Event] | None:
        said: list[Said] | None = notation.read(text)
        if not said or any(name not in self._tools for name, _ in said):
            return None
        out: list[Event] = []
        for name, arguments in said:
            tool = self._tools[name]
            key = _KEYS + self._count
            self._count += 1
            out.append(ToolCall(key, f"toolu_{self._seed}_{key}", tool["name"]))
            out.append(ToolArgs(key, msgspec.json.encode(typed(arguments, tool)).decode()))
        return out


def typed(arguments: dict[str, Any], tool: Tool) -> dict[str, Any]:
    """Arguments with the types of the tool's schema, where the notation had only text for them."""
    properties = (tool.get("input_schema") or {}).get("properties") or {}
    return {name: _typed(value, properties.get(name)) for name, value in arguments.items()}


def _typed(value: Any, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(value, str) or kind in {"string", None}:
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return {"true": True, "false": False}.get(value.strip().lower(), value) if kind == "boolean" else value
