"""A client that makes many requests and looks at every byte of their answers: a process of its own.

It reads a `Plan` as JSON from its input and writes a `Report` to its output.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
import msgspec
import orjson
import uvloop
from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 120.0
"""Seconds that an answer may take."""

_PIECE: Final = re.compile(r"(\d+)@(\d+);")


class Kind(Struct):
    """Requests of one kind.

    `model` says to the upstream what is wanted. `size`: bytes of the prompt. `pieces` must come, in order, `leaves`
    seconds after the request the client leaves (0: never), `breaks`: an error must come.
    """

    model: str
    stream: bool = True
    pieces: int = 1
    size: int = 100
    weight: int = 1
    leaves: float = 0.0
    breaks: bool = False


class Plan(Struct):
    """`total` requests of these kinds, `at_once` of them at a time, the first ones spread over `ramp` seconds.

    `prefix` is what the provider's path has before the model's name; without it the upstream itself is asked.
    `refusable`: 529 is an answer, too.
    """

    port: int
    kinds: list[Kind]
    total: int
    at_once: int
    ramp: float = 0.0
    prefix: str = "openai:"
    refusable: bool = False


class Report(Struct):
    """How many ended how; what was wrong, of the first few; milliseconds to the first piece, and from upstream to here.

    `seconds` is all the time it took.
    """

    ends: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    delay: dict[str, float] = field(default_factory=dict)
    pieces: int = 0
    seconds: float = 0.0


class Asking(asyncio.Protocol):
    """One request on a connection of its own, and its answer."""

    def __init__(self, kind: Kind, sent: bytes, *, chat: bool) -> None:
        self._kind, self._sent, self._chat = kind, sent, chat
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.headers: dict[str, str] = {}
        self.status = self.pieces = 0
        self.first = 0.0
        self.delays: list[int] = []
        self.wrong = self.error = ""
        self._rest, self._body = b"", bytearray()
        self._events: Counter[str] = Counter()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out, self._began = cast("asyncio.Transport", transport), time.perf_counter()
        self._out.write(self._sent)

    def leave(self) -> None:
        """Close the connection without a word."""
        self._out.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as cause:
            self._done(str(cause))

    def connection_lost(self, _: Exception | None) -> None:
        self._done("the connection was closed before the answer ended")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        if self.status != 200 or not self._kind.stream:
            self._body += data
            return
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            self._read(frame)

    def on_message_complete(self) -> None:
        if self.status == 200 and not self._kind.stream:
            told = orjson.loads(self._body)
            self._said(told["choices"][0]["message"]["content"] if self._chat else told["content"][0]["text"])
            self._ended = True
        elif self.status != 200:
            self.error = orjson.loads(self._body)["error"]["type"]
        self._done("")

    def _read(self, frame: bytes) -> None:
        data = frame.partition(b"data: ")[2]
        if self._chat:
            if data == b"[DONE]":
                self._ended = True
            elif choices := orjson.loads(data)["choices"]:
                self._said(choices[0]["delta"].get("content", ""))
            return
        event = orjson.loads(data)
        self._events[event["type"]] += 1
        match event["type"]:
            case "content_block_delta":
                self._said(event["delta"]["text"])
            case "message_stop":
                self._ended = True
            case "error":
                self.error = event["error"]["type"]

    def _said(self, text: str) -> None:
        now, at = time.monotonic_ns() // 1000, 0
        for found in _PIECE.finditer(text):
            if found.start() != at or int(found[1]) != self.pieces:
                self.wrong = f"{text[:80]!r} is not piece {self.pieces}"
            at = found.end()
            self.first = self.first or (time.perf_counter() - self._began) * 1000
            self.delays.append(now - int(found[2]))
            self.pieces += 1
        if at != len(text):
            self.wrong = f"{text[:80]!r} has more in it"

    def _done(self, why: str) -> None:
        if not self.over.done():
            self.wrong = self.wrong or why or self._missed()
            self.over.set_result(None)
        self._out.close()

    def _missed(self) -> str:
        """What is wrong with an answer that is over."""
        kind = self._kind
        if kind.breaks:
            return "" if self.error and not self._ended else "it must break"
        if self.status != 200 or self.error:
            return f"{self.status} {self.error}"
        if self.pieces != kind.pieces or not self._ended:
            return f"{self.pieces} of {kind.pieces} pieces, ended: {self._ended}"
        once = ("message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop")
        if kind.stream and not self._chat and any(self._events[one] != 1 for one in once):
            return f"events: {dict(self._events)}"
        return ""


def request(plan: Plan, kind: Kind) -> bytes:
    """The bytes of a request."""
    words = "the quick brown fox jumps over a lazy dog. "
    prompt = (words * (kind.size // len(words) + 1))[: kind.size]
    body: dict[str, Any] = {"max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}
    body |= {"model": kind.model, "stream": kind.stream}
    raw, path = orjson.dumps(body), f"/{plan.prefix}{kind.model}/v1/messages" if plan.prefix else "/v1/chat/completions"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
    )
    return head.encode() + b"Authorization: Bearer k\r\n\r\n" + raw


async def play(plan: Plan) -> Report:
    """Make all requests of a plan."""
    report, ends = Report(), Counter[str]()
    first: list[float] = []
    delays: list[float] = []
    chance = random.Random(plan.total)
    due = chance.choices(plan.kinds, [kind.weight for kind in plan.kinds], k=plan.total)
    sent = {id(kind): request(plan, kind) for kind in plan.kinds}
    loop, began = asyncio.get_running_loop(), time.perf_counter()

    async def ask(kind: Kind) -> None:
        try:
            _, asking = await loop.create_connection(
                lambda: Asking(kind, sent[id(kind)], chat=not plan.prefix), "127.0.0.1", plan.port
            )
        except OSError as cause:
            ends["wrong"] += 1
            report.wrong.append(str(cause))
            return
        try:
            async with asyncio.timeout(kind.leaves or LONGEST):
                await asking.over
        except TimeoutError:
            asking.leave()
            asking.wrong = asking.wrong or ("" if kind.leaves else "it took too long")
            ends["left" if kind.leaves else "wrong"] += 1
        else:
            refused = plan.refusable and asking.status == 529 and "retry-after" in asking.headers
            asking.wrong = "" if refused else asking.wrong
            ends["wrong" if asking.wrong else str(asking.status)] += 1
        if asking.wrong:
            report.wrong.append(f"{kind.model}: {asking.wrong}")
        report.pieces += asking.pieces
        if asking.first:
            first.append(asking.first)
        delays.extend(delay / 1000 for delay in asking.delays)

    async def go_on(number: int) -> None:
        await asyncio.sleep(plan.ramp * number / plan.at_once)
        while due:
            await ask(due.pop())

    await asyncio.gather(*(go_on(number) for number in range(plan.at_once)))
    report.ends, report.wrong, report.seconds = dict(ends), report.wrong[:5], time.perf_counter() - began
    report.first, report.delay = shares(first), shares(delays)
    return report


def shares(values: Sequence[float]) -> dict[str, float]:
    """The median, and what one in a hundred exceeds."""
    ranked = sorted(values)
    return {name: round(ranked[int(len(ranked) * part)], 2) for name, part in (("p50", 0.5), ("p99", 0.99)) if ranked}


if __name__ == "__main__":
    told = uvloop.run(play(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    print(msgspec.json.encode(told).decode())
