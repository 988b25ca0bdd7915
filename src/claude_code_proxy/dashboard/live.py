"""What runs now, as server-sent events: looked at twice a second for all who watch, sent when it has changed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.dashboard import shown
from claude_code_proxy.dashboard.answers import HEADERS, text
from claude_code_proxy.http.stream import while_connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.dashboard.answers import Answer
    from claude_code_proxy.http.asgi import Receive, Send
    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.metrics import Metrics

EVERY: Final = 0.5
"""Seconds between two looks."""

LONGEST: Final = 600.0
"""Seconds of a stream; then the page asks again, and has to be let in again."""

_WATCHERS: Final = 32
_MOST: Final = 50
_ENDED: Final = 8
_QUIET: Final = 15.0
_ENDPOINT: Final = "messages"


class Live:
    """The stream, and what it tells at a moment."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._watchers = 0
        self._looked, self._data = float("-inf"), b""

    def told(self) -> dict[str, Any]:
        """What runs and what has just ended, as it is shown."""
        ledger, now = self._metrics.ledger, time.time()
        running = [one for one in ledger.running() if one.endpoint == _ENDPOINT] if ledger else []
        ended = [one for one in reversed(ledger.latest()) if one.endpoint == _ENDPOINT] if ledger else []
        rows = [*reversed(running[-_MOST:]), *ended[:_ENDED]]
        return {
            "running": len(running),
            "rows": [_row(one, now) for one in rows],
            "ledger": _ledger(self._metrics),
        }

    def data(self) -> bytes:
        """The same as JSON, looked at anew only after a while."""
        now = time.monotonic()
        if now - self._looked >= EVERY * 0.9:
            self._looked, self._data = now, orjson.dumps(self.told())
        return self._data

    async def answer(self, receive: Receive, send: Send, stopping: Callable[[], bool]) -> Answer | None:
        """Send the stream until the client goes, the server stops or it is long enough; None, as it is sent."""
        if self._watchers >= _WATCHERS:
            return text("Too many pages watch already.\n", 503)
        self._watchers += 1
        try:
            await while_connected(receive, self._stream(send, stopping))
        finally:
            self._watchers -= 1
        return None

    async def _stream(self, send: Send, stopping: Callable[[], bool]) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *HEADERS.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last, spoke, end = b"", time.monotonic(), time.monotonic() + LONGEST
        while not stopping() and (now := time.monotonic()) < end:
            data = self.data()
            if data != last:
                last, spoke = data, now
                await _say(send, b"data: %b\n\n" % data)
            elif now - spoke >= _QUIET:
                spoke = now
                await _say(send, b": still here\n\n")
            await asyncio.sleep(EVERY)
        await send({"type": "http.response.body", "body": b""})


async def _say(send: Send, words: bytes) -> None:
    await send({"type": "http.response.body", "body": words, "more_body": True})


def _row(one: Entry, now: float) -> dict[str, str]:
    """A request as the page shows it: texts only."""
    lasted = one.seconds if one.seconds is not None else max(0.0, now - one.began)
    return {
        "id": one.id,
        "state": shown.state(one.state),
        "tone": shown.tone(one.state),
        "asked": one.client_model or shown.NONE,
        "target": shown.target(one),
        "time": shown.seconds(lasted) if one.seconds is not None else f"{lasted:.1f} s",
        "first": shown.seconds(one.first),
        "tokens": shown.flow(one),
        "bytes": shown.size(one.sent),
        "project": shown.folder(one.project) if one.project else shown.brief(one.session or shown.NONE, 8),
    }


def _ledger(metrics: Metrics) -> str:
    """How the ledger does, in words."""
    if not metrics.ledger:
        return "The ledger is off."
    told = metrics.ledger.told()
    words = f"{told.written:,} rows written, {told.waiting:,} waiting, {told.lost:,} lost"
    return f"{words}. It cannot be written: {told.failing}" if told.failing else words
