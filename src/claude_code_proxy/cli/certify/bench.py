"""Asking the model as a client does: requests over HTTP to a proxy, answers read strictly, everything counted."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson
from msgspec import Struct

from claude_code_proxy.cli.certify.reading import Reading
from claude_code_proxy.wire.failure import from_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONGEST: Final = 180.0
"""Seconds for an answer."""

_ROOM: Final = 2048
"""Output tokens for a short answer, and for what a model may think before it."""

_PAUSES: Final = 2
_LONGEST_PAUSE: Final = 60.0
"""How often, and for how many seconds at most, a busy backend is given the time that it asks for."""

_HEADERS: Final = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "effort-2025-11-24,structured-outputs-2025-12-15,thinking-display-updates-2026-08-18",
    "user-agent": "claude-code-proxy certify",
}
"""The version and the betas are Claude Code's own (measured with 2.1.330, November 2026)."""


class Asked(Struct):
    """What was sent in all: requests, and tokens as the backend counted them."""

    requests: int = 0
    input: int = 0
    output: int = 0


class Answer(Struct, kw_only=True):
    """An answer: a whole message, or the error in its place."""

    status: int
    content: list[dict[str, Any]] = []
    stop_reason: str = ""
    stop_sequence: str = ""
    usage: dict[str, Any] = {}
    kind: str = ""
    message: str = ""
    """Type and words of the error, if it is one."""
    faults: list[str] = []
    """What is wrong with the stream."""
    pieces: int = 0
    first: float | None = None
    seconds: float = 0.0
    last: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is a message."""
        return self.status == 200 and not self.message

    @property
    def text(self) -> str:
        """All that it says."""
        return "".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text")

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tools it calls."""
        return [block for block in self.content if block.get("type") == "tool_use"]

    @property
    def input_tokens(self) -> int:
        """The whole prompt, what came from a cache among it."""
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return sum(self.usage.get(name) or 0 for name in names)

    @property
    def output_tokens(self) -> int:
        """What it said, in tokens."""
        return self.usage.get("output_tokens") or 0


class Bench:
    """A model behind a proxy. `path` is what the URL names before /v1, `sample` the number of this sample."""

    def __init__(self, url: str, path: str, model: str, key: str, *, window: int = 0, long: bool = False) -> None:
        self.url, self.path, self.model, self._key = url, path, model, key
        self.window, self.long, self.sample = window, long, 0
        self.local = False
        """Whether asking costs nothing but time."""
        self.temperature = True
        """Whether the field is taken."""
        self.asked = Asked()
        self.speeds: list[tuple[float, float]] = []
        """Of each stream: seconds to its first token, and tokens a second after it."""
        self.found_window = self.found_output = 0
        """Limits in tokens that a refusal told."""
        self.session_id = secrets.token_hex(16)

    def nonce(self) -> str:
        """A word that nobody can know."""
        return secrets.token_hex(4).upper()

    async def ask(self, messages: Any, *, path: str | None = None, steady: bool = True, **fields: Any) -> Answer:
        """Ask for a stream, unless `stream` is false. The first sample is asked for without chance, if `steady`."""
        body: dict[str, Any] = {"model": self.model, "max_tokens": _ROOM, "stream": True, **fields}
        body["messages"] = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        if steady and not self.sample and self.temperature and "thinking" not in body:
            body["temperature"] = 0
        answer = await self._patient(body, path)
        if answer.status == 400 and "temperature" in body and "temperature" in answer.message:
            self.temperature = False
            del body["temperature"]
            answer = await self._patient(body, path)
        self.asked.input += answer.input_tokens
        self.asked.output += answer.output_tokens
        return answer

    async def count(self, **body: Any) -> int:
        """The proxy's count of tokens; 0 if there is none."""
        place, tokens = f"{self.url}{self.path}/v1/messages/count_tokens", 0
        with suppress(aiohttp.ClientError):
            async with self._session() as session, session.post(place, json={"model": self.model, **body}) as answer:
                tokens = _json(await answer.read()).get("input_tokens") or 0
        return tokens

    async def limits(self) -> tuple[int, int]:
        """The window and the output limit that the proxy's list tells of the model; 0 where it does not."""
        row: dict[str, Any] = {}
        with suppress(aiohttp.ClientError):  # who cannot be reached is told when asked for an answer
            async with self._session() as session, session.get(f"{self.url}{self.path}/v1/models") as answer:
                rows = _json(await answer.read()).get("data") or [{}]
                row = rows[0] if self.path else next((row for row in rows if row.get("id") == self.model), {})
        return row.get("max_input_tokens") or 0, row.get("max_tokens") or 0

    async def left(self, messages: Any, **fields: Any) -> tuple[bool, float]:
        """Leave a stream at its first words. Gives whether there were any, and the seconds that leaving took."""
        body = {"model": self.model, "max_tokens": 2048, "stream": True, **fields}
        body["messages"] = [{"role": "user", "content": messages}]
        self.asked.requests += 1
        reading, begun = Reading(time.perf_counter()), time.perf_counter()
        place = f"{self.url}{self.path}/v1/messages"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(LONGEST), self._session() as session, session.post(place, json=body) as reply:
                async for chunk in reply.content.iter_any():
                    reading.feed(chunk)
                    if reading.first is not None:
                        break
                begun = time.perf_counter()
                reply.close()
        return reading.first is not None, time.perf_counter() - begun

    async def _patient(self, body: dict[str, Any], path: str | None) -> Answer:
        """The answer; a backend that is busy is asked again when it says so."""
        for attempt in range(_PAUSES + 1):
            answer, pause = await self._once(body, path)
            if answer.status not in {429, 529} or attempt == _PAUSES:
                break
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
        return answer

    async def _once(self, body: dict[str, Any], path: str | None) -> tuple[Answer, float]:
        self.asked.requests += 1
        place = f"{self.url}{self.path if path is None else path}/v1/messages"
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST), self._session() as session, session.post(place, json=body) as reply:
                if reply.status != 200 or not body["stream"]:
                    pause = float(reply.headers.get("retry-after") or 5)
                    return _whole(reply.status, await reply.read(), time.perf_counter() - begun), pause
                reading = Reading(begun)
                async for chunk in reply.content.iter_any():
                    reading.feed(chunk)
                reading.close()
        except TimeoutError:
            return Answer(status=504, kind="timeout", message=f"No answer within {LONGEST:.0f} s."), 0
        except (aiohttp.ClientError, ValueError) as cause:
            return Answer(status=502, kind="broken", message=f"The answer broke off: {cause}"), 0
        return self._streamed(reading, time.perf_counter() - begun), 0

    def _streamed(self, reading: Reading, seconds: float) -> Answer:
        answer = Answer(
            status=200,
            content=reading.blocks,
            stop_reason=reading.stop_reason,
            stop_sequence=reading.stop_sequence,
            usage=reading.usage,
            kind=str(reading.error.get("type", "")),
            message=str(reading.error.get("message", "")),
            faults=reading.faults,
            pieces=reading.pieces,
            first=reading.first,
            last=reading.last,
            seconds=seconds,
        )
        if answer.first is not None and answer.output_tokens > 1 and seconds > answer.first:
            self.speeds.append((answer.first, answer.output_tokens / (seconds - answer.first)))
        return answer

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        limits = aiohttp.ClientTimeout(total=None, connect=10)
        headers = {**_HEADERS, "x-api-key": self._key, "x-claude-code-session-id": self.session_id}
        async with aiohttp.ClientSession(headers=headers, timeout=limits) as session:
            yield session


def _whole(status: int, body: bytes, seconds: float) -> Answer:
    told = _json(body)
    if status != 200:
        failure = from_error(told, status)
        return Answer(status=status, kind=failure.type, message=failure.message, seconds=seconds)
    try:
        content, usage = list(told["content"]), dict(told["usage"])
    except (KeyError, TypeError):
        return Answer(status=502, kind="broken", message="The answer is no message.", seconds=seconds)
    return Answer(
        status=status,
        content=content,
        stop_reason=told.get("stop_reason") or "",
        stop_sequence=told.get("stop_sequence") or "",
        usage=usage,
        seconds=seconds,
    )


def _json(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
