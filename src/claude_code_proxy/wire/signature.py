"""Signatures of our own: what a thinking block carries home when its model was not Claude.

Anthropic's clients keep the signature of a thinking block as it is and send it back with the history.
Ours says which dialect and model minted it and may hold state of the provider's. It is read only by the
same dialect; at any other door the block is foreign.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import orjson
from msgspec import Struct

from claude_code_proxy.wire.json_text import dumped

MARK: Final = "ccp1."
"""What every signature of ours begins with."""


class Minted(Struct, frozen=True):
    """Who minted a signature, and the state it carries (JSON; None when there is none)."""

    dialect: str
    model: str
    state: Any = None


def mint(minted: Minted) -> str:
    """The signature as text: printable, opaque to clients, and like none of any provider's."""
    body = [minted.dialect, minted.model] if minted.state is None else [minted.dialect, minted.model, minted.state]
    return MARK + urlsafe_b64encode(dumped(body).encode()).decode()


def read(signature: object) -> Minted | None:
    """What a signature of ours says; None for anyone else's, an empty one, a damaged one, or what is none."""
    if not isinstance(signature, str) or not signature.startswith(MARK):
        return None
    try:
        match orjson.loads(urlsafe_b64decode(signature[len(MARK) :])):
            case [str(dialect), str(model), *rest]:
                return Minted(dialect, model, rest[0] if rest else None)
            case _:
                return None
    except (binascii.Error, ValueError):
        return None
