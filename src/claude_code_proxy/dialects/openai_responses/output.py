"""The items of a reply, each put together from the events about it.

An item is told in pieces and once more whole when it is done, and some servers leave out one or the other: what
was said in pieces is not said again, what was not is. What it begins with is empty, but some servers put the first
piece there, which mostly comes once more: it is said with the next piece, if that is another one, or at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from claude_code_proxy.dialects.arguments import Arguments
from claude_code_proxy.dialects.openai_responses.carried import JOINT, Carried, Next
from claude_code_proxy.wire.events import Citation, Text, Thinking, ToolArgs, ToolCall
from claude_code_proxy.wire.json_text import dumped, fields, items, paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.wire.events import Event


class Item:
    """An item of a kind that nothing is made of. `order` is its place among all items of the reply."""

    __slots__ = ("done", "ident", "kind", "led", "order", "torn", "waiting", "whole")

    def __init__(self, kind: str, order: int, item: dict[str, Any]) -> None:
        self.kind, self.order = kind, order
        self.ident = _text(item.get("id"))
        self.whole = item
        self.done = False
        self.led = False  # it is, or was, its turn
        self.torn = False  # what was said in pieces is not what was said whole
        self.waiting: list[Event] = []  # what it said while another item was being told

    def began(self, _item: dict[str, Any], /) -> Iterator[Event]:
        """What its beginning says."""
        yield from ()

    def took(self, _kind: str, _event: dict[str, Any], /) -> Iterator[Event]:
        """What one more event about it says; the first is the event's type without `response.`."""
        yield from ()

    def ended(self, _item: dict[str, Any], /) -> Iterator[Event]:
        """What is still to be said, now that it is whole; an empty item is one that was never told whole."""
        yield from ()


class Pieces:
    """Texts that come in pieces, by index, each perhaps once more whole."""

    __slots__ = ("_begun", "_half", "_said", "last", "torn")

    def __init__(self) -> None:
        self._said: dict[int, list[str]] = {}
        self._begun: dict[int, str] = {}  # what a text began with, until more is known of it
        self._half = ""  # of a character
        self.last: int | None = None
        self.torn = False

    def add(self, index: int, piece: str) -> str:
        """One more piece; what can be said of it."""
        if self._begun:
            piece = _joined(self._begun.pop(index, ""), piece)
        self.last = index
        self._said.setdefault(index, []).append(piece)
        if self._half:
            piece, self._half = self._half + piece, ""
        if piece.isascii():  # nearly always
            return piece
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return paired(piece)

    def begin(self, index: int, text: str) -> None:
        """What a text begins with."""
        if text and index not in self._said:
            self._begun[index] = text

    def rest(self, index: int, whole: str) -> str:
        """The whole text; what of it was not said yet. Pieces are believed where they say something else."""
        if whole:
            self._begun.pop(index, None)
        said = "".join(self._said.get(index, ()))
        if not whole.startswith(said):
            self.torn = self.torn or bool(whole)
            return ""
        return self.add(index, whole[len(said) :]) if len(whole) > len(said) else ""

    @property
    def begun(self) -> Sequence[tuple[int, str]]:
        """The texts of which only the beginning came, with that."""
        return sorted(self._begun.items())

    def text(self, index: int) -> str:
        """All that was said of one text."""
        return paired("".join(self._said.get(index, ())))

    @property
    def lengths(self) -> tuple[int, ...]:
        """The length of each text, in order."""
        return tuple(len(self.text(index)) for index in sorted(self._said))

    def __bool__(self) -> bool:
        return any(map(any, self._said.values()))


class Message(Item):
    """A message of the model's. `refused`: it is, or holds, a refusal."""

    __slots__ = ("_cited", "_pieces", "cited", "refused")

    def __init__(self, kind: str, order: int, item: dict[str, Any]) -> None:
        super().__init__(kind, order, item)
        self._pieces = Pieces()
        self._cited: set[tuple[object, ...]] = set()
        self.cited: dict[str, str] = {}  # titles by address
        self.refused = False

    @property
    def next(self) -> Next:
        """What tells it apart, for the reasoning before it."""
        phase = _text(self.whole.get("phase"))
        return Next("message", id=self.ident, phase=phase)

    def piece(self, event: dict[str, Any]) -> str:
        """The text of one delta."""
        delta = event.get("delta")
        return self._pieces.add(_index(event, "content_index"), delta) if isinstance(delta, str) and delta else ""

    def took(self, kind: str, event: dict[str, Any], /) -> Iterator[Event]:
        at = _index(event, "content_index")
        match kind:
            case "output_text.delta" | "refusal.delta":
                self.refused = self.refused or kind == "refusal.delta"
                yield from _said(self.piece(event))
            case "output_text.done":
                yield from self._part(at, {"type": "output_text", "text": event.get("text")})
            case "refusal.done":
                yield from self._part(at, {"type": "refusal", "refusal": event.get("refusal")})
            case "content_part.added":
                part = fields(event.get("part"))
                self.refused = self.refused or bool(part.get("refusal"))
                self._pieces.begin(at, _raw(part.get("refusal") or part.get("text")))
            case "content_part.done":
                yield from self._part(at, fields(event.get("part")))
            case "output_text.annotation.added":
                yield from self._citation(at, event.get("annotation"))

    def ended(self, item: dict[str, Any], /) -> Iterator[Event]:
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        for at, part in enumerate(items(content)):
            yield from self._part(at, fields(part))
        for at, text in self._pieces.begun:
            yield from _said(self._pieces.rest(at, text))

    def _part(self, at: int, part: dict[str, Any]) -> Iterator[Event]:
        """A part as it is whole."""
        refusal = part.get("refusal")
        self.refused = self.refused or bool(refusal)
        text = refusal or part.get("text")
        if isinstance(text, str):
            yield from _said(self._pieces.rest(at, text))
            self.torn = self._pieces.torn
        for annotation in items(part.get("annotations")):
            yield from self._citation(at, annotation)

    def _citation(self, at: int, value: object) -> Iterator[Event]:
        annotation = fields(value)
        annotation = fields(annotation.get("url_citation")) or annotation
        url, title = annotation.get("url"), _text(annotation.get("title"))
        seen = (at, url if isinstance(url, str) else "", str(annotation.get("start_index")))
        if not seen[1] or seen in self._cited:
            return
        self._cited.add(seen)
        self.cited.setdefault(_text(url), title)
        yield Citation(_text(url), title)


class Reasoning(Item):
    """Reasoning: a summary in parts, or the thing itself where the model is open; of both, what came first."""

    __slots__ = ("_field", "_pieces")

    def __init__(self, kind: str, order: int, item: dict[str, Any]) -> None:
        super().__init__(kind, order, item)
        self._pieces = Pieces()
        self._field: Literal["", "summary", "content"] = ""

    def took(self, kind: str, event: dict[str, Any], /) -> Iterator[Event]:
        name, _, what = kind.rpartition(".")
        field: Literal["summary", "content"] = "summary" if "summary" in name else "content"
        at = _index(event, "summary_index" if field == "summary" else "content_index")
        if what == "delta":
            yield from self._think(field, at, _raw(event.get("delta")), whole=False)
        else:
            text = _raw(event.get("text")) or _raw(fields(event.get("part")).get("text"))
            if what == "added":
                self._begin(field, at, text)
            else:
                yield from self._think(field, at, text, whole=True)

    def _begin(self, field: Literal["summary", "content"], at: int, text: str) -> None:
        if text and self._field in {"", field}:
            self._field = field
            self._pieces.begin(at, text)

    def ended(self, item: dict[str, Any], /) -> Iterator[Event]:
        for field in ("summary", "content"):
            parts = item.get(field)
            for at, part in enumerate([parts] if isinstance(parts, str) else items(parts)):
                text = part if isinstance(part, str) else fields(part).get("text")
                yield from self._think(field, at, _raw(text), whole=True)
        for at, text in self._pieces.begun:
            yield from self._think(self._field or "summary", at, text, whole=True)

    def _think(self, field: Literal["summary", "content"], at: int, text: str, *, whole: bool) -> Iterator[Event]:
        if not text or self._field not in {"", field}:
            return
        self._field = field
        before = self._pieces.last
        text = self._pieces.rest(at, text) if whole else self._pieces.add(at, text)
        self.torn = self._pieces.torn
        if text:
            joint = JOINT if before not in {None, at} else ""
            yield Thinking(joint + text)

    def carried(self, place: str, after: tuple[str, ...], following: Next | None) -> Carried | None:
        """What the next signature carries of it; None if there is nothing that anyone wants back."""
        encrypted = _text(self.whole.get("encrypted_content"))
        readable = self._field == "content"
        homeless = following is not None and following.kind == "item" and not following.item
        if (encrypted or readable) and not homeless:
            lengths = self._pieces.lengths
            return Carried(
                place, self.ident, encrypted, lengths if len(lengths) > 1 else (), readable, after, following
            )
        if following and following.phase:
            return Carried(place, next=following)
        return Carried(place) if self._pieces else None


class FunctionCall(Item):
    """A call of one of the client's functions."""

    __slots__ = ("_announced", "_arguments", "_begun", "_sent", "call_id", "name")

    def __init__(self, kind: str, order: int, item: dict[str, Any]) -> None:
        super().__init__(kind, order, item)
        self._arguments = Arguments()
        self._announced = False
        self._begun = _arguments(item.get("arguments"))
        self._sent: list[str] = []  # arguments that wait for the name
        self.call_id, self.name = _text(item.get("call_id")), _text(item.get("name"))

    @property
    def next(self) -> Next:
        """What tells it apart, for the reasoning before it."""
        return Next("call", id=self.ident, call_id=self.call_id)

    def began(self, _item: dict[str, Any], /) -> Iterator[Event]:
        if self.name and self.call_id:
            yield from self._announce()

    def took(self, kind: str, event: dict[str, Any], /) -> Iterator[Event]:
        if kind == "function_call_arguments.delta":
            piece = _arguments(event.get("delta"))
            if piece and self._begun:
                piece = piece if piece.lstrip().startswith("{") else self._begun + piece  # or it begins once more
                self._begun = ""
            yield from self._say(piece)
        elif kind == "function_call_arguments.done":
            self.name = self.name or _text(event.get("name"))
            yield from self._rest(_arguments(event.get("arguments")))

    def ended(self, item: dict[str, Any], /) -> Iterator[Event]:
        self.call_id = self.call_id or _text(item.get("call_id")) or self.ident
        self.name = self.name or _text(item.get("name"))
        yield from self._announce()
        yield from self._rest(_arguments(item.get("arguments")) or self._begun)
        if rest := self._arguments.rest():
            yield ToolArgs(self.order, rest)

    def _announce(self) -> Iterator[Event]:
        if not self._announced:
            self._announced = True
            yield ToolCall(self.order, self.call_id, self.name)
            yield from (ToolArgs(self.order, piece) for piece in self._sent)

    def _say(self, piece: str) -> Iterator[Event]:
        if piece and (said := self._arguments.take(piece)):
            if self._announced:
                yield ToolArgs(self.order, said)
            else:
                self._sent.append(said)

    def _rest(self, whole: str) -> Iterator[Event]:
        if whole:
            self._begun = ""
        said = self._arguments.said
        if whole.startswith(said):
            yield from self._say(whole[len(said) :])
        else:
            self.torn = self.torn or bool(whole)


class CustomCall(FunctionCall):
    """A call with free text for arguments; the client gets an object that holds it."""

    __slots__ = ("_input",)

    def __init__(self, kind: str, order: int, item: dict[str, Any]) -> None:
        super().__init__(kind, order, item)
        self._input = Pieces()

    def took(self, kind: str, event: dict[str, Any], /) -> Iterator[Event]:
        if kind == "custom_tool_call_input.delta":
            self._input.add(0, _raw(event.get("delta")))
        elif kind == "custom_tool_call_input.done":
            self._input.rest(0, _raw(event.get("input")))
        yield from ()

    def ended(self, item: dict[str, Any], /) -> Iterator[Event]:
        self._input.rest(0, _raw(item.get("input")))
        arguments = dumped({"input": self._input.text(0)})
        yield from super().ended({**item, "arguments": arguments})


class Search(Item):
    """A web search of the provider's."""

    __slots__ = ()


KINDS: Final[dict[str, type[Item]]] = {
    "message": Message,
    "reasoning": Reasoning,
    "function_call": FunctionCall,
    "custom_tool_call": CustomCall,
    "web_search_call": Search,
}
"""The types of items that something is made of."""

OWNERS: Final[tuple[tuple[str, str], ...]] = (
    ("output_text", "message"),
    ("refusal", "message"),
    ("reasoning", "reasoning"),
    ("function_call_arguments", "function_call"),
    ("custom_tool_call_input", "custom_tool_call"),
)
"""What an event's type begins with, and the type of item it is about, for items that were never announced."""


def _joined(begun: str, piece: str) -> str:
    """The first piece of a text, behind what the text began with, unless that is the same."""
    return piece if begun.startswith(piece) or piece.startswith(begun) else begun + piece


def _said(text: str) -> Sequence[Event]:
    return (Text(text),) if text else ()


def _raw(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(value: object) -> str:
    return paired(value) if isinstance(value, str) else ""


def _index(event: dict[str, Any], name: str) -> int:
    index = event.get(name)
    return index if isinstance(index, int) else 0


def _arguments(value: object) -> str:
    if isinstance(value, (dict, list)):
        return dumped(value)
    return _text(value)
