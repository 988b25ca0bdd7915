"""A fake upstream that costs little: OpenAI's chat completions and Anthropic's messages, in a process of its own.

The model `bench-N-MS` says a stream of N pieces, one every MS milliseconds (0: all at once); without a stream, one
answer. Each piece holds the microseconds of the machine's clock at which it was written.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from functools import cache
from typing import Final, cast

import httptools
import uvloop

_MODEL: Final = re.compile(rb'"bench-(\d+)-(\d+)"')
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
_STREAM: Final = _HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"
_ABOUT: Final = (
    '"id":"chatcmpl-BkQ7f2vYx1mN3pR8sT5uW9zA4cE6g","object":"chat.completion.chunk","created":1763000000,'
    '"model":"m","service_tier":"default","system_fingerprint":"fp_a1b2"'
)
_PIECE: Final = " a few words @%016d"

CHAT: Final = (
    b"",
    f'data: {{{_ABOUT},"choices":[{{"index":0,"delta":{{"content":"{_PIECE}"}},"logprobs":null,"finish_reason":null}}],'
    '"usage":null}\n\n',
    f'data: {{{_ABOUT},"choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}],"usage":null}}\n\n'
    f'data: {{{_ABOUT},"choices":[],"usage":{{"prompt_tokens":%d,"completion_tokens":9,"total_tokens":9}}}}\n\n'
    "data: [DONE]\n\n",
    '{"id":"chatcmpl-1","object":"chat.completion","created":1763000000,"model":"m","choices":[{"index":0,"message":'
    f'{{"role":"assistant","content":"{"word " * 200}"}},"logprobs":null,"finish_reason":"stop"}}],'
    '"usage":{"prompt_tokens":%d,"completion_tokens":200,"total_tokens":200}}',
)
NATIVE: Final = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}'
    b'\n\nevent: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
    b'"text":""}}\n\n',
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":'
    f'"{_PIECE}"}}}}\n\n',
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\nevent: message_delta\ndata: {"type":'
    '"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":%d,'
    '"output_tokens":9}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    '{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"words"}],'
    '"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":%d,"output_tokens":9}}',
)
"""What a stream begins with, a piece of it, its end; a whole answer. The last two tell the prompt's tokens."""


def chunk(data: bytes) -> bytes:
    """A piece of a body of unknown length."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@cache
def burst(piece: str, count: int) -> bytes:
    """Many pieces at once, as they were written at some time."""
    return chunk((piece % 0).encode()) * count


class Serving(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._url, self._body, self._due = b"", bytearray(), 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        body, self._body = self._body, bytearray()
        found = _MODEL.search(body)
        count, pause = map(int, found.groups()) if found else (1, 0)
        begin, piece, end, whole = NATIVE if self._url.endswith(b"/messages") else CHAT
        tokens = len(body) // 4
        if b'"stream":true' not in body:
            answer = (whole % tokens).encode()
            self._out.write(_HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer))
            return
        last = chunk((end % tokens).encode()) + b"0\r\n\r\n"
        if pause:
            self._out.write(_STREAM + chunk(begin))
            self._due = self._loop.time()
            self._say(piece, count, pause / 1000, last)
        else:
            self._out.write(_STREAM + chunk(begin) + burst(piece, count) + last)

    def _say(self, piece: str, left: int, pause: float, last: bytes) -> None:
        if not left:
            self._out.write(last)
            return
        self._out.write(chunk((piece % (time.monotonic_ns() // 1000)).encode()))
        self._due += pause
        self._timer = self._loop.call_at(self._due, self._say, piece, left - 1, pause, last)


async def main() -> None:
    """Tell the port, and serve until the input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Serving, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
