"""An upstream on raw TCP that reads requests properly and answers them with whatever a script says.

A request names its case in the model that it asks for (`case-7`), so many can run at once. Each attempt at a case
takes the next of its scripts; the last repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from .ops import Act, Drip, Flood, Wait

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from .ops import Op, Script

_CASE = re.compile(rb"\bcase-(\d+)\b")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
LONGEST_STALL = 8.0


@dataclass
class Attempt:
    """One request that arrived. `left`: the peer closed the connection before the script had ended it."""

    case: int
    connection: int
    head: bytes
    body: bytes
    over: bool = False
    left: bool = False


@dataclass
class FaultUpstream:
    """The server, on several ports: plain, with each of the given certificates, and a canary that must stay alone."""

    scripts: dict[int, Sequence[Script]] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    _connections: int = 0
    _servers: list[asyncio.Server] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: socket.socket | None = None

    async def __aenter__(self) -> Self:
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        self.ports["refused"] = self._closed.getsockname()[1]
        for name in ("plain", "mute", "canary"):
            await self.listen(name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._closed:
            self._closed.close()

    async def listen(self, name: str, context: ssl.SSLContext | None = None) -> None:
        """Open a port of this name."""
        self.accepted[name] = 0

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self.accepted[name] += 1
            self._connections += 1
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError, asyncio.LimitOverrunError):
                if name == "mute":
                    await reader.read()
                else:
                    await self._connection(self._connections, reader, writer)
            writer.transport.abort()

        server = await asyncio.start_server(
            accept, "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=5 if context else None
        )
        self._servers.append(server)
        self.ports[name] = server.sockets[0].getsockname()[1]

    def of(self, case: int) -> list[Attempt]:
        """The requests of this case."""
        return [attempt for attempt in self.attempts if attempt.case == case]

    @property
    def busy(self) -> list[Attempt]:
        """The attempts whose script still runs."""
        return [attempt for attempt in self.attempts if not attempt.over]

    async def _connection(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            first = await reader.readexactly(1)
            if first == b"\x16":  # TLS, on a port that does not speak it
                writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                return
            first += await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(first)
            body = await reader.readexactly(int(length[1]) if length else 0)
            found = _CASE.search(first) or _CASE.search(body)
            attempt = Attempt(int(found[1]) if found else 0, number, first, body)
            scripts = self.scripts.get(attempt.case, ((b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n",),))
            self.attempts.append(attempt)
            script = scripts[min(len(self.of(attempt.case)), len(scripts)) - 1]
            try:
                if not await self._play(script, reader, writer):
                    return
            except OSError:
                attempt.left = True
                raise
            finally:
                attempt.over = True

    async def _play(self, script: Sequence[Op], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do what the script says; whether the connection lives on."""
        for op in script:
            match op:
                case bytes():
                    await _write(writer, op.replace(b"{canary}", b"%d" % self.ports["canary"]))
                case Drip(data, size, pause):
                    for at in range(0, len(data), size):
                        await _write(writer, data[at : at + size])
                        await asyncio.sleep(pause)
                case Flood(data, times, pause):
                    for _ in range(times):
                        await _write(writer, data)
                        if pause:
                            await asyncio.sleep(pause)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Act.RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return False
                case Act.CLOSE:
                    writer.close()
                    return False
                case Act.STALL | Act.HALF:
                    if op is Act.HALF and writer.can_write_eof():
                        writer.write_eof()
                    async with asyncio.timeout(LONGEST_STALL):
                        await reader.read()
                    return False
                case Act.KEEP:
                    pass
        return True


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    if writer.transport.is_closing():
        raise ConnectionResetError
