"""The yardstick: a proxy that translates and does nothing else. What ours costs beyond it is what ours does beyond it.

It has no routing, keys, checks, limits, retries, log or figures, and ends badly in every way there is.
`PASS=1` hands bytes through to an Anthropic upstream. Run by `uvicorn prototype:app`; `UPSTREAM` is the address.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

PASS: Final = bool(os.environ.get("PASS"))
URL: Final = os.environ.get("UPSTREAM", "") + ("/v1/messages" if PASS else "/v1/chat/completions")
HEADERS: Final = {"content-type": "application/json", "accept-encoding": "identity"}

_START: Final = b"""event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],\
"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

"""
_DELTA: Final = b"""event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%b}}

"""
_END: Final = b"""event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}

event: message_stop
data: {"type":"message_stop"}

"""

_sessions: list[aiohttp.ClientSession] = []


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        return
    if not _sessions:
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    raw = await _body(receive)
    if PASS:
        stream, sent = b'"stream":true' in raw, raw
    else:
        asked = orjson.loads(raw)
        stream, sent = asked["stream"], translated(asked)
    async with _sessions[0].post(URL, data=sent, headers=HEADERS) as answer:
        if not stream:
            whole = await answer.read()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": whole if PASS else message(orjson.loads(whole))})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        watcher = asyncio.create_task(_watch(receive, asyncio.current_task()))
        try:
            events = Events()
            async for data in answer.content.iter_any():
                if out := data if PASS else events.feed(data):
                    await send({"type": "http.response.body", "body": out, "more_body": True})
        finally:
            watcher.cancel()
        await send({"type": "http.response.body"})


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        part = await receive()
        parts.append(part.get("body", b""))
        if not part.get("more_body"):
            return b"".join(parts)


async def _watch(receive: Receive, task: asyncio.Task[Any] | None) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if task:
        task.cancel()


def translated(asked: dict[str, Any]) -> bytes:
    """A Messages request as one for chat completions."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "\n\n".join(one["text"] for one in asked["system"])}
    ]
    for turn in asked["messages"]:
        texts, calls = [], []
        for block in turn["content"]:
            if block["type"] == "text":
                texts.append(block["text"])
            elif block["type"] == "tool_use":
                function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
                calls.append({"id": block["id"], "type": "function", "function": function})
            else:
                said = "\n".join(one["text"] for one in block["content"])
                messages.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": said})
        if texts or calls:
            message = {"role": turn["role"], "content": "\n".join(texts)}
            messages.append(message | ({"tool_calls": calls} if calls else {}))
    tools = [
        {
            "type": "function",
            "function": {**{name: tool[name] for name in ("name", "description")}, "parameters": tool["input_schema"]},
        }
        for tool in asked["tools"]
    ]
    body = {"model": asked["model"], "messages": messages, "max_tokens": asked["max_tokens"], "stream": asked["stream"]}
    return orjson.dumps({**body, "tools": tools, "stream_options": {"include_usage": True}})


def message(said: dict[str, Any]) -> bytes:
    """A whole answer as a message."""
    content = [{"type": "text", "text": said["choices"][0]["message"]["content"]}]
    return orjson.dumps({"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"})


class Events:
    """Chunks of chat completions into Anthropic's events."""

    def __init__(self) -> None:
        self._rest, self._begun = b"", False

    def feed(self, data: bytes) -> bytes:
        *lines, self._rest = (self._rest + data).split(b"\n")
        out: list[bytes] = []
        for line in lines:
            if line == b"data: [DONE]":
                out.append(_END)
            elif line.startswith(b"data: "):
                choices = orjson.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    if not self._begun:
                        self._begun = True
                        out.append(_START)
                    out.append(_DELTA % orjson.dumps(text))
        return b"".join(out)
