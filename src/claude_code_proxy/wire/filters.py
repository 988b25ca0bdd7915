"""Machines from events to events: repairs for servers that say a thing in the wrong place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.events import Signature, Stop, Text, Thinking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event

_TAGS: Final = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"))


class ThinkTags:
    """Reasoning that a server left in the text, between tags, becomes thinking.

    Only at the very beginning of what is said: a reply that mentions the tag later means the tag. White
    space around the reasoning belongs to neither. `signature` ends the thinking.
    """

    __slots__ = ("_close", "_held", "_signature", "_state")

    def __init__(self, signature: str) -> None:
        self._signature = signature
        self._state = "start"  # then "inside", "after" (white space may follow), and "off"
        self._held = ""
        self._close = ""

    def feed(self, event: Event, /) -> Sequence[Event]:
        if self._state == "off":  # nearly always
            return (event,)
        if not isinstance(event, Text):
            if isinstance(event, Thinking) and self._state == "start":
                self._state = "off"  # this server has a field for it
            return (*self._flush(), event)
        text, self._held = self._held + event.text, ""
        return self._read(text)

    def close(self) -> Sequence[Event]:
        return self._flush()

    def _read(self, text: str) -> list[Event]:
        match self._state:
            case "start":
                return self._opening(text)
            case "inside":
                return self._reasoning(text)
            case _:
                return self._answer(text)

    def _opening(self, text: str) -> list[Event]:
        said = text.lstrip()
        for opening, closing in _TAGS:
            if said.startswith(opening):
                self._state, self._close = "inside", closing
                return self._reasoning(said.removeprefix(opening).removeprefix("\n"))
        if any(opening.startswith(said) for opening, _ in _TAGS):
            self._held = text  # perhaps the first half of a tag
            return []
        self._state = "off"
        return [Text(text)]

    def _reasoning(self, text: str) -> list[Event]:
        thought, found, rest = text.partition(self._close)
        if found:
            self._state = "after"
            return [*_thinking(thought.rstrip()), Signature(self._signature), *self._answer(rest)]
        kept = _overlap(thought, self._close)
        blank = len(thought) - kept - len(thought[: len(thought) - kept].rstrip())
        cut = len(thought) - kept - blank  # white space before a closing tag is not reasoning
        self._held = thought[cut:]
        return _thinking(thought[:cut])

    def _answer(self, text: str) -> list[Event]:
        said = text.lstrip()
        if not said:
            return []
        self._state = "off"
        return [Text(said)]

    def _flush(self) -> list[Event]:
        held, self._held = self._held, ""
        if not held:
            return []
        return _thinking(held) if self._state == "inside" else [Text(held)]


def _thinking(text: str) -> list[Event]:
    return [Thinking(text)] if text else []


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0)


class StopSequences:
    """Ends a reply at the first stop sequence in its text, for an upstream that does not look for them.

    The sequence itself is not part of the reply; what may be its beginning is held back.
    """

    __slots__ = ("_held", "_sequences")

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = sequences
        self._held = ""

    def feed(self, event: Event, /) -> Sequence[Event]:
        if not isinstance(event, Text):
            return (*self.close(), event)
        text = self._held + event.text
        hits = [(at, one) for one in self._sequences if (at := text.find(one)) >= 0]
        if hits:
            at, sequence = min(hits)
            self._held = ""
            return (Text(text[:at]), Stop("stop_sequence", "stop", sequence))
        kept = max(_overlap(text, one) for one in self._sequences)
        said, self._held = text[: len(text) - kept], text[len(text) - kept :]
        return (Text(said),) if said else ()

    def close(self) -> Sequence[Event]:
        held, self._held = self._held, ""
        return (Text(held),) if held else ()
