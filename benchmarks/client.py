"""A client that keeps its connections: a process of its own that reads a `Plan` and writes a `Report`."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Final, cast

import httptools
import msgspec
import uvloop
from msgspec import Struct

_WRITTEN: Final = re.compile(rb"@(\d{16})")
_ENDS: Final = (b"message_stop", b'"stop_reason":"end_turn"', b"[DONE]", b'"finish_reason":"stop"')


class Plan(Struct):
    """`total` requests with the body in this file, `at_once` at a time, the first ones spread over `ramp` seconds."""

    port: int
    path: str
    body: str
    total: int
    at_once: int = 1
    ramp: float = 0.0


class Report(Struct):
    """Milliseconds to the first byte (median), and of a piece from upstream to here (99 of 100 take no longer).

    `wrong`: requests that went wrong. `seconds` for all.
    """

    first: float = 0.0
    delay: float = 0.0
    wrong: int = 0
    seconds: float = 0.0


class Asking(asyncio.Protocol):
    """One connection, and one answer at a time."""

    def __init__(self) -> None:
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.delays: list[float] = []
        self.first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.out = cast("asyncio.Transport", transport)

    def ask(self, request: bytes) -> asyncio.Future[bool]:
        """Send it; what comes tells whether the answer ended as it should."""
        self._parser = httptools.HttpResponseParser(self)
        self.over, self.first, self._last = asyncio.get_running_loop().create_future(), 0.0, b""
        self._began = time.perf_counter()
        self.out.write(request)
        return self.over

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.first = self.first or (time.perf_counter() - self._began) * 1000
        self._last = self._last[-400:] + data
        now = time.monotonic_ns() // 1000
        self.delays += [(now - int(at)) / 1000 for at in _WRITTEN.findall(data) if int(at)]

    def on_message_complete(self) -> None:
        self.over.set_result(self._parser.get_status_code() == 200 and any(one in self._last for one in _ENDS))

    def connection_lost(self, _: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(False)


async def play(plan: Plan) -> Report:
    """Make all requests of a plan."""
    loop, report, left = asyncio.get_running_loop(), Report(), plan.total
    firsts: list[float] = []
    delays: list[float] = []
    body = Path(plan.body).read_bytes()  # noqa: ASYNC240 -- before anything is measured
    lines = (
        *(f"POST {plan.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"),
        *("Content-Type: application/json", "X-Api-Key: sk-bench", "Anthropic-Version: 2023-06-01", "", ""),
    )
    request = "\r\n".join(lines).encode() + body
    began = time.perf_counter()

    async def go_on(number: int) -> None:
        nonlocal left
        await asyncio.sleep(plan.ramp * number / plan.at_once)
        asking: Asking | None = None
        while left > 0:
            left -= 1
            if asking is None or asking.out.is_closing():
                _, asking = await loop.create_connection(Asking, "127.0.0.1", plan.port)
            report.wrong += not await asking.ask(request)
            firsts.append(asking.first)
        if asking:
            delays.extend(asking.delays)
            asking.out.close()

    await asyncio.gather(*(go_on(number) for number in range(plan.at_once)))
    report.seconds = time.perf_counter() - began
    report.first, report.delay = _share(firsts, 0.5), _share(delays, 0.99)
    return report


def _share(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)] if values else 0.0


if __name__ == "__main__":
    told = uvloop.run(play(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    sys.stdout.buffer.write(msgspec.json.encode(told))
