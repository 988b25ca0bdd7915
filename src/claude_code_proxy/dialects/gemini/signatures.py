"""Thought signatures: how each comes home to the part that it was issued with.

Gemini signs parts: calls, texts, thoughts, and empty texts at the end. Anthropic's clients keep one signature for
each thinking block. So the signature of ours that ends such a block carries a note for every signed part around
it, and an empty block is made where a part was signed and nothing was thought. The notes say which part they
mean by what clients keep: the id of a call, the length of a text and a checksum of it.

A signature is good at the place and for the model that issued it. Anywhere else it is left out, and the first call
of a step gets the stand-in that Google documents for calls it did not make.

    {"call": id, "sig"}                         the call of this id
    {"next": length, "sum", "sig"}              the beginning of the next text; of length 0: an empty text here
    {"last": [from, length], "sum", "sig"}      a piece of the text before
    {"thought": [from, length], "sig"}          a piece of the thinking that this signature ends

With "part" in place of "sig" the piece of text told of that part, which goes back as it was.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from zlib import crc32

from claude_code_proxy.wire import signature
from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.messages import Content

Part: TypeAlias = dict[str, Any]
Note: TypeAlias = dict[str, Any]

STAND_IN: Final = "skip_thought_signature_validator"
"""What Google takes for the signature of a call that it did not issue."""

_DIALECT: Final = "gemini"


def place_of(base_url: str) -> str:
    """Whose signatures these are: those of one address are refused at another."""
    return sha256(base_url.encode()).hexdigest()[:8]


def minted(model: str, place: str, notes: Sequence[Note] = ()) -> str:
    """The signature of a thinking block, with these notes."""
    return signature.mint(signature.Minted(_DIALECT, model, [place, *notes] if notes else None))


def notes_in(block: Content, model: str, place: str) -> list[Note]:
    """The notes in a thinking block; none if another model or place issued it."""
    read = signature.read(block.get("signature"))
    if not read or (read.dialect, read.model) != (_DIALECT, model):
        return []
    state = items(read.state)
    if state[:1] != [place]:
        return []
    return [note for note in map(fields, state[1:]) if _is(note, "sig", str) or _is(note, "part", dict)]


# -- making notes


def checksum(text: str) -> int:
    """What tells a text from another of its length."""
    return crc32(text.encode("utf-8", "replace"))


def of_call(ident: str, signed: str) -> Note:
    """The note for the call that the client knows by this id."""
    return {"call": ident, "sig": signed}


def of_next(text: str, holds: Note) -> Note:
    """The note for a text that is about to be said, or (empty) for a part without any."""
    return {"next": len(text), "sum": checksum(text), **holds}


def of_last(at: int, text: str, holds: Note) -> Note:
    """The note for a text that was said in the block before, from the character `at`."""
    return {"last": [at, len(text)], "sum": checksum(text), **holds}


def of_thought(at: int, text: str, signed: str) -> Note:
    """The note for a thought of the block that the signature ends."""
    return {"thought": [at, len(text)], "sig": signed}


# -- reading them


def call_signatures(notes: Sequence[Note]) -> dict[str, str]:
    """The signature of each call, by the id the client knows it by."""
    return {note["call"]: note["sig"] for note in notes if _is(note, "call", str) and "sig" in note}


def thoughts(block: Content, notes: Sequence[Note]) -> list[Part]:
    """The thoughts of a block that were signed, as parts."""
    said = block["thinking"]
    return [
        {"text": said[where[0] : sum(where)], "thought": True, "thoughtSignature": note["sig"]}
        for note in notes
        if "sig" in note and (where := _range(note, "thought"))
    ]


def here(notes: Sequence[Note]) -> list[Part]:
    """The parts without text that stand where the block stands."""
    return [_part("", note) for note in notes if note.get("next") == 0]


def ahead(notes: Sequence[Note]) -> list[Note]:
    """The notes for the text that follows, as pieces of it."""
    return [{**note, "at": [0, note["next"]]} for note in notes if _is(note, "next", int) and note["next"] > 0]


def behind(notes: Sequence[Note]) -> list[Note]:
    """The notes for the text before."""
    return [{**note, "at": list(where)} for note in notes if (where := _range(note, "last"))]


def divided(text: str, notes: Sequence[Note]) -> list[Part]:
    """A text as the parts it was made of. A note whose piece is not there any more becomes an empty part."""
    parts: list[Part] = []
    lost: list[Part] = []
    end = 0
    for note in sorted(notes, key=lambda note: note["at"]):
        at, length = note["at"]
        piece = text[at : at + length]
        if at < end or len(piece) != length or checksum(piece) != note.get("sum"):
            lost += [_part("", note)] if "sig" in note else []
            continue
        parts += [{"text": text[end:at]}] if at > end else []
        parts.append(_part(piece, note))
        end = at + length
    rest = [{"text": text[end:]}] if end < len(text) else []
    return [*parts, *rest, *lost]


def _part(text: str, note: Note) -> Part:
    if part := fields(note.get("part")):
        return dict(part)
    return {"text": text, "thoughtSignature": str(note.get("sig"))}


def _is(note: Note, name: str, kind: type) -> bool:
    return isinstance(note.get(name), kind)


def _range(note: Note, name: str) -> tuple[int, int] | None:
    match note.get(name):
        case [int(at), int(length)] if at >= 0 and length >= 0:
            return at, length
        case _:
            return None
