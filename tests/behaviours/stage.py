"""Every kind of upstream, and servers of any settings before them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from claude_code_proxy.cli.local_proxy import running
from claude_code_proxy.settings import ENV_FILE, load_settings
from e2e.http_client import Answer
from upstreams import Chat, FakeChat, FakeMessages, FakeOllama, Http, Msg, Raw, text
from upstreams.chat import sse

if TYPE_CHECKING:
    from claude_code_proxy.settings import Settings
    from upstreams import Recorded

KEYS = {
    name: f"canary-{name.lower().replace('_', '-')}"
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "NVIDIA_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY")
}
CLIENT_KEY = "canary-of-the-client"
BIG, SMALL = "big-model", "small-model"
MOST_SERVERS = 8  # each wakes up ten times a second
TIMEOUT = aiohttp.ClientTimeout(total=30)
JSON = {"content-type": "application/json"}
TOOL: dict[str, Any] = {
    "name": "Read",
    "description": "Read a file.",
    "input_schema": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "path": {"type": "string", "format": "uri", "default": "/"},
            "depth": {"type": "integer", "exclusiveMinimum": 0},
            "mode": {"type": "string", "enum": ["r", "w"]},
        },
        "required": ["path"],
        "additionalProperties": False,
    },
}


class FakeNvidia(FakeChat):
    """OpenAI's rules and NVIDIA's two fields more."""

    def front(self, rec: Recorded) -> Http | None:
        known: dict[str, type] = {"reasoning_budget": int, "chat_template_kwargs": dict}
        body = rec.json if isinstance(rec.json, dict) else {}
        for name, kind in known.items():
            if name in body and type(body[name]) is not kind:
                rec.refusal = f"400 {name}"
                return Http(400, {"error": {"message": f"{name} must be of type {kind.__name__}"}})
        raw = json.dumps({name: value for name, value in body.items() if name not in known}).encode()
        plain = replace(rec, raw=raw)
        refused = super().front(plain)
        rec.refusal = plain.refusal
        return refused


class FakeGemini(FakeChat):
    """Google's API in both forms: the one compatible with OpenAI's, and its own generateContent."""

    def __init__(self) -> None:
        super().__init__(base="/v1beta/openai", extras=True)

    def front(self, rec: Recorded) -> Http | None:
        if not is_native(rec):
            return super().front(rec)
        if not rec.headers.get("x-goog-api-key"):
            rec.refusal = "403 no key"
            return Http(403, {"error": {"code": 403, "message": "no key", "status": "PERMISSION_DENIED"}})
        if rec.method == "GET":
            return Http(200, {"models": []})
        if rec.path.endswith(":countTokens"):
            counted = rec.json["generateContentRequest"]
            return Http(200, {"totalTokens": len(rec.raw)}) if counted["contents"] and counted["model"] else Http(400)
        if not rec.json or not rec.json.get("contents") or "model" in rec.json:
            rec.refusal = "400 contents"
            return Http(400, {"error": {"code": 400, "message": "contents", "status": "INVALID_ARGUMENT"}})
        return None

    def render(self, reply: Chat, rec: Recorded) -> Http | Raw:
        if not is_native(rec):
            return super().render(reply, rec)
        parts: list[dict[str, Any]] = [{"text": reply.text}] if reply.text else []
        parts += [{"functionCall": {"name": c.name, "args": json.loads(c.text)}} for c in reply.tool_calls]
        usage = {"promptTokenCount": 120, "candidatesTokenCount": 34, "totalTokenCount": 154}
        whole = {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": usage,
            "modelVersion": "gemini",
            "responseId": "r1",
        }
        return Raw([("raw", sse(whole))]) if "streamGenerateContent" in rec.path else Http(200, whole)


def is_native(rec: Recorded) -> bool:
    """Whether it is a request in Gemini's own form."""
    return "/openai/" not in rec.path


def model_of(rec: Recorded) -> str:
    """The model that an upstream was asked for: in the body, or in the path of Gemini's own form."""
    if isinstance(rec.json, dict) and "model" in rec.json:
        return str(rec.json["model"])
    return str(URL(rec.path, encoded=True).path).partition("/models/")[2].rpartition(":")[0]


Upstream = FakeChat | FakeMessages | FakeOllama


@dataclass
class Stage:
    """The upstreams by the names of their providers, and the servers."""

    openai: FakeChat
    openrouter: FakeChat
    nvidia: FakeNvidia
    gemini: FakeGemini
    anthropic: FakeMessages
    ollama: FakeMessages
    url: str = ""
    log: Any = None
    started: dict[tuple[tuple[str, str], ...], tuple[str, asyncio.Event]] = field(default_factory=dict)
    servers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def upstreams(self) -> dict[str, Upstream]:
        names = ("openai", "openrouter", "nvidia", "gemini", "anthropic", "ollama")
        return {name: getattr(self, name) for name in names}

    @property
    def chats(self) -> dict[str, FakeChat]:
        """Those that speak OpenAI's format."""
        return {name: up for name, up in self.upstreams.items() if isinstance(up, FakeChat)}

    @property
    def env(self) -> dict[str, str]:
        """The variables of the server of most tests."""
        return {
            **KEYS,
            "PREFERRED_PROVIDER": "openai",
            "BIG_MODEL": BIG,
            "SMALL_MODEL": SMALL,
            "OPENAI_BASE_URL": self.openai.api,
            "OPENROUTER_BASE_URL": self.openrouter.api,
            "NVIDIA_BASE_URL": self.nvidia.api,
            "GEMINI_API_BASE": self.gemini.url + "/v1beta",
            "ANTHROPIC_API_BASE": self.anthropic.url,
            "OLLAMA_API_BASE": self.ollama.url,
            "OLLAMA_NUM_CTX": "0",
            "UPSTREAM_RETRIES": "0",  # each answer of an upstream is tested as it is
        }

    async def serve(self, **env: str) -> str:
        """The address of a server with these variables beside the usual ones; an empty one unsets its own."""
        key = tuple(sorted(env.items()))
        if key not in self.started:
            settings = load_settings({ENV_FILE: "", **self.env, **env})
            ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            over = asyncio.Event()
            self.servers.append(asyncio.create_task(_run(settings, ready, over)))
            self.started[key] = await ready, over
            if len(self.started) > MOST_SERVERS:
                self.started.pop(next(iter(self.started)))[1].set()
        return self.started[key][0]

    async def close(self) -> None:
        """Stop the servers, all at once."""
        for _, over in self.started.values():
            over.set()
        await asyncio.gather(*self.servers)

    def answer(self, said: str = "Hello") -> None:
        """Have every upstream say the same."""
        for upstream in self.upstreams.values():
            if isinstance(upstream, FakeChat):
                upstream.use(Chat(said))
            else:
                upstream.use(Msg([text(said)]))

    def asked(self) -> dict[str, list[str]]:
        """The models that were asked for, by provider."""
        return {name: [model_of(rec) for rec in up.posts] for name, up in self.upstreams.items() if up.posts}

    def only(self, name: str) -> Recorded:
        """The one request that was sent, which went to this provider."""
        assert set(self.asked()) == {name}
        [rec] = self.upstreams[name].posts
        return rec


async def _run(settings: Settings, ready: asyncio.Future[str], over: asyncio.Event) -> None:
    async with running(settings) as url:
        ready.set_result(url)
        await over.wait()


def hello(model: str = "claude-sonnet-4", **fields: Any) -> dict[str, Any]:
    """A request with these fields."""
    return {"model": model, "max_tokens": 1024, "messages": [{"role": "user", "content": "Hello"}], **fields}


async def post(url: str, path: str, body: Any, *, method: str = "POST", **headers: str) -> Answer:
    """Send a request with these headers and no others of a client."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    place = URL(url + path, encoded=True)
    async with _session().request(method, place, data=raw, headers=JSON | headers) as got:
        return Answer(got.status, got.headers, await got.read())


_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _sessions:
        # Connections are given up before the server gives them up.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        _sessions.append(aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, skip_auto_headers=["user-agent"]))
    return _sessions[0]


async def hang_up() -> None:
    """Close the connections that `post` has kept."""
    while _sessions:
        await _sessions.pop().close()
