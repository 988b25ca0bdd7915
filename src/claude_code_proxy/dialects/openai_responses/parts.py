"""Content blocks as parts of input: of user messages, and of the outputs of calls, which take the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from claude_code_proxy.dialects.conversation import NO_OUTPUT, as_text, blocks_of, text_in
from claude_code_proxy.dialects.documents import pdf_text
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from claude_code_proxy.dialects.openai_responses.quirks import Quirks
    from claude_code_proxy.wire.messages import Content

Part: TypeAlias = dict[str, Any]


def parts_of(block: Content, quirks: Quirks) -> list[Part]:
    """A block of a user message as parts; none for an empty one."""
    match block.get("type"):
        case "text":
            return [text_part(text)] if (text := text_in(block)) else []
        case "image":
            return [_image(block)]
        case "document":
            return _document(block, quirks)
        case "search_result":
            return [text_part(f"{block.get('title', '')} ({block.get('source', '')})"), *_inner(block, quirks)]
        case "tool_result":  # its call is not in the conversation any more
            output = output_of(block, quirks)
            return [text_part(output)] if isinstance(output, str) else output
        case _:
            return [text_part(as_text(block))]


def output_of(result: Content, quirks: Quirks) -> str | list[Part]:
    """A tool result as the output of its call: a string where it is all text."""
    parts = _inner(result, quirks)
    if all(part["type"] == "input_text" for part in parts):
        text = "\n".join(part["text"] for part in parts) or NO_OUTPUT
        return f"Error: {text}" if result.get("is_error") else text
    return [text_part("Error:"), *parts] if result.get("is_error") else parts


def text_part(text: str) -> Part:
    """Text as a part."""
    return {"type": "input_text", "text": text}


def _inner(block: Content, quirks: Quirks) -> list[Part]:
    return [part for one in blocks_of(block.get("content")) for part in parts_of(one, quirks)]


def _image(block: Content) -> Part:
    source = fields(block.get("source"))
    match source.get("type"):
        case "base64":
            url = f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}"
        case "url":
            url = str(source.get("url", ""))
        case _:
            return text_part("[An image that only Anthropic's file store holds.]")
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def _document(block: Content, quirks: Quirks) -> list[Part]:
    source = fields(block.get("source"))
    title = str(block.get("title") or "document")
    about = [text_part(f"{title}:\n{block.get('context')}")] if block.get("context") else []
    heading = about or [text_part(f"{title}:")]
    data = str(source.get("data") or "")
    match source.get("type"):
        case "text":
            return [text_part(f"{heading[0]['text']}\n{data}")]
        case "content":
            inner = [part for one in blocks_of(source.get("content")) for part in parts_of(one, quirks)]
            return [*heading, *inner] if block.get("title") or about else inner
        case "base64" if quirks.files:
            url = f"data:{source.get('media_type', 'application/pdf')};base64,{data}"
            name = title if title.lower().endswith(".pdf") else f"{title}.pdf"
            return [*about, {"type": "input_file", "filename": name, "file_data": url}]
        case "url" if quirks.files:
            return [*about, {"type": "input_file", "file_url": str(source.get("url", ""))}]
        case "base64" if source.get("media_type") == "application/pdf" and (text := pdf_text(data)):
            return [text_part(f"{heading[0]['text']}\n{text}")]
        case _:
            return [text_part(f"[{title}: this model cannot read it.]")]
