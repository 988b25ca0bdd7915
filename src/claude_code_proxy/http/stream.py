"""Sends a reply while it comes, keeps its line warm, and stops when the client has gone.

The client's connection is watched in every phase: while the upstream is being reached, while it thinks,
and while it talks. When the client goes, the reply's generator is closed at once, and with it the
connection to the upstream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from claude_code_proxy.http.asgi import ClientGone, merged, send_failure
from claude_code_proxy.http.crash import traced
from claude_code_proxy.http.drain import LAST_WORDS, STOPPING
from claude_code_proxy.wire.failure import INTERNAL, ApiError, Failed, error_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from claude_code_proxy.http.asgi import Message, Receive, Send

    Work = Coroutine[None, None, None]

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'

_BREATHE: Final = 64
"""Chunks after which others get their turn in any case: one that waits for nothing would never see its client leave."""

_SSE: Final = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))

_log = logging.getLogger(__name__)


class EventStream:
    """Sends the chunks of a reply as server-sent events.

    `headers` is read when the first chunk is there. Until then an `ApiError` from the chunks becomes an
    HTTP error; after `commit_after` seconds the answer is begun with a ping anyway, because clients give
    up on a server that sends no headers. A line that is quiet for `ping_after` seconds gets a ping. `sent` counts the
    bytes of the chunks.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        request_id: str,
        headers: list[tuple[bytes, bytes]],
        *,
        ping_after: float,
        commit_after: float,
    ) -> None:
        self._chunks, self._request_id, self._headers = chunks, request_id, headers
        self._ping_after, self._commit_after = ping_after, commit_after
        self._begun = self._over = False
        self._chunks_sent = self._seen = self.sent = 0
        self._waited = 0.0
        self._timer: asyncio.TimerHandle
        self._ping: asyncio.Task[None] | None = None
        self.status = 200
        self.failed: Failed | None = None

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Raises `ClientGone` when the client closed the connection before the reply ended."""
        self._timer = asyncio.get_running_loop().call_later(self._ping_after, self._look, send)
        try:
            await while_connected(receive, self._pump(send))
        except asyncio.CancelledError:  # only a server that stops does that
            if not self._over:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORDS):
                        await self._fail(send, STOPPING)
        finally:
            self._timer.cancel()
            if self._ping:
                self._ping.cancel()

    async def _pump(self, send: Send) -> None:
        async with contextlib.aclosing(self._chunks):
            try:
                async for data in self._chunks:
                    if not self._begun:
                        await self._begin(send)
                    self._chunks_sent += 1
                    self.sent += len(data)
                    await _put(send, {"type": "http.response.body", "body": data, "more_body": True})
                    if not self._chunks_sent % _BREATHE:
                        await asyncio.sleep(0)
            except ApiError as cause:
                return await self._fail(send, cause.failed)
            except ClientGone:
                raise
            except Exception as cause:  # noqa: BLE001 -- the edge: a mistake of ours must not look like an end
                _log.error("request %s failed\n%s", self._request_id, traced(cause))
                return await self._fail(send, INTERNAL)
        if not self._begun:
            await self._begin(send)
        self._over = True
        return await send({"type": "http.response.body", "body": b""})

    async def _begin(self, send: Send) -> None:
        self._begun = True
        headers = merged(self._headers, _SSE, self._request_id)
        await _put(send, {"type": "http.response.start", "status": 200, "headers": headers})

    async def _fail(self, send: Send, failure: Failed) -> None:
        self.failed, self._over = failure, True
        if self._begun:
            await send({"type": "http.response.body", "body": error_event(failure)})
        else:
            self._begun, self.status = True, failure.status
            await send_failure(send, failure, self._request_id, self._headers)

    def _look(self, send: Send) -> None:
        """Have a quiet line warmed, unless what was sent last is not taken yet. A timer: no task for most streams."""
        if self._over:
            return
        self._waited += self._ping_after
        is_quiet, self._seen = self._chunks_sent == self._seen, self._chunks_sent
        is_due = is_quiet if self._begun else self._waited >= self._commit_after
        if is_due and (self._ping is None or self._ping.done()):
            self._ping = asyncio.create_task(self._warm(send))
        self._timer = asyncio.get_running_loop().call_later(self._ping_after, self._look, send)

    async def _warm(self, send: Send) -> None:
        with contextlib.suppress(ClientGone, OSError):  # that the client does not take it is noticed by others
            if not self._begun:
                await self._begin(send)
            if not self._over:
                await send({"type": "http.response.body", "body": PING, "more_body": True})


async def _put(send: Send, message: Message) -> None:
    """Send; a server that cannot has lost the client, which is no mistake of ours."""
    try:
        await send(message)
    except OSError as cause:
        raise ClientGone from cause


async def while_connected(receive: Receive, work: Work) -> None:
    """Run `work` until it ends or the client goes.

    Raises `ClientGone` in the latter case, after `work` was cancelled and has ended.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("must run in a task")
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = task.get_loop().create_task(watch())
    try:
        await work
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise ClientGone from None
    except OSError as cause:
        raise ClientGone from cause
    finally:
        watcher.cancel()
