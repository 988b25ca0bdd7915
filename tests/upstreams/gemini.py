"""Google's generateContent, as strict as the real one, that says what a script says."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from .gemini_rules import counted_in, fault_of, mark_of
from .server import Fake, Http, Raw, Recorded, Script, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .chat import Call

_numbers = count(1)
USAGE: Mapping[str, Any] = {
    "promptTokenCount": 120,
    "cachedContentTokenCount": 20,
    "candidatesTokenCount": 27,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 154,
}
_PLACE = re.compile(r"/models/([^/:]+):(generateContent|streamGenerateContent|countTokens)")


@dataclass(frozen=True)
class Gemini:
    """One answer. `ids`: its calls carry ids. `signed`: its first call, or its text, carries a signature."""

    text: str = ""
    calls: Sequence[Call] = ()
    thoughts: str = ""
    usage: Mapping[str, Any] = field(default_factory=lambda: dict(USAGE))
    finish: str = "STOP"
    chunk: int = 16
    ids: bool = True
    signed: bool = True
    grounding: Mapping[str, Any] = field(default_factory=dict)

    def parts(self, *, whole: bool) -> Iterator[dict[str, Any]]:
        """Write the parts; of a text that is streamed, the signature comes in an empty one after it."""
        size = 1 << 30 if whole else self.chunk
        yield from ({"text": piece, "thought": True} for piece in pieces(self.thoughts, size))
        texts: list[dict[str, Any]] = [{"text": piece} for piece in pieces(self.text, size)]
        if self.signed and texts and not self.calls:
            texts = [{**texts[0], **_signed()}] if whole else [*texts, {"text": "", **_signed()}]
        yield from texts
        for n, call in enumerate(self.calls):
            ident = {"id": call.id} if self.ids else {}
            made = {"functionCall": {**ident, "name": call.name, "args": call.arguments}}
            yield {**made, **_signed()} if self.signed and not n else made


def _signed() -> dict[str, str]:
    return {"thoughtSignature": b64encode(f"signature {next(_numbers)}".encode()).decode()}


class FakeGemini(Fake[Gemini]):
    """The server. `base` is the path before /models. `bearer`: it takes a token in place of a key, as Vertex does."""

    def __init__(self, script: Script[Gemini] = (), *, base: str = "/v1beta", bearer: bool = False) -> None:
        """Serve `script` under `base`."""
        super().__init__(script)
        self.base, self.bearer = base, bearer
        self.issued: dict[str, str] = {}

    @property
    def api(self) -> str:
        """The base URL that a client is given."""
        return self.url + self.base

    def front(self, rec: Recorded) -> Http | None:
        """Answer 401, 404, 400, the list of models, and counts of tokens."""
        told = rec.headers.get("authorization") if self.bearer else rec.headers.get("x-goog-api-key")
        if not told or "key=" in rec.query:
            return _refuse(rec, 401, "UNAUTHENTICATED", "Request is missing required authentication credential.")
        place = rec.path.removeprefix(self.base)
        if rec.method == "GET" and place == "/models":
            return Http(200, {"models": [_model("gemini-3-pro-preview"), _model("gemini-2.5-flash")]})
        found = _PLACE.fullmatch(place)
        if rec.method != "POST" or not found or not rec.path.startswith(self.base):
            return _refuse(rec, 404, "NOT_FOUND", f"no {rec.method} {rec.path}")
        counting = found[2] == "countTokens"
        raw = counted_in(rec.raw, found[1], wrapped=not self.bearer) if counting else rec.raw
        fault = "Invalid JSON payload received." if raw is None else fault_of(raw, found[1], self.issued)
        if fault:
            return _refuse(rec, 400, "INVALID_ARGUMENT", fault)
        return Http(200, {"totalTokens": len(rec.raw) // 4}) if counting else None

    def render(self, reply: Gemini, rec: Recorded) -> Http | Raw:
        """Write the answer whole, as server-sent events, or as a list."""
        streamed = rec.path.endswith(":streamGenerateContent")
        parts = list(reply.parts(whole=not streamed)) or [{"text": ""}]
        self.issued |= {part["thoughtSignature"]: mark_of(part) for part in parts if "thoughtSignature" in part}
        common = {"modelVersion": "gemini", "responseId": f"r{next(_numbers)}"}
        grounding = {"groundingMetadata": reply.grounding} if reply.grounding else {}
        ending = {"finishReason": reply.finish, **grounding}
        if not streamed:
            candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **ending}
            return Http(200, {"candidates": [candidate], "usageMetadata": reply.usage, **common})
        chunks: list[dict[str, Any]] = []
        for n, part in enumerate(parts):
            last = n == len(parts) - 1
            candidate = {"content": {"role": "model", "parts": [part]}, "index": 0, **(ending if last else {})}
            usage = reply.usage if last else {"promptTokenCount": reply.usage["promptTokenCount"]}
            chunks.append({"candidates": [candidate], "usageMetadata": usage, **common})
        if "alt=sse" not in rec.query:
            return Http(200, chunks)
        return Raw([("raw", b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n") for chunk in chunks])


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "displayName": name.title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def _refuse(rec: Recorded, status: int, word: str, message: str) -> Http:
    rec.refusal = message
    return Http(status, {"error": {"code": status, "message": message, "status": word}})
