"""Says things in order, each with the note of its signature in the thinking block beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_code_proxy.dialects.gemini import signatures
from claude_code_proxy.wire.events import Signature, Text, Thinking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_code_proxy.dialects.gemini.signatures import Note
    from claude_code_proxy.wire.events import Event, ToolCall


class Speech:
    """The order of one reply of `model` at `place` (`signatures.place_of`).

    The note of a signed part stands in a thinking block before it, where none is open in one made for it. Where the
    text runs already, its notes wait for the next block, as a text must not be torn: Claude Code's answer is the last
    block. For the same reason there is no such block behind the text that ends a reply without calls; the signature
    of that text is then lost, which Google allows.
    """

    __slots__ = ("_call", "_model", "_notes", "_place", "_text", "_thinking")

    def __init__(self, model: str, place: str) -> None:
        self._model, self._place = model, place
        self._notes: list[Note] = []  # for the thinking block that ends next
        self._thinking: int | None = None  # characters in the thinking block that is open
        self._text: int | None = None  # characters in the text block that is open
        self._call = ""  # the id of the last call

    @property
    def in_text(self) -> bool:
        """Whether text was said last."""
        return self._text is not None

    def thought(self, text: str, signed: str) -> Iterator[Event]:
        """A piece of thinking, and its signature if it has one."""
        if signed:
            self._notes.append(signatures.of_thought(self._thinking or 0, text, signed))
        if text:
            self._text = None
            self._thinking = (self._thinking or 0) + len(text)
            yield Thinking(text)

    def text(self, text: str, holds: Note | None) -> Iterator[Event]:
        """A piece of text. `holds` is what its note says; a part without text has a note all the same."""
        if self._text is not None:
            if holds:
                self._notes.append(signatures.of_last(self._text, text, holds))
        else:
            if holds:
                self._notes.append(signatures.of_next(text, holds))
            if text:
                yield from self._sign()
        if text:
            self._text = (self._text or 0) + len(text)
            yield Text(text)

    def call(self, call: ToolCall, signed: str) -> Iterator[Event]:
        """A call begins."""
        self._call = call.id
        self.sign_call(signed)
        yield from self._sign()
        self._text = None
        yield call

    def sign_call(self, signed: str) -> None:
        """The signature of the last call, where it has one."""
        if signed:
            self._notes.append(signatures.of_call(self._call, signed))

    def end(self, *, called: bool) -> Iterator[Event]:
        """All is said. `called`: the client goes on with its calls, whatever block is the last."""
        if self._thinking is not None or self._text is None or called:
            yield from self._sign()

    def _sign(self) -> Iterator[Event]:
        if self._thinking is not None or self._notes:
            yield Signature(signatures.minted(self._model, self._place, self._notes))
            self._notes = []
            self._thinking = self._text = None
