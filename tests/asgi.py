"""An ASGI server that sends what it is told and keeps what it gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]


class Exchange:
    """One request to an application, and its answer as it is sent.

    `gone` makes every send fail, as servers do once the client's connection is closed.
    """

    def __init__(self, body: bytes = b"", path: str = "/v1/messages", headers: dict[str, str] | None = None) -> None:
        everything = {"host": "localhost", **(headers or {})}
        named = [(name.lower().encode(), value.encode()) for name, value in everything.items()]
        self.scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": named,
            "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "scheme": "http",
            "server": ("127.0.0.1", 4000),
        }  # fmt: skip
        self.sent: list[Message] = []
        self.gone = False
        self._changed = asyncio.Event()
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._coming.put_nowait({"type": "http.request", "body": body, "more_body": False})

    def disconnect(self) -> None:
        """The client closes its connection."""
        self._coming.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        return await self._coming.get()

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)  # as servers do when their buffer is full
        if self.gone:
            raise OSError("the client is gone")
        self.sent.append(message)
        self._changed.set()

    async def until(self, said: Callable[[Exchange], object]) -> None:
        """Wait until this holds of what was sent."""
        while not said(self):
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)

    def run(self, app: Callable[..., Awaitable[None]]) -> asyncio.Task[None]:
        """Start the application on this request."""
        return asyncio.ensure_future(_awaited(app(self.scope, self.receive, self.send)))

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def whole(self) -> bool:
        """Whether the answer has a head, only then a body, and an end, once."""
        kinds = [message["type"] for message in self.sent]
        more = [message.get("more_body", False) for message in self.sent[1:]]
        begun = kinds == ["http.response.start", *["http.response.body"] * len(more)]
        return begun and bool(more) and all(more[:-1]) and not more[-1]


async def _awaited(answer: Awaitable[None]) -> None:
    await answer
