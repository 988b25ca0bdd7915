"""Whole messages of servers that leave out what a client relies on.

A message that serves is not touched: its bytes go on as they came. Ollama sends `"content": null` for a reply
without a word, no stop reason, calls without `input`; llama.cpp says `end_turn` when it met a stop sequence.
Clients that iterate over `content` or add up `usage` break on that. What Anthropic's own messages may lack
(`stop_sequence`) and clients replay without harm (thinking without `signature`) is no reason to touch one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from claude_code_proxy.wire.json_text import fields, items
from claude_code_proxy.wire.messages import opening_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Usage

_REQUIRED: Final[dict[str, type]] = {
    "id": str,
    "type": str,
    "role": str,
    "model": str,
    "content": list,
    "usage": dict,
}
"""What a message must have, and as what."""

_BLOCKS: Final[dict[str, dict[str, Any]]] = {
    "text": {"text": ""},
    "thinking": {"thinking": ""},
    "tool_use": {"input": {}},
}
"""What a block of each type must have."""

_FIRST_BLOCK: Final = b"content_block_start"


def mended(body: bytes, usage: Usage, ident: str, model: str) -> bytes:
    """The bytes of a whole message: as they came, unless something is missing that a client needs.

    `usage` is what the message tells of it; `ident` and `model` are used where it names none.
    """
    try:
        message = fields(msgspec.json.decode(body))  # which keeps numbers of any size as they are
    except (msgspec.DecodeError, RecursionError):
        return body
    whole = _whole(message, opening_message(ident, model, usage))
    return body if whole == message else msgspec.json.encode({"stop_sequence": None, **whole})


def _whole(message: dict[str, Any], opening: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    blocks = [_block(one) for one in items(content)]
    lacking = {name: opening[name] for name, kind in _REQUIRED.items() if not isinstance(message.get(name), kind)}
    reason, sequence = message.get("stop_reason"), message.get("stop_sequence")
    if not isinstance(reason, str):
        reason = "tool_use" if any(fields(block).get("type") == "tool_use" for block in blocks) else "end_turn"
    elif reason == "end_turn" and isinstance(sequence, str) and sequence:
        reason = "stop_sequence"
    return {**message, **lacking, "content": blocks, "stop_reason": reason}


def _block(block: Any) -> Any:
    known = fields(block)
    lacking = {
        name: empty for name, empty in _BLOCKS.get(str(known.get("type")), {}).items() if known.get(name) is None
    }
    return {**known, **lacking} if lacking else block


class Renamed:
    """A machine from the bytes of a native reply to the same bytes with the model under another name.

    For a model that stands in for the one that was asked for. Only the first `"model":"name"` is replaced:
    it precedes whatever the model says, and inside what it says its quotes would be escaped.
    """

    __slots__ = ("_held", "_passing", "_shown", "_written")

    def __init__(self, name: str, shown: str) -> None:
        self._written = re.compile(rb'("model"\s*:\s*)' + re.escape(orjson.dumps(name)))
        self._shown = orjson.dumps(shown)
        self._held: list[bytes] = []
        self._passing = False

    def feed(self, chunk: bytes, /) -> Sequence[bytes]:
        if self._passing:  # nearly always
            return (chunk,)
        self._held.append(chunk)
        data = b"".join(self._held)
        text, self._passing = self._replaced(data)
        if not self._passing and _FIRST_BLOCK not in data:
            return ()
        self._passing = True
        self._held.clear()
        return (text,)

    def close(self) -> Sequence[bytes]:
        return (b"".join(self._held),) if self._held else ()

    def _replaced(self, data: bytes) -> tuple[bytes, bool]:
        text, times = self._written.subn(lambda found: found[1] + self._shown, data, count=1)
        return text, bool(times)
