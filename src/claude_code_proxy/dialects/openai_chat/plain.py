"""The chunk that nearly every chunk is: a piece of text, and nothing beside it.

Its type is as narrow as that, and decoding into a type takes half of what decoding and then looking does. What does not
fit is no mistake: it is decoded and read in full.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

_Nothing: TypeAlias = Literal[""] | Annotated[list[Any], Meta(max_length=0)] | None


class _Delta(Struct, forbid_unknown_fields=True, gc=False):
    content: str
    role: str | None = None
    refusal: _Nothing = None
    annotations: _Nothing = None
    tool_calls: _Nothing = None
    function_call: _Nothing = None
    reasoning: _Nothing = None
    reasoning_content: _Nothing = None
    reasoning_details: _Nothing = None


class _Choice(Struct, gc=False):
    """What it says beside these, as of probabilities, nobody is told."""

    delta: _Delta
    index: Literal[0] = 0
    finish_reason: Literal[""] | None = None


class _Chunk(Struct, forbid_unknown_fields=True, gc=False):
    """A field that is not named here may say something of its own, as of a failure."""

    choices: tuple[_Choice]
    usage: None = None
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    obfuscation: Any = None
    provider: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


def plain_text(data: bytes) -> str:
    """The text of a chunk that holds nothing else; empty for any other."""
    try:
        return _CHUNK.decode(data).choices[0].delta.content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
