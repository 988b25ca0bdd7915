"""Machines from events to events: repairs for servers that say a thing in the wrong place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.events import Signature, Stop, Text, Thinking, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_code_proxy.wire.events import Event

CHARS_PER_TOKEN: Final = 4
"""For an upstream that does not count what it says: about right for English and code."""

_TAGS: Final = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"))


class ThinkTags:
    """Reasoning that a server left in the text, between tags, becomes thinking.

    Only at the very beginning of what is said: a reply that mentions the tag later means the tag. White
    space around the reasoning belongs to neither. `signature` ends the thinking. `opened`: the server's
    template has opened the tag already, so the reply begins with reasoning.
    """

    __slots__ = ("_closings", "_held", "_read", "_signature", "_thought")

    def __init__(self, signature: str, *, opened: bool = False) -> None:
        self._signature = signature
        self._closings = tuple(closing for _, closing in _TAGS) if opened else ()
        self._held = ""
        self._thought = False  # there was any reasoning
        self._read: Callable[[str], list[Event]] | None = self._reasoning if opened else self._opening

    def feed(self, event: Event, /) -> Sequence[Event]:
        if self._read is None or isinstance(event, Usage):  # nearly always
            return (event,)
        if isinstance(event, Text):
            text, self._held = self._held + event.text, ""
            return self._read(text)
        out = self._flush()
        self._read = None  # a server that thinks elsewhere, or a call: tags later on mean themselves
        return (*out, event)

    def close(self) -> Sequence[Event]:
        return self._flush()

    def _opening(self, text: str) -> list[Event]:
        said = text.lstrip()
        for opening, closing in _TAGS:
            if said.startswith(opening):
                self._closings, self._read = (closing,), self._reasoning
                return self._reasoning(said.removeprefix(opening))
        if any(opening.startswith(said) for opening, _ in _TAGS):
            self._held = text  # perhaps the first half of a tag
            return []
        self._read = None
        return [Text(text)]

    def _reasoning(self, text: str) -> list[Event]:
        if not self._thought:
            text = text.lstrip()
        ends = [(at, closing) for closing in self._closings if (at := text.find(closing)) >= 0]
        if ends:
            at, closing = min(ends)
            self._read = self._answer
            return [*self._think(text[:at].rstrip()), *self._sign(), *self._answer(text[at + len(closing) :])]
        whole = text[: len(text) - max(_overlap(text, closing) for closing in self._closings)].rstrip()
        self._held = text[len(whole) :]  # perhaps the first half of a tag, and white space before one
        return self._think(whole)

    def _answer(self, text: str) -> list[Event]:
        said = text.lstrip()
        if not said:
            return []
        self._read = None
        return [Text(said)]

    def _think(self, text: str) -> list[Event]:
        self._thought = self._thought or bool(text)
        return [Thinking(text)] if text else []

    def _sign(self) -> list[Event]:
        return [Signature(self._signature)] if self._thought else []

    def _flush(self) -> list[Event]:
        held, self._held = self._held, ""
        if self._read == self._reasoning:
            return [*self._think(held.rstrip()), *self._sign()]
        return [Text(held)] if held else []


class StopSequences:
    """Ends a reply at the first stop sequence in its text, for an upstream that does not look for them.

    The sequence itself is not part of the reply; what may be its beginning is held back. The upstream's count
    of tokens comes after the end, so it is estimated, the prompt by `prompt_tokens`.
    """

    __slots__ = ("_counted", "_held", "_prompt_tokens", "_said", "_sequences")

    def __init__(self, sequences: Sequence[str], *, prompt_tokens: Callable[[], int]) -> None:
        self._sequences, self._prompt_tokens = sequences, prompt_tokens
        self._held = ""
        self._said = 0  # characters
        self._counted = False

    def feed(self, event: Event, /) -> Sequence[Event]:
        if isinstance(event, Usage):
            self._counted = self._counted or event.output is not None
            return (event,)
        if not isinstance(event, Text):
            return (*self.close(), event)
        self._said += len(event.text)
        text = self._held + event.text
        hits = [(at + len(one), at, one) for one in self._sequences if (at := text.find(one)) >= 0]
        if hits:
            _, at, sequence = min(hits)  # the first to be whole
            self._held = ""
            usage = () if self._counted else (Usage(self._prompt_tokens(), max(1, self._said // CHARS_PER_TOKEN)),)
            return (Text(text[:at]), *usage, Stop("stop_sequence", "stop", sequence))
        kept = max(_overlap(text, one) for one in self._sequences)
        said, self._held = text[: len(text) - kept], text[len(text) - kept :]
        return (Text(said),) if said else ()

    def close(self) -> Sequence[Event]:
        held, self._held = self._held, ""
        return (Text(held),) if held else ()


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0)
