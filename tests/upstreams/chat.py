"""An OpenAI Chat Completions server, as strict as the real one, that says what a script says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

from .chat_rules import Fault, fault_of
from .server import Fake, Http, Op, Raw, Recorded, Script, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_numbers = count(1)
CREATED = 1_790_000_000
USAGE: Mapping[str, Any] = {
    "prompt_tokens": 120,
    "completion_tokens": 34,
    "total_tokens": 154,
    "prompt_tokens_details": {"cached_tokens": 20, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 0},
}


@dataclass(frozen=True)
class Call:
    """A tool call. Arguments given as a string go out as they are, valid or not."""

    name: str
    arguments: Mapping[str, Any] | str
    id: str = field(default_factory=lambda: f"call_{next(_numbers):024d}")

    @property
    def text(self) -> str:
        """The arguments as the model wrote them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Chat:
    """One completion. `interleave` sends the calls' arguments in turns instead of one after the other.

    `cited` are the pages, address and title, that it cites where its server searches.
    """

    text: str = ""
    tool_calls: Sequence[Call] = ()
    reasoning: str = ""
    usage: Mapping[str, Any] = field(default_factory=lambda: dict(USAGE))
    finish: str | None = None
    interleave: bool = False
    chunk: int = 16
    reasoning_field: str = "reasoning_content"
    cited: Sequence[tuple[str, str]] = ()

    @property
    def finish_reason(self) -> str:
        """The reason given, or the one that fits."""
        return self.finish or ("tool_calls" if self.tool_calls else "stop")

    @property
    def annotations(self) -> dict[str, Any]:
        """The field of a message or delta that cites; nothing if nothing is cited."""
        at = {"start_index": 0, "end_index": len(self.text)}
        notes = [{"type": "url_citation", "url_citation": {"url": u, "title": t, **at}} for u, t in self.cited]
        return {"annotations": notes} if notes else {}

    def message(self) -> dict[str, Any]:
        """Write the message of the answer that is not streamed."""
        out: dict[str, Any] = {"role": "assistant", "content": self.text or None, "refusal": None, **self.annotations}
        if self.reasoning:
            out[self.reasoning_field] = self.reasoning
        if self.tool_calls:
            out["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.text}}
                for c in self.tool_calls
            ]
        return out

    def deltas(self) -> Iterator[dict[str, Any]]:
        """Write the deltas, the role first."""
        yield {"role": "assistant", "content": None if self.tool_calls and not self.text else "", "refusal": None}
        for piece in pieces(self.reasoning, self.chunk):
            yield {self.reasoning_field: piece}
        for piece in pieces(self.text, self.chunk):
            yield {"content": piece}
        if self.annotations:
            yield {"content": "", **self.annotations}
        each = [list(self._call_deltas(i, call)) for i, call in enumerate(self.tool_calls)]
        turns = zip_longest(*each) if self.interleave else each
        yield from (delta for turn in turns for delta in turn if delta is not None)

    def _call_deltas(self, index: int, call: Call) -> Iterator[dict[str, Any]]:
        opening = {"index": index, "id": call.id, "type": "function"}
        yield {"tool_calls": [{**opening, "function": {"name": call.name, "arguments": ""}}]}
        for piece in pieces(call.text, self.chunk):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


class FakeChat(Fake[Chat]):
    """The server. `base` is the path before /chat/completions; others answer 404.

    `extras`: it is one of those that take more fields than OpenAI's own.
    """

    def __init__(self, script: Script[Chat] = (), *, base: str = "/v1", extras: bool = False) -> None:
        """Serve `script` under `base`."""
        super().__init__(script)
        self.base, self.extras = base, extras
        self.listed = ["gpt-4.1", "gpt-4.1-mini"]

    @property
    def api(self) -> str:
        """The base URL that a client is given."""
        return self.url + self.base

    def front(self, rec: Recorded) -> Http | None:
        """Answer 401, 404, 400 and the list of models."""
        if not rec.headers.get("authorization", "").startswith("Bearer "):
            return _refuse(rec, 401, Fault("You didn't provide an API key.", code="invalid_api_key"))
        place = rec.path.removeprefix(self.base) if rec.path.startswith(self.base) else None
        match rec.method, place:
            case "GET", "/models":
                return Http(200, {"object": "list", "data": [_model(name) for name in self.listed]})
            case "POST", "/chat/completions":
                fault = fault_of(rec.raw, extras=self.extras)
                return None if fault is None else _refuse(rec, 400, fault)
            case method, _:
                return _refuse(rec, 404, Fault(f"Invalid URL ({method} {rec.path})"))

    def render(self, reply: Chat, rec: Recorded) -> Http | Raw:
        """Write the completion whole, or as a stream if it was asked for."""
        common = {
            "id": f"chatcmpl-{next(_numbers):024d}",
            "created": CREATED,
            "model": rec.json["model"],
            "service_tier": "default",
            "system_fingerprint": "fp_loopback",
        }
        headers = {"x-request-id": f"req_{next(_numbers):032x}", "openai-processing-ms": "1"}
        if rec.json.get("stream"):
            options = rec.json.get("stream_options") or {}
            ops = _stream(reply, common, with_usage=bool(options.get("include_usage")))
            return Raw(ops, headers={"content-type": "text/event-stream; charset=utf-8", **headers})
        choice = {"index": 0, "message": reply.message(), "logprobs": None, "finish_reason": reply.finish_reason}
        whole = {**common, "object": "chat.completion", "choices": [choice], "usage": reply.usage}
        return Http(200, whole, headers)


def sse(data: object) -> bytes:
    """One event, as OpenAI writes it: no event line."""
    return b"data: " + json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _stream(reply: Chat, common: Mapping[str, Any], *, with_usage: bool) -> list[Op]:
    usage = {"usage": None} if with_usage else {}

    def chunk(delta: Mapping[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**common, "object": "chat.completion.chunk", "choices": [choice], **usage})

    events = [chunk(delta, None) for delta in reply.deltas()]
    events.append(chunk({}, reply.finish_reason))
    if with_usage:
        events.append(sse({**common, "object": "chat.completion.chunk", "choices": [], "usage": reply.usage}))
    return [("raw", event) for event in (*events, b"data: [DONE]\n\n")]


def _refuse(rec: Recorded, status: int, fault: Fault) -> Http:
    rec.refusal = f"{status} {fault.message}"
    return Http(status, fault.body(), {"x-request-id": f"req_{next(_numbers):032x}"})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}
