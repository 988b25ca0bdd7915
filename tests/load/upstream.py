"""A fake of OpenAI's chat completions that is fast enough for thousands of paced streams: a process of its own.

The name of the model says what is wanted: `paced-N-MS` is a stream of N pieces, one every MS milliseconds (0: all at
once), `whole-MS` an answer after so long, `refused-CODE` an error, `cut-N` a stream that breaks off after N pieces.
Each piece is a number that counts up, and the time at which it was written in microseconds of the machine's clock.
`GET /counts` tells how many requests there were.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import partial
from typing import Final, cast

import httptools
import uvloop

IDLE: Final = 2.0
"""Seconds after which a connection that nobody uses is closed."""

_MODEL: Final = re.compile(rb'"model":\s*"([a-z]+)(?:-(\d+))?(?:-(\d+))?"')
_DELTA: Final = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"m","choices":'
    '[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
)
_END: Final = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"m","choices":'
    '[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763000000,"model":"m","choices":[],'
    '"usage":{"prompt_tokens":1000,"completion_tokens":10,"total_tokens":1010}}\n\ndata: [DONE]\n\n'
)
_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

counts = {"requests": 0}


def piece(number: int) -> str:
    """What is said, by number."""
    return f"{number}@{time.monotonic_ns() // 1000};"


def chunk(text: str) -> bytes:
    """A piece of a body of unknown length."""
    return b"%x\r\n%b\r\n" % (len(text), text.encode())


def whole(text: str) -> bytes:
    """An answer that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    return answer(
        200,
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1763000000,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        },
    )


def answer(status: int, told: object) -> bytes:
    """An answer in JSON."""
    body = json.dumps(told).encode()
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


class Serving(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = cast("asyncio.Transport", transport)
        self._rest()

    def connection_lost(self, _: Exception | None) -> None:
        self._stop()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self._stop()
        body, self._body = bytes(self._body), bytearray()
        if self._url == b"/counts":
            self._out.write(answer(200, counts))
            return self._rest()
        counts["requests"] += 1
        found = _MODEL.search(body)
        kind, first, second = found.groups() if found else (b"", None, None)
        number, every = int(first or 0), int(second or 0) / 1000
        if kind == b"whole":
            self._timer = self._loop.call_later(number / 1000, self._say_all)
        elif kind in {b"paced", b"cut"}:
            self._out.write(_STREAM)
            self._due = self._loop.time()
            self._say(0, number, every, cut=kind == b"cut")
        else:
            self._out.write(answer(number or 404, {"error": {"message": "no", "type": "x", "code": "x"}}))
            self._rest()
        return None

    def _say_all(self) -> None:
        self._out.write(whole(piece(0)))
        self._rest()

    def _say(self, number: int, end: int, every: float, *, cut: bool) -> None:
        while number < end and not self._out.is_closing():
            self._out.write(chunk(_DELTA % piece(number)))
            number += 1
            if every:
                self._due += every
                self._timer = self._loop.call_at(self._due, partial(self._say, number, end, every, cut=cut))
                return
            if self._out.get_write_buffer_size() > 1 << 20:
                self._timer = self._loop.call_later(0.001, partial(self._say, number, end, every, cut=cut))
                return
        if cut:
            self._out.close()
        else:
            self._out.write(chunk(_END) + b"0\r\n\r\n")
            self._rest()

    def _rest(self) -> None:
        self._timer = self._loop.call_later(IDLE, self._out.close)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()


async def main() -> None:
    """Tell the port, and serve until the input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Serving, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
