"""What is shown of a captured request: the one place where the page of a request asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from claude_code_proxy.ledger.reading import Reader


class Section(Struct, frozen=True):
    """A part of the page: a title, and blocks of text, each with a name and how it is coloured."""

    title: str
    blocks: tuple[Block, ...] = ()


class Block(Struct, frozen=True):
    """A block of a section: its name, its text, and how it is coloured."""

    name: str
    text: str
    tone: str = ""


def sections(request_id: str, reader: Reader) -> list[Section]:
    """The parts of what was captured of a request; none where nothing was."""
    del request_id, reader
    return []
