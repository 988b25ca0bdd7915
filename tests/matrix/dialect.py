"""What a dialect of the matrix is: a strict upstream, and how the same things are said and read there."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from e2e.tool_loop import Answered
    from upstreams import Call, Http, Raw, Recorded
    from upstreams.server import Fake


@dataclass(frozen=True)
class Page:
    """A page that a search finds."""

    url: str
    title: str


@dataclass(frozen=True)
class Said:
    """What the model says, whatever its dialect. `used` is the prompt's size that it tells, in tokens."""

    text: str = ""
    calls: Sequence[Call] = ()
    thought: str = ""
    used: int = 100
    found: Sequence[Page] = ()


Own = TypeVar("Own")
Body: TypeAlias = dict[str, Any]


class Dialect(ABC, Generic[Own]):
    """An upstream of one dialect.

    `wish` is how the client names its model, `second` another. `turns` is the field of the body that holds the conversation. `searches`: it searches the web
    itself. `reads_pdf`: it takes PDFs as they are. `native`: it speaks the client's own format.
    `notes` say for scenarios what is other than a user may hope, and why.
    """

    name: ClassVar[str]
    wish: ClassVar[str]
    second: ClassVar[str]
    turns: ClassVar[str] = "messages"
    searches: ClassVar[bool] = False
    reads_pdf: ClassVar[bool] = True
    native: ClassVar[bool] = False
    notes: ClassVar[Mapping[str, str]] = {}

    def __init__(self, fake: Fake[Own]) -> None:
        self.fake = fake

    @property
    @abstractmethod
    def env(self) -> dict[str, str]:
        """The server's variables."""

    @property
    def config(self) -> str:
        """What the server's config.toml must hold."""
        return ""

    @abstractmethod
    def reply(self, said: Said) -> Own:
        """Say it in the dialect."""

    @abstractmethod
    def failing(self, status: int, message: str) -> Http:
        """Fail in the dialect's words."""

    @property
    @abstractmethod
    def too_long(self) -> Http:
        """Refuse a prompt that is too long, as this upstream does."""

    @abstractmethod
    def answered(self, body: Body) -> list[Answered]:
        """The calls of a request that have a result, in order."""

    @abstractmethod
    def tools(self, body: Body) -> list[str]:
        """The names of the tools that the model is shown."""

    def is_search(self, body: Body) -> bool:
        """Whether the request is for the upstream's own search."""
        return False

    @property
    def path(self) -> str:
        """What a base URL ends in that pins the model."""
        return f"/{self.wish}"

    def use(self, *said: Said | Http | Raw, by: Callable[[Body], Said | Http | Raw] | None = None) -> None:
        """Answer with these, the last again and again, or by what is asked. Nothing so far may have been refused."""
        assert self.fake.refusals == []
        if by is None:
            self.fake.use(*map(self._rendered, said))
        else:
            script = by
            self.fake.use(by=lambda rec: self._rendered(script(self.body(rec))))

    def body(self, rec: Recorded) -> Body:
        """What was asked, with the model."""
        body: Body = rec.json
        return body

    def _rendered(self, said: Said | Http | Raw) -> Own | Http | Raw:
        return self.reply(said) if isinstance(said, Said) else said

    @property
    def asked(self) -> list[Recorded]:
        """The requests that a model was to answer."""
        return self.fake.posts

    @property
    def bodies(self) -> list[Body]:
        """Their bodies."""
        return [self.body(rec) for rec in self.asked]

    def text(self, body: Body) -> str:
        """All that is said in the conversation, and in what stands around it."""
        return "\n".join(strings(body[self.turns]))

    def last(self, body: Body) -> str:
        """What was said last."""
        return "\n".join(strings(body[self.turns][-2:]))

    def media(self, body: Body) -> list[str]:
        """The media types of the files in the conversation."""
        return list(media(body[self.turns]))

    def cached(self, body: Body) -> Body:
        """What of a request a prompt cache depends on."""
        return body


def strings(value: Any) -> Iterator[str]:
    """Every string in it, in order."""
    match value:
        case str():
            yield value
        case list():
            for inner in value:
                yield from strings(inner)
        case dict():
            for inner in value.values():
                yield from strings(inner)


DATA_URL = re.compile(r"data:([\w/+.-]+);base64,")


def media(value: Any) -> Iterator[str]:
    """The media type of every file in it, in whichever form."""
    match value:
        case str() if found := DATA_URL.match(value):
            yield found[1]
        case {"media_type": str(kind), "data": str()} | {"mimeType": str(kind), "data": str()}:
            yield kind
        case list():
            for inner in value:
                yield from media(inner)
        case dict():
            for inner in value.values():
                yield from media(inner)


def references(value: Any) -> Iterator[str]:
    """The tools that results refer to."""
    match value:
        case {"type": "tool_reference", "tool_name": str(name)}:
            yield name
        case list():
            for inner in value:
                yield from references(inner)
        case dict():
            for inner in value.values():
                yield from references(inner)
