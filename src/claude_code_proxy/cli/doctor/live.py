"""Doctor's live question: a few words and a call of a tool, streamed, through a proxy in this process."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.cli.doctor.providers import Seen
    from claude_code_proxy.settings import Settings

_LONGEST: Final = 60.0
"""Seconds for an answer."""

_QUESTION: Final[dict[str, Any]] = {
    "max_tokens": 256,
    "stream": True,
    "messages": [{"role": "user", "content": "Which time is it? Use the tool."}],
    "tools": [
        {
            "name": "clock",
            "description": "Tells the time of a zone.",
            "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
        }
    ],
}


class Tried(Struct, frozen=True):
    """What came of the question."""

    answered: bool = False
    streaming: bool | None = None
    tools: bool | None = None
    fault: str = ""


async def tried(settings: Settings, looked: Sequence[tuple[Seen, str]]) -> list[Tried | None]:
    """Ask a model of each provider that is in order; None for one that is not, or of which no model is known."""
    import aiohttp

    from claude_code_proxy.cli.local_proxy import running

    async def one(session: aiohttp.ClientSession, seen: Seen, model: str) -> Tried | None:
        if seen.fault or not model:
            return None
        try:
            async with asyncio.timeout(_LONGEST):
                return await _ask(session, f"/{seen.provider}:{model}/v1/messages", model)
        except (aiohttp.ClientError, TimeoutError) as cause:
            return Tried(fault=f"The answer broke off ({type(cause).__name__}).")

    async with running(settings) as url:
        headers = {"x-api-key": settings.proxy_api_key or "any", "anthropic-version": "2023-06-01"}
        async with aiohttp.ClientSession(url, headers=headers) as session:
            return await asyncio.gather(*(one(session, seen, model) for seen, model in looked))


async def _ask(session: Any, path: str, model: str) -> Tried:
    async with session.post(path, json={**_QUESTION, "model": model}) as answer:
        body = await answer.read()
    if answer.status != 200:
        return Tried(fault=_message(body) or f"HTTP {answer.status}")
    events = [json.loads(line[5:]) for line in body.splitlines() if line.startswith(b"data:")]
    if broken := next((event for event in events if event["type"] == "error"), None):
        return Tried(answered=True, streaming=False, fault=str(broken["error"]["message"]))
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    done = any(event["type"] == "message_stop" for event in events)
    return Tried(answered=True, streaming=done, tools="tool_use" in starts)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
