"""A loopback server that records what it is asked and answers from a script."""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar

from aiohttp import web

LARGEST_BODY = 256 << 20
LONGEST_WAIT = 10.0
LONGEST_SILENCE = 60.0

Op: TypeAlias = (
    tuple[Literal["raw"], bytes] | tuple[Literal["sleep"], float] | tuple[Literal["headers", "silence", "abort"]]
)


@dataclass(frozen=True)
class Http:
    """One whole answer: dicts and lists go out as JSON, the rest as it is."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """An answer written by hand. The headers leave with the first "raw", or at "headers".

    "silence" says nothing until the client leaves; "abort" drops the connection.
    """

    ops: Sequence[Op]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream; charset=utf-8"})


@dataclass
class Recorded:
    """One request, and what became of its answer. Times are of time.monotonic()."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    json: Any
    at: float
    refusal: str | None = None
    sent: bytearray = field(default_factory=bytearray)
    left: float | None = None
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_silent(self) -> None:
        """Wait until the script has come to its "silence"."""
        await asyncio.wait_for(self.silent.wait(), LONGEST_WAIT)

    async def until_left(self) -> float:
        """Wait until the client has left the running answer, and say when that was."""
        await asyncio.wait_for(self.over.wait(), LONGEST_WAIT)
        if self.left is None:
            msg = f"{self.method} {self.path} was answered to its end"
            raise AssertionError(msg)
        return self.left


Own = TypeVar("Own")
Reply: TypeAlias = Http | Raw | Own
Script: TypeAlias = Sequence[Http | Raw | Own] | Callable[[Recorded], Http | Raw | Own | Awaitable[Http | Raw | Own]]


class Fake(ABC, Generic[Own]):
    """What the fakes share: life, recording, the script, and writing answers."""

    def __init__(self, script: Script[Own] = ()) -> None:
        """Answer from `script`: a sequence, whose last entry repeats, or a function of the request."""
        self.script: Script[Own] = script
        self.requests: list[Recorded] = []
        self.url = ""
        self._used = 0
        self._closing = False
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Condition()

    def use(self, *replies: Http | Raw | Own, by: Script[Own] | None = None) -> None:
        """Take another script and forget the requests so far."""
        self.script = replies if by is None else by
        self.requests = []
        self._used = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # The cancellation is how a handler that is busy sleeping learns that its client has left.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        if self._runner is not None:
            await self._runner.cleanup()

    def cut(self, reply: Own, writes: int, *then: Op) -> Callable[[Recorded], Http | Raw | Own]:
        """Make a script of the first writes of this reply's stream, and then something else."""

        def script(rec: Recorded) -> Raw:
            whole = self.render(reply, rec)
            assert isinstance(whole, Raw)
            return Raw([("headers",), *whole.ops[:writes], *then], whole.status, whole.headers)

        return script

    @property
    def refusals(self) -> list[str]:
        """Why requests were refused that the real API would refuse."""
        return [r.refusal for r in self.requests if r.refusal]

    @property
    def posts(self) -> list[Recorded]:
        """The requests that a model would have answered."""
        return [r for r in self.requests if r.method == "POST"]

    async def arrival(self, number: int = 1) -> Recorded:
        """Wait for the request of this number, counted from one."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(self.requests) >= number), LONGEST_WAIT)
        return self.requests[number - 1]

    @abstractmethod
    def front(self, rec: Recorded) -> Http | None:
        """Answer what needs no script: other routes, and requests the real API would refuse."""

    @abstractmethod
    def render(self, reply: Own, rec: Recorded) -> Http | Raw:
        """Write the dialect's own reply as the real API would."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        rec = Recorded(
            method=request.method,
            path=request.raw_path.partition("?")[0],
            query=request.query_string,
            headers={k.lower(): ", ".join(request.headers.getall(k)) for k in request.headers},
            raw=raw,
            json=_parsed(raw),
            at=time.monotonic(),
        )
        self.requests.append(rec)
        async with self._news:
            self._news.notify_all()
        try:
            return await self._answer(request, rec, await self._choose(rec))
        except (asyncio.CancelledError, ConnectionResetError) as gone:
            if not self._closing:
                rec.left = time.monotonic()
            if isinstance(gone, ConnectionResetError):
                return web.Response()  # nobody reads it
            raise
        finally:
            rec.over.set()

    async def _choose(self, rec: Recorded) -> Http | Raw:
        ready = self.front(rec)
        if ready is not None:
            return ready
        if callable(self.script):
            made = self.script(rec)
            reply = await made if isinstance(made, Awaitable) else made
        elif self.script:
            reply = self.script[min(self._used, len(self.script) - 1)]
            self._used += 1
        else:
            return Http(500, f"no script for {rec.method} {rec.path}")
        return reply if isinstance(reply, Http | Raw) else self.render(reply, rec)

    async def _answer(self, request: web.Request, rec: Recorded, reply: Http | Raw) -> web.StreamResponse:
        if isinstance(reply, Http):
            return _whole(reply)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        for op in reply.ops:
            match op:
                case ("sleep", seconds):
                    await asyncio.sleep(seconds)
                case ("silence",):
                    rec.silent.set()
                    await asyncio.sleep(LONGEST_SILENCE)
                case ("abort",):
                    if request.transport is not None:
                        request.transport.abort()
                    return response
                case ("headers",):
                    await response.prepare(request)
                case ("raw", data):
                    await response.prepare(request)
                    await response.write(data)
                    rec.sent += data
        await response.prepare(request)
        await response.write_eof()
        return response


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _whole(reply: Http) -> web.Response:
    if isinstance(reply.body, dict | list):
        return web.json_response(reply.body, status=reply.status, headers=reply.headers)
    body = reply.body if isinstance(reply.body, bytes) else str(reply.body).encode()
    return web.Response(body=body, status=reply.status, headers={"content-type": "text/plain", **reply.headers})


def pieces(text: str, size: int) -> list[str]:
    """Cut a text as a model's deltas would, at any character."""
    return [text[i : i + size] for i in range(0, len(text), size)]
