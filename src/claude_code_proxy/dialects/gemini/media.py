"""Images and documents as parts of a content."""

from __future__ import annotations

from mimetypes import guess_type
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from claude_code_proxy.dialects.conversation import blocks_of
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.wire.messages import Content

Part: TypeAlias = dict[str, Any]

_PDF: Final = "application/pdf"
IN_RESULTS: Final = frozenset({"image/png", "image/jpeg", "image/webp", _PDF, "text/plain"})
"""What may stand inside the result of a call, for models whose results may hold media."""


def text_part(text: str) -> Part:
    """A part of text."""
    return {"text": text}


def image(block: Content) -> Part:
    """An image as a part."""
    source = fields(block.get("source"))
    match source.get("type"):
        case "base64":
            return _inline(str(source.get("media_type") or "image/png"), str(source.get("data") or ""))
        case "url":
            return _at(str(source.get("url") or ""), "image/jpeg")
        case _:
            return text_part("[An image that only Anthropic's file store holds.]")


def document(block: Content, told: Callable[[Content], list[Part]]) -> list[Part]:
    """A document as parts. `told` makes parts of a block within it."""
    source = fields(block.get("source"))
    title = str(block.get("title") or "document")
    heading = f"{title}:" + (f"\n{block.get('context')}" if block.get("context") else "")
    about = [text_part(heading)] if block.get("title") or block.get("context") else []
    data = str(source.get("data") or "")
    match source.get("type"):
        case "text":
            return [text_part(f"{heading}\n{data}")]
        case "content":
            return [*about, *(part for one in blocks_of(source.get("content")) for part in told(one))]
        case "base64":
            return [*about, _inline(str(source.get("media_type") or _PDF), data)]
        case "url":
            return [*about, _at(str(source.get("url") or ""), _PDF)]
        case _:
            return [text_part(f"[{title}: this model cannot read it.]")]


def _inline(kind: str, data: str) -> Part:
    return {"inlineData": {"mimeType": kind, "data": data}}


def _at(url: str, kind: str) -> Part:
    """What a URL leads to; `kind` is what it is taken for where its ending does not tell."""
    if url.startswith("data:"):
        head, _, data = url.removeprefix("data:").partition(",")
        return _inline(head.partition(";")[0] or kind, data)
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    return {"fileData": {"mimeType": guess_type(path)[0] or kind, "fileUri": url}}
