"""Names and ids of tools that both sides accept.

Anthropic's clients want ids of letters, digits, `_` and `-`, unique in a conversation; upstreams give ids
with dots and colons, count them from 0 in every turn, or want nine characters exactly. Names over 64
characters, which MCP servers bring about, are refused by most. Every mapping here is a pure function of
the name or id, so that the whole history is mapped the same way on every turn.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.wire.messages import Tool

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_WORD: Final = re.compile(r"[0-9-]")
_HEAD: Final = 55

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{9,64}")
"""Ids that pass to the client as they are. Shorter ones are counters, which come again in the next turn."""

_WRAPPED: Final = "ccp_"
_SALT: Final = 8

_UPSTREAM_ID: Final[dict[str, re.Pattern[str]]] = {
    "any": re.compile(r".+", re.DOTALL),
    "openai": re.compile(r"[A-Za-z0-9_-]{1,40}"),
    "responses": re.compile(r".{1,64}", re.DOTALL),
    "mistral": re.compile(r"[A-Za-z0-9]{9}"),
}
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@lru_cache(1024)
def upstream_name(name: str, *, word: bool = False) -> str:
    """The name a tool is offered under: its own, or a short one with a hash of it.

    `word`: the upstream wants names that begin with a letter or `_`.
    """
    if _NAME.fullmatch(name) and not (word and _NO_WORD.match(name)):
        return name
    short = _FOREIGN.sub("_", name)[:_HEAD]
    if word and _NO_WORD.match(short):
        short = f"_{short}"[:_HEAD]
    return f"{short}_{sha256(name.encode()).hexdigest()[:8]}"


def client_name(name: str, tools: Mapping[str, Tool]) -> str:
    """The client's name for a tool, whatever the model or its server made of the one that was offered.

    `tools` are those that were offered, by the name they were offered under.
    """
    for said in (name, name.partition("<|")[0].strip(), name.rpartition(".")[2], name.strip()):
        if tool := tools.get(said):
            return tool["name"]
    return name


def client_id(ident: str, seed: str) -> str:
    """The id that the client sees for an upstream's: itself, or wrapped so that it is well-formed and unique.

    Of the seed its end is taken: seeds of one second begin alike.
    """
    if _CLIENT_ID.fullmatch(ident) and not ident.startswith(_WRAPPED):
        return ident
    return f"{_WRAPPED}{seed[-_SALT:].ljust(_SALT, '0')}{urlsafe_b64encode(ident.encode()).decode().rstrip('=')}"


def upstream_id(ident: str, rule: str) -> str:
    """The id that the upstream sees: its own again where it was wrapped, and one that the rule allows."""
    if ident.startswith(_WRAPPED):
        ident = _unwrapped(ident) or ident
    if _UPSTREAM_ID[rule].fullmatch(ident):
        return ident
    digest = sha256(ident.encode()).digest()
    if rule == "mistral":
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:9])
    return f"call_{digest.hex()[:24]}"


def _unwrapped(ident: str) -> str:
    """What an id of ours holds; nothing for one that is not ours, even where it looks so."""
    salt, packed = ident[len(_WRAPPED) :][:_SALT], ident[len(_WRAPPED) + _SALT :]
    try:
        inner = urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except ValueError:
        return ""
    return inner if inner and client_id(inner, salt) == ident else ""
