"""An Ollama server: its Messages endpoint with its gaps, and as much of its own API as finds and makes models.

A model has the window that its parameters set, or the server's small default; what does not fit is dropped from
the front of the conversation without a word. `served` tells what each answered request came down to.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from .messages import Msg, sse
from .server import Fake, Http, Raw, Recorded, Script, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEFAULT_CTX: Final = 4096
"""The window of a model that sets none, on a machine with little graphics memory."""

VERSION: Final = "0.33.0"
_NAME: Final = re.compile(r"(?:[\w.-]+/){0,3}[\w.-]+(?::[\w.-]{1,80})?")
_LOCAL: Final = ("", "localhost")
_LOCAL_ENDS: Final = (".localhost", ".local", ".internal")
_numbers = count(1)


@dataclass(frozen=True)
class Model:
    """A model on the server; `window` is what it was trained for, `num_ctx` what it sets."""

    window: int | None = 40_960
    num_ctx: int | None = None
    capabilities: tuple[str, ...] = ("completion", "tools", "thinking")
    remote_host: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Served:
    """What one request was answered by: the model, its window, and how many messages were dropped to fit it."""

    model: str
    num_ctx: int
    dropped: int


@dataclass(frozen=True)
class Streamed:
    """How a block of the answer is streamed."""

    opening: Mapping[str, Any]
    deltas: list[dict[str, Any]] = field(default_factory=list)


def native_error(status: int, message: str) -> Http:
    """Make an error of Ollama's own API."""
    return Http(status, {"error": message})


def messages_error(status: int, kind: str, message: str) -> Http:
    """Make an error of the Messages endpoint."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{next(_numbers):024x}"}
    return Http(status, body)


def page_not_found() -> Http:
    """Make the answer for a path that the server does not know."""
    return Http(404, "404 page not found")


class FakeOllama(Fake[Msg]):
    """The server. `refuse` maps paths to answers that are given in place of the real ones."""

    def __init__(self, script: Script[Msg] = (), **models: Model) -> None:
        """Serve `script` with these models."""
        super().__init__(script)
        self.models: dict[str, Model] = dict(models)
        self.served: list[Served] = []
        self.pulled: list[str] = []
        self.refuse: dict[str, Http] = {}
        self._routes: dict[str, tuple[str, Callable[[Recorded], Http | None]]] = {
            "/": ("GET", lambda _: Http(200, "Ollama is running")),
            "/api/version": ("GET", lambda _: Http(200, {"version": VERSION})),
            "/api/tags": ("GET", lambda _: Http(200, {"models": [self._tag(name) for name in self.models]})),
            "/api/ps": ("GET", lambda _: Http(200, {"models": self._loaded()})),
            "/api/show": ("POST", self._show),
            "/api/create": ("POST", self._create),
            "/v1/models": ("GET", lambda _: Http(200, {"object": "list", "data": self._listed()})),
            "/v1/messages": ("POST", self._messages),
        }

    def asked(self, path: str) -> list[Any]:
        """Give the bodies of the requests to this path."""
        return [rec.json for rec in self.requests if rec.path == path]

    def front(self, rec: Recorded) -> Http | None:
        """Answer all but messages that are in order."""
        if not _is_local(rec.headers.get("host", "")):
            return Http(403, b"", {"content-type": ""})  # against web pages that rebind a name to this machine
        if rec.path in self.refuse:
            return self.refuse[rec.path]
        if rec.path not in self._routes:
            return page_not_found()
        method, answer = self._routes[rec.path]
        return answer(rec) if rec.method == method else Http(405, "405 method not allowed")

    def render(self, reply: Msg, rec: Recorded) -> Http | Raw:
        """Write the message whole, or as a stream if it was asked for."""
        model = rec.json["model"]
        if not rec.json.get("stream"):
            return Http(200, _whole(reply, model))
        kind = {"content-type": "text/event-stream", "cache-control": "no-cache"}
        guess = max(1, len(json.dumps(rec.json["messages"])) // 4)
        return Raw([("raw", sse(event)) for event in _events(reply, model, guess)], headers=kind)

    # -- the Messages endpoint

    def _messages(self, rec: Recorded) -> Http | None:
        if not isinstance(rec.json, dict):
            return messages_error(400, "invalid_request_error", "invalid character in the body")
        for name, fault in (("model", "model is required"), ("messages", "messages is required")):
            if not rec.json.get(name):
                return messages_error(400, "invalid_request_error", fault)
        if not rec.json.get("max_tokens", 0) > 0:
            return messages_error(400, "invalid_request_error", "max_tokens is required and must be positive")
        name = rec.json["model"]
        if not (model := self._found(name)):
            return messages_error(404, "not_found_error", f"model '{name}' not found")
        if rec.json.get("tools") and "tools" not in model.capabilities:
            return messages_error(400, "invalid_request_error", f"{name} does not support tools")
        window = min(model.num_ctx or DEFAULT_CTX, model.window or DEFAULT_CTX)
        self.served.append(Served(name, window, _dropped(rec.json["messages"], window)))
        return None

    # -- its own API

    def _show(self, rec: Recorded) -> Http:
        name = fields(rec.json).get("model") or fields(rec.json).get("name")
        if not name:
            return native_error(400, "model is required")
        if not _NAME.fullmatch(name):
            return native_error(400, "invalid model name")
        if not (model := self._found(name)):
            return native_error(404, f"model '{name}' not found")
        info: dict[str, Any] = {"general.architecture": "qwen3", "general.parameter_count": 8_190_735_360}
        if model.window:
            info["qwen3.context_length"] = model.window
        parameters = 'stop                           "<|im_end|>"'
        if model.num_ctx:
            parameters += f"\nnum_ctx                        {model.num_ctx}"
        remote = {"remote_host": model.remote_host, "remote_model": name} if model.remote_host else {}
        return Http(
            200,
            {
                "parameters": parameters,
                "template": "{{ .Prompt }}",
                "details": {"parent_model": model.parent, "format": "gguf", "family": "qwen3"},
                "model_info": info,
                "capabilities": list(model.capabilities),
                **remote,
            },
        )

    def _create(self, rec: Recorded) -> Http:
        wish = fields(rec.json)
        name, base = str(wish.get("model") or ""), str(wish.get("from") or "")
        if not _NAME.fullmatch(name):
            return native_error(400, "invalid model name")
        if not base:
            return native_error(400, "neither 'from' or 'files' was specified")
        if not (model := self._found(base)):
            self.pulled.append(base)  # what is not there is fetched first, however large
            return native_error(500, "pull model manifest: file does not exist")
        num_ctx = fields(wish.get("parameters")).get("num_ctx", model.num_ctx)
        self.models[_tagged(name)] = replace(model, num_ctx=num_ctx, parent=base)
        if wish.get("stream") is False:
            return Http(200, {"status": "success"})
        return Http(
            200, b'{"status":"writing manifest"}\n{"status":"success"}\n', {"content-type": "application/x-ndjson"}
        )

    def _found(self, name: str) -> Model | None:
        return next((model for own, model in self.models.items() if _tagged(own) == _tagged(name)), None)

    def _tag(self, name: str) -> dict[str, Any]:
        model = self.models[name]
        return {
            "name": _tagged(name),
            "model": _tagged(name),
            "modified_at": "2026-01-01T00:00:00Z",
            "size": 5_225_388_164,
            "digest": "5" * 64,
            "details": {"parent_model": model.parent, "format": "gguf", "context_length": model.window},
            "capabilities": list(model.capabilities),
        }

    def _loaded(self) -> list[dict[str, Any]]:
        return [{**self._tag(one.model), "context_length": one.num_ctx} for one in self.served[-1:]]

    def _listed(self) -> list[dict[str, Any]] | None:
        made = 1_767_225_600
        rows = [
            {"id": _tagged(name), "object": "model", "created": made, "owned_by": "library"} for name in self.models
        ]
        return rows or None


def fields(value: object) -> dict[str, Any]:
    """Give the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return name in _LOCAL or name.endswith(_LOCAL_ENDS)
    return address.is_loopback or address.is_private or address.is_unspecified


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _dropped(messages: list[dict[str, Any]], window: int) -> int:
    """How many of the oldest messages do not fit; the last one always stays."""
    sizes = [len(json.dumps(message)) // 4 for message in messages]
    return next((n for n in range(len(sizes)) if sum(sizes[n:]) <= window), len(sizes) - 1)


def _stop_reason(reply: Msg) -> dict[str, str]:
    """The reason, or nothing at all for one that is empty."""
    called = any(block["type"] == "tool_use" for block in reply.content)
    reason = "tool_use" if called else "end_turn" if reply.stop_reason is None else reply.stop_reason
    return {"stop_reason": reason} if reason else {}


def _whole(reply: Msg, model: str) -> dict[str, Any]:
    blocks = [{key: value for key, value in block.items() if value and key != "signature"} for block in reply.content]
    return {
        "id": f"msg_{next(_numbers):024x}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks or None,
        **_stop_reason(reply),
        "usage": {"input_tokens": reply.usage["input_tokens"], "output_tokens": reply.usage["output_tokens"]},
    }


def _events(reply: Msg, model: str, guess: int) -> Iterator[dict[str, Any]]:
    started = {
        "id": f"msg_{next(_numbers):024x}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "usage": {"input_tokens": guess, "output_tokens": 0},
    }
    yield {"type": "message_start", "message": started}
    for index, block in enumerate(reply.content):
        said = _streamed(block, reply.chunk)
        yield {"type": "content_block_start", "index": index, "content_block": said.opening}
        for delta in said.deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    usage = {"input_tokens": reply.usage["input_tokens"], "output_tokens": reply.usage["output_tokens"]}
    yield {"type": "message_delta", "delta": _stop_reason(reply), "usage": usage}
    yield {"type": "message_stop"}


def _streamed(block: dict[str, Any], chunk: int) -> Streamed:
    if (kind := block["type"]) == "tool_use":
        whole = json.dumps(block["input"], separators=(",", ":"))
        opening = {"type": kind, "id": block["id"], "name": block["name"], "input": {}}
        return Streamed(opening, [{"type": "input_json_delta", "partial_json": whole}])
    return Streamed(
        {"type": kind, kind: ""}, [{"type": f"{kind}_delta", kind: one} for one in pieces(block[kind], chunk)]
    )
