"""What servers like OpenAI's take beside its own fields, so that the rest can be judged by OpenAI's rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """An object that takes no field it does not know."""


class CacheControl(_Strict):
    """Anthropic's mark on a part of content, or on a whole request."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | UnsetType = UNSET


class Marked(msgspec.Struct):
    """A part of content, as far as its mark goes."""

    type: Literal["text"]
    cache_control: CacheControl


class Extras(msgspec.Struct):
    """What other servers take beside OpenAI's fields: OpenRouter's, DeepSeek's."""

    cache_control: CacheControl | UnsetType = UNSET
    reasoning: dict[str, Any] | UnsetType = UNSET
    session_id: Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType = UNSET
    top_k: int | UnsetType = UNSET


class SearchParameters(_Strict):
    """Of OpenRouter's own search."""

    allowed_domains: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET
    excluded_domains: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET


class SearchTool(_Strict):
    type: Literal["openrouter:web_search"]
    parameters: SearchParameters | UnsetType = UNSET


MOST_MARKS = 4
MESSAGE_EXTRAS = ("reasoning_content", "reasoning_details")


def without_extras(raw: bytes) -> bytes:
    """The request as OpenAI would have it; the extras are checked for their types."""
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
        msgspec.convert(body, Extras)
    except msgspec.DecodeError:
        return raw
    for message in body.get("messages", []):
        for name in MESSAGE_EXTRAS:
            message.pop(name, None)
    if sum(_unmarked(part) for message in body.get("messages", []) for part in _parts(message)) > MOST_MARKS:
        return raw
    tools = [tool for tool in body.pop("tools", ()) if not _searches(tool)]
    body |= {"tools": tools} if tools else {}
    return msgspec.json.encode({name: value for name, value in body.items() if name not in Extras.__struct_fields__})


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message["content"] if isinstance(message.get("content"), list) else []


def _unmarked(part: dict[str, Any]) -> bool:
    """Take the mark off a part; one that is wrong stays, to be refused."""
    try:
        msgspec.convert(part, Marked)
    except msgspec.ValidationError:
        return False
    del part["cache_control"]
    return True


def _searches(tool: dict[str, Any]) -> bool:
    try:
        parameters = msgspec.convert(tool, SearchTool).parameters
    except msgspec.ValidationError:
        return False
    return parameters is UNSET or UNSET in (parameters.allowed_domains, parameters.excluded_domains)
