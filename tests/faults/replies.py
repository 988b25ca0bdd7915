"""The same answers in every dialect, as the fakes of the real APIs write them, and where in them to cut."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from matrix.dialect import Said
from matrix.dialects import Anthropic, GoogleGemini, Ollama, OpenAIChat, OpenAIResponses
from upstreams import Call, Raw, Recorded

from .ops import JSON, KEEP, SSE, chunked_head, chunks, sized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matrix.dialect import Dialect

    from .ops import Op

TEXT = " ".join(f"alpha-{n}" for n in range(40))
ARGUMENTS: Mapping[str, Any] = {"file_path": "/" + " ".join(f"bravo-{n}" for n in range(40))}
TOOL = "Read"
BEFORE = TEXT[:15]
"""What is said before a call."""

DIALECTS: Mapping[str, Callable[[], Dialect[Any]]] = {
    "openai_chat": OpenAIChat,
    "openai_responses": OpenAIResponses,
    "gemini": GoogleGemini,
    "ollama": Ollama,
    "anthropic": Anthropic,
}
PROVIDERS = {
    "openai_chat": "openrouter",
    "openai_responses": "openai",
    "gemini": "gemini",
    "ollama": "ollama",
    "anthropic": "anthropic",
}
"""The provider that speaks each of them."""

KEYS = {name: f"sk-canary-{name.replace('_', '-')}-0123456789" for name in DIALECTS if name != "ollama"}


_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_OPENAI = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Reply:
    """How a dialect says a text, or calls a tool, streamed or whole."""

    dialect: str
    stream: bool
    text: str = TEXT
    calls: tuple[Call, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        return SSE if self.stream else JSON

    @cached_property
    def pieces(self) -> list[bytes]:
        """The events of the stream, or the whole body in one piece."""
        speaker = DIALECTS[self.dialect]()
        asked = {"model": "m", "stream": self.stream, "messages": [], "stream_options": {"include_usage": True}}
        verb = "streamGenerateContent" if self.stream else "generateContent"
        rec = Recorded("POST", f"/models/m:{verb}", "alt=sse", {}, b"", asked, time.monotonic())
        said = speaker.fake.render(speaker.reply(Said(self.text, self.calls)), rec)
        if isinstance(said, Raw):
            return [op[1] for op in said.ops if op[0] == "raw"]
        return [json.dumps(said.body, ensure_ascii=False).encode()]

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    @property
    def head(self) -> bytes:
        """The head before chunks."""
        return chunked_head(self.media_type)

    @property
    def whole(self) -> list[Op]:
        """The answer as it should be."""
        return self.of(*self.pieces)

    def of(self, *pieces: bytes) -> list[Op]:
        """An answer of these pieces, well framed."""
        if self.stream:
            return [self.head, *chunks(pieces), b"0\r\n\r\n", KEEP]
        return [sized(b"".join(pieces)), KEEP]

    def until(self, mark: bytes) -> bytes:
        """The body until shortly behind the first of these marks; of a stream in many pieces, whole events."""
        first = next(n for n, piece in enumerate(self.pieces) if mark in piece)
        marked = [n for n, piece in enumerate(self.pieces) if mark in piece]
        if self.stream and len(marked) > 8:
            return b"".join(self.pieces[: first + 2])
        begun = sum(len(piece) for piece in self.pieces[:first])
        return self.body[: begun + self.pieces[first].index(mark) + 20]

    @property
    def in_text(self) -> bytes:
        """The body until the middle of the text."""
        return self.until(b"alpha-")

    @property
    def in_arguments(self) -> bytes:
        """The body until the middle of a tool's arguments."""
        return self.until(b"bravo-")

    def said_by(self, count: int) -> bytes:
        """The first pieces."""
        return self.body[: list(accumulate(map(len, self.pieces)))[count - 1]]

    def error_body(self, message: str, status: int = 500) -> bytes:
        """The body of an error in the dialect's words."""
        match self.dialect:
            case "anthropic" | "ollama":
                body = {"type": "error", "error": {"type": _ANTHROPIC.get(status, "api_error"), "message": message}}
            case "gemini":
                body = {"error": {"code": status, "message": message, "status": _GOOGLE.get(status, "INTERNAL")}}
            case "openai_responses":
                body = {"error": {"message": message, "type": _OPENAI.get(status, "server_error"), "code": None}}
            case _:
                body = {"error": {"message": message, "code": status}}
        return json.dumps(body).encode()

    @property
    def error_event(self) -> bytes:
        """An error in the middle of a stream, in the dialect's words."""
        error = {"message": "It broke.", "code": "server_error"}
        match self.dialect:
            case "openai_responses":
                failed = {"type": "response.failed", "response": {"status": "failed", "error": error, "output": []}}
                return b"event: response.failed\ndata: " + json.dumps(failed).encode() + b"\n\n"
            case "anthropic" | "ollama":
                told = {"type": "error", "error": {"type": "api_error", "message": "It broke."}}
                return b"event: error\ndata: " + json.dumps(told).encode() + b"\n\n"
            case _:
                return b"data: " + self.error_body("It broke.") + b"\n\n"


def reply(dialect: str, *, stream: bool, text: str = TEXT) -> Reply:
    """A text."""
    return Reply(dialect, stream, text)


def calling(dialect: str, *, stream: bool, count: int = 1) -> Reply:
    """A few words, and calls of a tool."""
    calls = tuple(Call(TOOL, ARGUMENTS, f"call_{n:024d}") for n in range(count))
    return Reply(dialect, stream, BEFORE, calls)
