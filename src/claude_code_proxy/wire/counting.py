"""How many tokens a request is, estimated. Pure, and cheap enough to be asked two dozen times at once."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import TYPE_CHECKING, Final

import msgspec

from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.head import body_of
from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from claude_code_proxy.wire.head import Head

_BYTES_PER_TOKEN: Final = 3.5
"""UTF-8 bytes a token: near the truth for English and code, and for Chinese, where a character has three."""

_MESSAGE: Final = 4
"""Tokens around each message."""

_IMAGE_TILE: Final = 28
_IMAGE_MOST: Final = 1568
"""An image costs one token for each 28 × 28 pixels, and is scaled down to 1568 of them (Anthropic's docs)."""

_PDF_PAGE: Final = 2500
_PDF_BYTES_PER_PAGE: Final = 50_000


def count(head: Head) -> int:
    """About how many input tokens a request body is: text, tools, system, images and documents.

    Raises `ApiError` (400) for a malformed one.
    """
    if not head.raw:
        return head.tokens
    request = checked(body_of(head), counting=True)
    size = _size(request.get("system"))
    for message in request.get("messages", ()):
        size += _size(message["content"]) + _MESSAGE * _BYTES_PER_TOKEN
    size += sum(len(msgspec.json.encode(tool)) for tool in request.get("tools") or ())
    return max(1, math.ceil(size / _BYTES_PER_TOKEN))


def at_most(head: Head) -> float:
    """What `count_surely` cannot exceed, without parsing."""
    return len(head.raw) / _BYTES_PER_TOKEN


def count_surely(head: Head) -> int:
    """The same of what every upstream gets and counts alike.

    That is without images, documents and thinking, whose cost is each upstream's own matter, and without tools that
    are loaded later. Raises `ApiError` (400) for a malformed request.
    """
    request = checked(body_of(head), counting=True)
    size = _text_size(request.get("system"))
    size += sum(_text_size(message["content"]) for message in request.get("messages", ()))
    for tool in request.get("tools") or ():
        size += 0 if fields(tool).get("defer_loading") else len(msgspec.json.encode(tool))
    return math.ceil(size / _BYTES_PER_TOKEN)


def estimated(content: object) -> int:
    """About how many tokens a piece of a request is, as Python values: a text, a block, a tool."""
    return math.ceil(_size(content) / _BYTES_PER_TOKEN)


def _text_size(content: object) -> int:
    """Bytes of the text, calls and results in content."""
    if isinstance(content, str):
        return len(content.encode())
    if parts := items(content):
        return sum(map(_text_size, parts))
    match fields(content):
        case {"type": "text", "text": text}:
            return _text_size(text)
        case {"type": "tool_use"} as call:
            return len(msgspec.json.encode(call.get("input")))
        case {"type": "tool_result"} as result:
            return _text_size(result.get("content"))
        case _:
            return 0


def _size(content: object) -> float:
    """The size of content in bytes of text that would cost as much."""
    if isinstance(content, str):
        return len(content.encode())
    if parts := items(content):
        return sum(map(_size, parts))
    block = fields(content)
    source = fields(block.get("source"))
    data = source.get("data")
    match block.get("type"):
        case "text":
            return _size(block.get("text"))
        case "image":
            return (_image(data) if isinstance(data, str) else _IMAGE_MOST) * _BYTES_PER_TOKEN
        case "document" if source.get("type") == "base64" and isinstance(data, str):
            return max(1, len(data) // _PDF_BYTES_PER_PAGE) * _PDF_PAGE * _BYTES_PER_TOKEN
        case "document":
            return _size(data) + _size(source.get("content"))
        case "tool_result":
            return _size(block.get("content")) + _size(block.get("tool_use_id"))
        case _:
            return len(msgspec.json.encode(block)) if block else 0


def _image(data: str) -> int:
    """Tokens of a base64 image, from the size that its first bytes tell."""
    try:
        start = base64.b64decode(data[:64], validate=False)
    except (binascii.Error, ValueError):
        return _IMAGE_MOST
    if start.startswith(b"\x89PNG") and len(start) >= 24:
        width, height = struct.unpack(">II", start[16:24])
        return min(_IMAGE_MOST, _tiles(width) * _tiles(height))
    return _IMAGE_MOST


def _tiles(pixels: int) -> int:
    return max(1, math.ceil(pixels / _IMAGE_TILE))
