"""An Anthropic Messages server, as strict as the real one, that says what a script says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from .messages_rules import fault_of
from .server import Fake, Http, Raw, Recorded, Script, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_numbers = count(1)
USAGE: Mapping[str, Any] = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 12,
}
Block = dict[str, Any]


def text(said: str) -> Block:
    """Make a text block."""
    return {"type": "text", "text": said}


def thinking(said: str, signature: str = "c2lnbmF0dXJl" * 4) -> Block:
    """Make a signed thinking block."""
    return {"type": "thinking", "thinking": said, "signature": signature}


def tool_use(name: str, arguments: Mapping[str, Any], call_id: str | None = None) -> Block:
    """Make a tool call."""
    return {
        "type": "tool_use",
        "id": call_id or f"toolu_{next(_numbers):024d}",
        "name": name,
        "input": dict(arguments),
    }


@dataclass(frozen=True)
class Msg:
    """One complete answer."""

    content: Sequence[Block]
    stop_reason: str | None = None
    usage: Mapping[str, Any] = field(default_factory=lambda: dict(USAGE))
    chunk: int = 24
    ping: bool = True

    def message(self, model: str) -> dict[str, Any]:
        """Write the message of the answer that is not streamed."""
        called = any(block["type"] == "tool_use" for block in self.content)
        return {
            "id": f"msg_{next(_numbers):024d}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": list(self.content),
            "stop_reason": self.stop_reason or ("tool_use" if called else "end_turn"),
            "stop_sequence": None,
            "usage": dict(self.usage),
        }

    def events(self, model: str) -> Iterator[dict[str, Any]]:
        """Write the events of the streamed answer."""
        whole = self.message(model)
        started = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
        yield {"type": "message_start", "message": started}
        if self.ping:
            yield {"type": "ping"}
        for index, block in enumerate(self.content):
            opening, deltas = _opened(block, self.chunk)
            yield {"type": "content_block_start", "index": index, "content_block": opening}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield {"type": "message_delta", "delta": ended, "usage": whole["usage"]}
        yield {"type": "message_stop"}


def _opened(block: Block, chunk: int) -> tuple[Block, list[Block]]:
    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"], chunk)]
            return {**block, "text": ""}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"], chunk)]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "tool_use":
            cut = ["", *pieces(json.dumps(block["input"]), chunk)]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in cut]
        case _:
            return block, []


def sse(event: Mapping[str, Any]) -> bytes:
    """One event, as Anthropic writes it."""
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def failure(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> Http:
    """Make an error in Anthropic's envelope."""
    number = f"req_{next(_numbers):024d}"
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": number}
    return Http(status, body, {"request-id": number, **(headers or {})})


class FakeMessages(Fake[Msg]):
    """The server. A `lenient` one takes any body and needs no key, as local model servers do."""

    def __init__(self, script: Script[Msg] = (), *, lenient: bool = False) -> None:
        """Serve `script`."""
        super().__init__(script)
        self.lenient = lenient

    def front(self, rec: Recorded) -> Http | None:
        """Answer 401, 404, 400, the list of models, and token counts."""
        if not self.lenient and not _key_of(rec):
            return self._refuse(rec, 401, "authentication_error", "x-api-key header is required")
        match rec.method, rec.path:
            case "HEAD", _:
                return Http(200)
            case "GET", "/v1/models":
                return Http(200, {"data": [_model("claude-sonnet-5-5")], "has_more": False})
            case "POST", "/v1/messages" | "/v1/messages/count_tokens":
                counting = rec.path.endswith("count_tokens")
                if not self.lenient and isinstance(rec.json, dict) and rec.json.get("thread"):
                    return _unthreaded()
                fault = None if self.lenient else fault_of(rec.raw, rec.headers, counting=counting)
                if fault is not None:
                    return self._refuse(rec, 400, "invalid_request_error", fault)
                return Http(200, {"input_tokens": max(1, len(rec.raw) // 4)}) if counting else None
            case _:
                return self._refuse(rec, 404, "not_found_error", f"no {rec.method} {rec.path}")

    def render(self, reply: Msg, rec: Recorded) -> Http | Raw:
        """Write the message whole, or as a stream if it was asked for."""
        headers = {"request-id": f"req_{next(_numbers):024d}"}
        if not rec.json.get("stream"):
            return Http(200, reply.message(rec.json["model"]), headers)
        kind = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        return Raw([("raw", sse(event)) for event in reply.events(rec.json["model"])], headers={**kind, **headers})

    @staticmethod
    def _refuse(rec: Recorded, status: int, kind: str, message: str) -> Http:
        rec.refusal = f"{status} {message}"
        return failure(status, kind, message)


def _unthreaded() -> Http:
    """Refuse to keep a conversation, as the real API does where it cannot."""
    refusal = failure(400, "invalid_request_error", "This request cannot be part of a thread.")
    refusal.body["error"]["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["fake"]}
    return refusal


def _key_of(rec: Recorded) -> str:
    return rec.headers.get("x-api-key") or rec.headers.get("authorization", "").removeprefix("Bearer ")


def _model(name: str) -> dict[str, Any]:
    made = "2026-01-01T00:00:00Z"
    return {"type": "model", "id": name, "display_name": name, "created_at": made}
