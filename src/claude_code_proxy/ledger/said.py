"""What a client was answered, block by block, from the bytes it was sent."""

from __future__ import annotations

from typing import Any, Final

import orjson
from msgspec import Struct

from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.framing import SSE
from claude_code_proxy.wire.json_text import fields, items
from claude_code_proxy.wire.tap import usage_of

_DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


class SaidBlock(Struct):
    """A block of an answer: its type, the name of what it calls, its text or its input as JSON, and its bytes."""

    kind: str
    name: str
    text: str
    size: int


class Said(Struct):
    """An answer. `stop` is why it ended, empty where it did not; `error` what went wrong, with its type before it."""

    blocks: list[SaidBlock]
    usage: Usage
    model: str = ""
    stop: str = ""
    error: str = ""


def said(data: bytes) -> Said:
    """What a stream or a whole message says, as far as it came."""
    try:
        whole = fields(orjson.loads(data))
    except orjson.JSONDecodeError:
        return _streamed(data)
    told = Said([], usage_of(whole), _word(whole, "model"), _word(whole, "stop_reason"), _error(whole))
    told.blocks = [_block(fields(block)) for block in items(whole.get("content"))]
    return told


def _streamed(data: bytes) -> Said:
    told, held = Said([], Usage()), list[dict[str, Any]]()
    reader = SSE()
    try:
        payloads = [*reader.feed(data), *reader.close()]
    except ApiError:
        payloads = []
    for payload in payloads:
        try:
            event = fields(orjson.loads(payload))
        except orjson.JSONDecodeError:
            continue  # the last one, which was cut
        _event(event, told, held)
    told.blocks = [_block(block) for block in held]
    return told


def _event(event: dict[str, Any], told: Said, held: list[dict[str, Any]]) -> None:
    match event.get("type"):
        case "message_start":
            told.model = _word(fields(event.get("message")), "model")
            told.usage = told.usage.updated(usage_of(event.get("message")))
        case "content_block_start":
            held.append(dict(fields(event.get("content_block"))))
        case "content_block_delta" if held:
            delta = fields(event.get("delta"))
            name = _DELTAS.get(_word(delta, "type"), "")
            held[-1][name] = f"{held[-1].get(name) or ''}{_word(delta, name)}"
        case "message_delta":
            told.stop = _word(fields(event.get("delta")), "stop_reason") or told.stop
            told.usage = told.usage.updated(usage_of(event))
        case "error":
            told.error = _error(event)
        case _:
            pass


def _block(block: dict[str, Any]) -> SaidBlock:
    kind = _word(block, "type")
    text = next((_word(block, name) for name in ("partial_json", "text", "thinking") if _word(block, name)), "")
    if not text and (rest := {name: value for name, value in block.items() if name not in {"type", "name", "id"}}):
        value = rest.get("input", rest)
        text = "" if value in ("", {}, {"text": ""}) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return SaidBlock(kind, _word(block, "name"), text, len(text.encode()))


def _word(held: dict[str, Any], name: str) -> str:
    value = held.get(name)
    return value if isinstance(value, str) else ""


def _error(held: dict[str, Any]) -> str:
    error = fields(held.get("error"))
    return f"{_word(error, 'type')}: {_word(error, 'message')}" if error else ""
