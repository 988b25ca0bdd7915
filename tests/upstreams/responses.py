"""An OpenAI Responses server, as strict as the real one, that says what a script says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

from .responses_rules import fault_of, sealed
from .server import Fake, Http, Op, Raw, Recorded, Script, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .chat import Call
    from .chat_rules import Fault

_numbers = count(1)
CREATED = 1_790_000_000
USAGE: Mapping[str, Any] = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
    "output_tokens": 34,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 154,
}


def _ident(prefix: str) -> str:
    return f"{prefix}_{next(_numbers):050d}"


@dataclass(frozen=True)
class Page:
    """A page that a search finds, and the answer cites."""

    url: str
    title: str


@dataclass(frozen=True)
class Resp:
    """One response.

    `summary` are the parts of the reasoning's summary, shown only if they are asked for; None: it does not
    reason. `twice`: and again, silently, before its first call. `phase` is that of the message. `query`: it searches the web first, and cites the `pages` it finds.
    `incomplete` is why it ends early. `interleave` sends the calls' arguments in turns.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    summary: Sequence[str] | None = ()
    twice: bool = False
    phase: str | None = None
    query: str = ""
    pages: Sequence[Page] = ()
    refusal: str = ""
    usage: Mapping[str, Any] = field(default_factory=lambda: dict(USAGE))
    incomplete: str = ""
    interleave: bool = False
    chunk: int = 16

    def output(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The items of the output, in order."""
        items: list[dict[str, Any]] = []
        if self.query:
            sources = [{"type": "url", "url": page.url} for page in self.pages]
            action = {"type": "search", "query": self.query, "queries": [self.query], "sources": sources}
            items.append({"type": "web_search_call", "id": _ident("ws"), "status": "completed", "action": action})
        if self.text or self.refusal:
            message = {"type": "message", "id": _ident("msg"), "status": "completed", "role": "assistant"}
            items.append({**message, "content": self._content(), **({"phase": self.phase} if self.phase else {})})
        items += [
            {
                "type": "function_call",
                "id": _ident("fc"),
                "status": "completed",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.text,
            }
            for call in self.calls
        ]
        if self.summary is None or not items:
            return items
        first = self._reasoning(asked, items[0], self.summary)
        if not self.twice:
            return [first, *items]
        n = next(n for n, item in enumerate(items) if item["type"] == "function_call")
        return [first, *items[:n], self._reasoning(asked, items[n], ()), *items[n:]]

    def _reasoning(self, asked: Mapping[str, Any], item: Mapping[str, Any], summary: Sequence[str]) -> dict[str, Any]:
        """The reasoning that an item comes of."""
        ident = _ident("rs")
        shown = summary if "summary" in asked.get("reasoning", {}) else ()
        parts = [{"type": "summary_text", "text": part} for part in shown]
        reasoning: dict[str, Any] = {"type": "reasoning", "id": ident, "summary": parts}
        if "reasoning.encrypted_content" in asked.get("include", ()):
            reasoning["encrypted_content"] = sealed(asked["model"], ident, item.get("call_id") or item["id"])
        return reasoning

    def _content(self) -> list[dict[str, Any]]:
        if self.refusal:
            return [{"type": "refusal", "refusal": self.refusal}]
        notes = [
            {"type": "url_citation", "start_index": 0, "end_index": 1, "url": page.url, "title": page.title}
            for page in self.pages
        ]
        return [{"type": "output_text", "text": self.text, "annotations": notes, "logprobs": []}]


class FakeResponses(Fake[Resp]):
    """The server. `base` is the path before /responses; others answer 404."""

    def __init__(self, script: Script[Resp] = (), *, base: str = "/v1") -> None:
        """Serve `script` under `base`."""
        super().__init__(script)
        self.base = base

    @property
    def api(self) -> str:
        """The base URL that a client is given."""
        return self.url + self.base

    def front(self, rec: Recorded) -> Http | None:
        """Answer 401, 404, 400, and counts of tokens."""
        if not rec.headers.get("authorization", "").startswith("Bearer "):
            rec.refusal = "401"
            return Http(401, {"error": {"message": "You didn't provide an API key.", "code": "invalid_api_key"}})
        counting = rec.path == f"{self.base}/responses/input_tokens"
        if rec.method != "POST" or (rec.path != f"{self.base}/responses" and not counting):
            return Http(404, {"error": {"message": f"Invalid URL ({rec.method} {rec.path})"}})
        fault = fault_of(rec.raw, counting=counting)
        if fault is not None:
            return _refuse(rec, fault)
        return Http(200, {"object": "response.input_tokens", "input_tokens": len(rec.raw) // 4}) if counting else None

    def render(self, reply: Resp, rec: Recorded) -> Http | Raw:
        """Write the response whole, or as a stream if it was asked for."""
        output = reply.output(rec.json)
        status = "incomplete" if reply.incomplete else "completed"
        common = {"id": _ident("resp"), "object": "response", "created_at": CREATED, "model": rec.json["model"]}
        details = {"reason": reply.incomplete} if reply.incomplete else None
        whole = {**common, "status": status, "error": None, "incomplete_details": details, "output": output}
        whole |= {"usage": dict(reply.usage), "store": False}
        if not rec.json.get("stream"):
            return Http(200, whole)
        begun = {**common, "status": "in_progress", "error": None, "output": [], "usage": None}
        events: list[dict[str, Any]] = [
            {"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")
        ]
        events += _told(output, reply)
        events.append({"type": f"response.{status}", "response": whole})
        return Raw([_op({**event, "sequence_number": n}) for n, event in enumerate(events)])


def _op(event: Mapping[str, Any]) -> Op:
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return ("raw", f"event: {event['type']}\ndata: {data}\n\n".encode())


def _told(output: Sequence[dict[str, Any]], reply: Resp) -> Iterator[dict[str, Any]]:
    each = [list(_item(n, item, reply.chunk)) for n, item in enumerate(output)]
    if not reply.interleave:
        yield from (event for events in each for event in events)
        return
    calls = [events for item, events in zip(output, each, strict=True) if item["type"] == "function_call"]
    yield from (event for events in each if events not in calls for event in events)
    yield from (event for turn in zip_longest(*calls) for event in turn if event is not None)


def _item(index: int, item: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    at = {"output_index": index, "item_id": item["id"]}
    begun = {**item, **({"status": "in_progress"} if "status" in item else {})}
    empty = {"content": [], "summary": [], "arguments": "", "encrypted_content": "begun"}
    begun |= {name: value for name, value in empty.items() if name in item}
    begun.pop("action", None)
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    match item["type"]:
        case "reasoning":
            for n, part in enumerate(item["summary"]):
                where = {**at, "summary_index": n}
                yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}
                yield from _pieces("response.reasoning_summary_text", "text", part["text"], where, size)
                yield {"type": "response.reasoning_summary_part.done", **where, "part": part}
        case "message":
            for n, part in enumerate(item["content"]):
                yield from _part({**at, "content_index": n}, part, size)
        case "function_call":
            yield from _pieces("response.function_call_arguments", "arguments", item["arguments"], at, size)
        case "web_search_call":
            for step in ("in_progress", "searching", "completed"):
                yield {"type": f"response.web_search_call.{step}", **at}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(where: Mapping[str, Any], part: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    kind, name = part["type"], "refusal" if part["type"] == "refusal" else "text"
    empty: dict[str, Any] = {"annotations": []} if "annotations" in part else {}
    yield {"type": "response.content_part.added", **where, "part": {**part, name: "", **empty}}
    yield from _pieces(f"response.{kind}", name, part[name], where, size)
    for n, note in enumerate(part.get("annotations", ())):
        added = {"annotation_index": n, "annotation": note}
        yield {"type": "response.output_text.annotation.added", **where, **added}
    yield {"type": "response.content_part.done", **where, "part": part}


def _pieces(kind: str, name: str, text: str, where: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for piece in pieces(text, size):
        yield {"type": f"{kind}.delta", **where, "delta": piece, "obfuscation": "x" * (16 - len(piece) % 16)}
    yield {"type": f"{kind}.done", **where, name: text}


def _refuse(rec: Recorded, fault: Fault) -> Http:
    rec.refusal = f"400 {fault.message}"
    return Http(400, fault.body(), {"x-request-id": _ident("req")})
