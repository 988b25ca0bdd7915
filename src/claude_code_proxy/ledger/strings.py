"""Where the strings of JSON stand in bytes: a whole body, the events of a stream, or a piece of either."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]

STRING: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?', re.DOTALL)
"""A string, and whether it is the name of a field."""

_LINE: Final = re.compile(rb"[^\r\n]+")
_NUMBERS: Final = ("index", "output_index", "content_index", "summary_index", "item_id")
"""Fields that tell which of several texts an event adds to."""


class Found(NamedTuple):
    """A string that is a value: where it stands, without its quotes.

    `path` leads to it, `which` tells apart texts of the same path.
    """

    start: int
    end: int
    path: Path
    which: tuple[object, ...]


class Document(NamedTuple):
    """A JSON document in the bytes. `broken`: it is none after all, or only the beginning of one."""

    start: int
    end: int
    broken: bool = False


def documents(data: bytes) -> list[Document]:
    """The documents: the one that is all of the bytes, or those on lines of their own, perhaps behind `data:`."""
    if _paths(data) is not None:
        return [Document(0, len(data))]
    found: list[Document] = []
    for line in _LINE.finditer(data):
        start, end = line.span()
        text = line[0]
        if text.startswith(b"data:"):
            start += len(b"data:")
        elif text.lstrip()[:1] not in {b"{", b"["}:
            continue
        found.append(Document(start, end, _paths(data[start:end]) is None))
    return found


def strings(data: bytes, document: Document) -> list[Found]:
    """The strings that are values of a document that is not broken, in their order."""
    text = data[document.start : document.end]
    places = (match.span(1) for match in STRING.finditer(text) if not match[2])
    return [
        Found(document.start + start, document.start + end, path, which)
        for (start, end), (path, which) in zip(places, _paths(text) or (), strict=True)
    ]


class _Object(list[tuple[str, Any]]):
    """An object's fields in their order, those that stand twice among them."""


def _paths(text: bytes) -> list[tuple[Path, tuple[object, ...]]] | None:
    """The paths of the strings of a document; None for one that is broken, or nested too deeply."""
    try:
        return list(_walk(json.loads(text.decode(), object_pairs_hook=_Object), (), ()))
    except (ValueError, RecursionError):
        return None


def _walk(value: Any, path: Path, which: tuple[object, ...]) -> Iterator[tuple[Path, tuple[object, ...]]]:
    if isinstance(value, str):
        yield path, which
    elif isinstance(value, _Object):
        which += tuple(held for name, held in value if name in _NUMBERS and isinstance(held, (int, str)))
        for name, held in value:
            yield from _walk(held, (*path, name), which)
    elif isinstance(value, list):
        items: Sequence[Any] = value
        for number, held in enumerate(items):
            yield from _walk(held, (*path, number), which)
