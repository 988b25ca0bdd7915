"""What a turn carries home in the signatures of its thinking blocks, because Anthropic's format has no place for it.

An output item of reasoning goes back as it was, encrypted, to the model and place that made it, and only
directly before the item that came of it: an API that finds it alone refuses the request. So the signature says
which item that was. Messages have an id and a `phase`, which are carried in front of them in the same way, in
a thinking block without text where there was no reasoning.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from claude_code_proxy.wire import signature

if TYPE_CHECKING:
    from claude_code_proxy.wire.messages import Content

DIALECT = "openai_responses"


class Next(Struct, frozen=True, omit_defaults=True):
    """The item that follows: a message or a call, by what tells them apart, or a server's item, whole."""

    kind: Literal["message", "call", "item"]
    id: str = ""
    call_id: str = ""
    phase: str = ""
    item: dict[str, Any] = {}


class Carried(Struct, frozen=True, omit_defaults=True):
    """What one signature holds.

    `place` is where it was minted. `id`, `encrypted` and `lengths` (of the parts that the block's text was
    joined from) are those of an item of reasoning; `readable`: its text is the reasoning itself, not a summary.
    Reasoning that other reasoning came after has no `next`; that other one has its id in `after`.
    """

    place: str
    id: str = ""
    encrypted: str = ""
    lengths: tuple[int, ...] = ()
    readable: bool = False
    after: tuple[str, ...] = ()
    next: Next | None = None


class Place(Struct, frozen=True):
    """Who may read a signature: one model at one address."""

    model: str
    base_url: str

    def __str__(self) -> str:
        return sha256(self.base_url.encode()).hexdigest()[:8]

    def mint(self, carried: Carried | None = None) -> str:
        """The signature that carries this home."""
        state = None if carried is None else msgspec.to_builtins(carried)
        return signature.mint(signature.Minted(DIALECT, self.model, state))

    def read(self, block: Content) -> Carried | None:
        """What a thinking block carries that was minted here; None for anyone else's, and for one without state."""
        minted = signature.read(block.get("signature"))
        if minted is None or (minted.dialect, minted.model) != (DIALECT, self.model):
            return None
        try:
            carried = msgspec.convert(minted.state, Carried)
        except msgspec.ValidationError:
            return None
        return carried if carried.place == str(self) else None


JOINT = "\n\n"
"""What stands between the parts of a summary where they are one text."""


def reasoning_item(carried: Carried, thinking: str) -> dict[str, Any] | None:
    """The item of reasoning as the API wants it back; None where there is none that it could read.

    Without its encrypted content an item is looked up by its id, and nothing is stored.
    """
    if not carried.id or not (carried.encrypted or (carried.readable and thinking)):
        return None
    kind = "reasoning_text" if carried.readable else "summary_text"
    parts = [{"type": kind, "text": text} for text in _parts(thinking, carried.lengths)]
    item: dict[str, Any] = {"type": "reasoning", "id": carried.id, "summary": [] if carried.readable else parts}
    if carried.readable:
        item["content"] = parts
    if carried.encrypted:
        item["encrypted_content"] = carried.encrypted
    return item


def _parts(text: str, lengths: tuple[int, ...]) -> list[str]:
    """A text as the parts it was joined from; as one where it is not what it was."""
    if not text:
        return []
    parts, at = list[str](), 0
    for length in lengths:
        parts.append(text[at : at + length])
        at += length + len(JOINT)
    return parts if JOINT.join(parts) == text else [text]
