"""A conversation in Anthropic's shape into one of chat messages.

The hard part is order. Anthropic puts the results of tool calls into the next user message, in any order
and mixed with text and images; chat wants one `tool` message for each call, directly after the calls and
in text only, so what else stood there follows them. The output for a prefix of the conversation is a
prefix of the output, so that upstreams find their caches again.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from claude_code_proxy.dialects.conversation import (
    NO_RESULT,
    SERVER_BLOCKS,
    as_text,
    blocks_in,
    blocks_of,
    blocks_said,
    result_text,
    results_of,
    system_text,
    text_in,
)
from claude_code_proxy.dialects.documents import document_text, heading
from claude_code_proxy.dialects.names import upstream_id, upstream_name
from claude_code_proxy.dialects.openai_chat.marks import mark_in, marked
from claude_code_proxy.wire import signature
from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.dialects.openai_chat.quirks import Marks, Quirks
    from claude_code_proxy.wire.messages import Content, Message

Part: TypeAlias = dict[str, Any]

_CONTINUE: Final = "Continue."


def chat_messages(
    system: str | list[Part],
    conversation: Sequence[Message],
    model: str,
    quirks: Quirks,
    marks: Marks = "",
) -> list[dict[str, Any]]:
    """The messages to send to `model`: the system prompt, then the turns. `marks`: the cache marks that it takes."""
    out: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    calls: list[_Wanted] = []  # the calls that still want their results
    seen: dict[str, int] = {}
    for assistant, run in groupby(conversation, key=lambda message: message["role"] == "assistant"):
        turns = list(run)
        if assistant:
            message, calls = _assistant(turns, model, quirks, seen)
            if message.get("tool_calls") or message["content"]:
                out.append(message)
        else:
            out += _answers(turns, calls, quirks, marks)
            calls = []
    out += [_tool_message(call.sent, NO_RESULT, marks) for call in calls]
    silent = all(message["role"] == "system" for message in out)
    if silent or out[-1]["role"] == "assistant":  # many servers refuse to be asked nothing
        out += _user([_text_part(_CONTINUE)], marks)
    return out


# -- what the model said


class _Wanted(NamedTuple):
    """A call that wants its result: the id that the client gives it, and the one that is sent."""

    ident: str
    sent: str


def _assistant(
    turns: Sequence[Message],
    model: str,
    quirks: Quirks,
    seen: dict[str, int],
) -> tuple[dict[str, Any], list[_Wanted]]:
    """The turn as a message, and its calls. `seen` counts the ids so far: one that comes again is made unique."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    wanted: list[_Wanted] = []
    for block in blocks_in(turns):
        kind = block.get("type")
        if kind == "text" and block["text"]:
            texts.append(block["text"])
        elif kind == "tool_use":
            ident = block["id"]
            times = seen[ident] = seen.get(ident, 0) + 1
            again = f"{ident}_{times}" if times > 1 else ident
            wanted.append(_Wanted(ident, upstream_id(again, quirks.tool_ids)))
            arguments = msgspec.json.encode(block.get("input") or {}).decode()
            function = {"name": upstream_name(block["name"]), "arguments": arguments}
            calls.append({"id": wanted[-1].sent, "type": "function", "function": function})
        elif kind in SERVER_BLOCKS:
            texts.append(as_text(block))
    message: dict[str, Any] = {"role": "assistant", "content": "\n".join(texts) or None}
    if calls:
        message["tool_calls"] = calls
    if quirks.replay:
        message |= _reasoning(turns, model, quirks, called=bool(calls))
    return message, wanted


def _reasoning(turns: Sequence[Message], model: str, quirks: Quirks, *, called: bool) -> dict[str, Any]:
    """What the model thought in this turn, in the field it wants it back in; only what it said itself."""
    own = [
        (block["thinking"], minted.state)
        for block in blocks_in(turns)
        if block.get("type") == "thinking"
        and (minted := signature.read(block.get("signature")))
        and (minted.dialect, minted.model) == ("openai_chat", model)
    ]
    if quirks.replay == "reasoning_content":  # with calls always: DeepSeek refuses a turn that lacks it
        return {"reasoning_content": "".join(thought for thought, _ in own)} if called else {}
    details = [detail for _, state in own for detail in items(state) if isinstance(detail, dict)]
    return {"reasoning_details": details} if details else {}


# -- what it was told


def _answers(
    turns: Sequence[Message],
    calls: Sequence[_Wanted],
    quirks: Quirks,
    marks: Marks,
) -> Iterator[dict[str, Any]]:
    """A run of user and system messages: first a result for every call, in the calls' order, then the rest."""
    idents = [call.ident for call in calls]
    answered = set(idents)
    parts: list[Part] = []
    for call, result in zip(calls, results_of(turns, idents), strict=True):
        yield _tool_message(call.sent, NO_RESULT if result is None else result_text(result), marks, result)
        parts += _result_media(result, quirks) if result else ()
    for message in turns:
        if message["role"] == "system":
            text = system_text(message["content"])
            if not text:
                continue
            if quirks.system_anywhere:
                yield from _user(parts, marks)
                parts = []
                yield {"role": "system", "content": text}
            else:
                reminder = _text_part(f"<system-reminder>\n{text}\n</system-reminder>")
                parts.append({**reminder, **mark_in(message["content"], marks)})
            continue
        for block in blocks_said(message):
            if block.get("type") != "tool_result" or block["tool_use_id"] not in answered:
                told = _user_parts(block, quirks)
                parts += marked(told, block, marks) if marks else told
    if parts:
        yield from _user(parts, marks)


def _user(parts: Sequence[Part], marks: Marks) -> Iterator[dict[str, Any]]:
    """One user message; a plain string where it is all text, since many servers take nothing else."""
    if marks and parts:
        yield {"role": "user", "content": list(parts)}
        return
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if len(texts) == len(parts):
        if text := "\n\n".join(texts):
            yield {"role": "user", "content": text}
    else:
        yield {"role": "user", "content": list(parts)}


def _user_parts(block: Content, quirks: Quirks) -> list[Part]:
    match block.get("type"):
        case "text":
            return [_text_part(text)] if (text := text_in(block)) else []
        case "image":
            return [_image(block)]
        case "document":
            return _document(block, quirks)
        case "tool_result":  # its call is not in the conversation any more
            return [_text_part(result_text(block)), *_result_media(block, quirks)]
        case _:
            return [_text_part(as_text(block))]


def _tool_message(ident: str, text: str, marks: Marks, result: Content | None = None) -> dict[str, Any]:
    content = [{**_text_part(text), **mark_in(result, marks)}] if marks else text
    return {"role": "tool", "tool_call_id": ident, "content": content}


def _result_media(block: Content, quirks: Quirks) -> list[Part]:
    if isinstance(content := block.get("content"), str):
        return []
    media = [inner for inner in blocks_of(content) if inner.get("type") in {"image", "document"}]
    return [part for inner in media for part in _user_parts(inner, quirks)]


def _image(block: Content) -> Part:
    source = fields(block.get("source"))
    match source.get("type"):
        case "base64":
            return _url_part(f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}")
        case "url":
            return _url_part(str(source.get("url", "")))
        case _:
            return _text_part("[An image that only Anthropic's file store holds.]")


def _document(block: Content, quirks: Quirks) -> list[Part]:
    source = fields(block.get("source"))
    match source.get("type"):
        case "content":
            inner = [part for one in blocks_of(source.get("content")) for part in _user_parts(one, quirks)]
            return [_text_part(heading(block)), *inner] if block.get("title") or block.get("context") else inner
        case "base64" if quirks.files:
            title = str(block.get("title") or "document")
            url = f"data:{source.get('media_type', 'application/pdf')};base64,{source.get('data') or ''}"
            name = title if title.lower().endswith(".pdf") else f"{title}.pdf"
            about = [_text_part(heading(block))] if block.get("context") else []
            return [*about, {"type": "file", "file": {"filename": name, "file_data": url}}]
        case _:
            return [_text_part(document_text(block))]


def _text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def _url_part(url: str) -> Part:
    return {"type": "image_url", "image_url": {"url": url}}
