"""One log line a request, and what is counted of it: who asked for what, where it went, what came of it.

Never a prompt, never a key.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from claude_code_proxy.dialects.session import SESSION
from claude_code_proxy.http.asgi import every_header
from claude_code_proxy.http.request_id import new_request_id
from claude_code_proxy.http.row import row_of
from claude_code_proxy.metrics import Metrics, Outcome
from claude_code_proxy.tables import Limits
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import envelope, error_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.gateway import Exchange
    from claude_code_proxy.http.asgi import Scope
    from claude_code_proxy.http.stream import EventStream
    from claude_code_proxy.ledger.capture import Capture
    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.tables import Price
    from claude_code_proxy.wire.failure import Failed
    from claude_code_proxy.wire.head import Head

_LINE: Final = "%s %s → %s %d %.2fs %s%s"

_log = logging.getLogger("claude_code_proxy.access")


class Record:
    """What is told of one request when it is over; filled in while it is served.

    `endpoint` is its name among the metrics; `prices` are the user's own.
    """

    __slots__ = (
        *("_counted", "_headers", "_metrics", "_place", "_scope", "_since", "_started"),
        *("capture", "endpoint", "exchange", "failed", "first", "head", "kind", "model", "prices", "project"),
        *("received", "request_id", "seconds", "sent", "status", "stream", "target"),
    )

    def __init__(self, scope: Scope, metrics: Metrics | None = None, endpoint: str = "other") -> None:
        self._started, self._since, self._scope = time.monotonic(), time.time(), scope
        self._metrics, self.endpoint = metrics or Metrics(), endpoint
        self.request_id, self._place = new_request_id(), f"{scope['method']} {scope['path']}"
        self.model = self.target = "-"
        self.kind = self.project = ""
        self.status = self.received = self.sent = 0
        self.prices: Mapping[str, Price] = {}
        self.first: float | None = None
        self.seconds: float | None = None
        self.failed: Failed | None = None
        self.head: Head | None = None
        self.exchange: Exchange | None = None
        self.stream: EventStream | None = None
        self.capture: Capture | None = None
        self._counted: str | None = None
        self._headers: dict[str, str] | None = None
        self._metrics.began(endpoint)
        if ledger := self._metrics.ledger:
            ledger.began(self.request_id, self.row)

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        if self._headers is None:
            self._headers = every_header(self._scope)
        return self._headers

    @property
    def since(self) -> float:
        """When it came, in seconds since 1970."""
        return self._since

    def row(self) -> Entry:
        """What the ledger keeps of it, as far as it is known by now."""
        return row_of(self, self._since)

    def answering(self) -> None:
        """The first bytes of the answer are here."""
        if self.first is None:
            self.first = time.monotonic() - self._started

    def read(self) -> None:
        """Take what is told of the request itself, while its body is here."""
        if self._counted is None:
            counts = [f"{name}={self.head.many(name)} " for name in ("messages", "tools")] if self.head else []
            self._counted = "".join(counts)
            self._metrics.drift.request(self.headers, self.head)
            if self.head and (ledger := self._metrics.ledger):
                self.received = len(self.head.raw)
                self.project = ledger.projects.of(self.headers.get(SESSION, ""), self.head.raw)

    def write(self) -> None:
        """Write the line, and count the request."""
        self.read()
        seconds = self.seconds = time.monotonic() - self._started
        if _log.isEnabledFor(logging.INFO):
            self._tell(seconds)
        row = self.row()
        self._metrics.ended(self._ended(row))
        if ledger := self._metrics.ledger:
            ledger.ended(row)
        if self.capture:
            self.capture.ended(self.status, self._last_words())

    def _tell(self, seconds: float) -> None:
        """Write the line. Where in the code that is, is not looked for: each line comes from here."""
        words = (
            printable(self._place),
            printable(self.head.model if self.head else self.model),
            printable(self.exchange.target.name if self.exchange else self.target),
            self.status,
            seconds,
            self._outcome(),
            self.request_id,
        )
        extra = {"request": self._told(seconds)}
        _log.handle(_log.makeRecord(_log.name, logging.INFO, __file__, 0, _LINE, words, None, "write", extra))

    def _last_words(self) -> bytes:
        """What the client was told of a failure that came up in the proxy itself."""
        if not self.failed:
            return b""
        begun = 200 <= self.status < 300
        return error_event(self.failed) if begun else envelope(self.failed, self.request_id)

    def _ended(self, row: Entry) -> Outcome:
        """The row, with what is only told at the moment."""
        exchange = self.exchange
        watch = exchange.watch if exchange else None
        return Outcome(
            *(row.endpoint, row.provider, row.model, row.status, row.error),
            usage=watch.usage if watch else Usage(),
            unknown=watch.kinds if watch else (),
            limits=exchange.limits if exchange else Limits(),
            seconds=self.seconds or 0.0,
            first=row.first,
            cost=row.cost,
            request_id=row.id,
            session=row.session,
            client_model=row.client_model,
            routed=self.target.strip("-"),
            tried=tuple(exchange.tried) if exchange else (),
            stop=row.stop,
            stream=bool(row.stream),
            began=row.began,
            trace=self.headers.get("traceparent", ""),
            base_url=exchange.target.provider.base_url if exchange else "",
        )

    def _told(self, seconds: float) -> dict[str, object]:
        """The same for programs."""
        told = {
            "id": self.request_id,
            "place": self._place,
            "model": self.head.model if self.head else self.model,
            "target": self.exchange.target.name if self.exchange else self.target,
            "status": self.status,
            "seconds": round(seconds, 3),
        }
        if self.exchange:
            usage = self.exchange.watch.usage
            told |= {"input_tokens": usage.input, "output_tokens": usage.output, "cached_tokens": usage.cache_read}
        return told

    def _outcome(self) -> str:
        return (self._counted or "") + self._said()

    def _said(self) -> str:
        if self.exchange is None:
            return ""
        watch = self.exchange.watch
        usage = watch.usage
        words = [
            f"{name}={count}"
            for name, count in (("in", usage.input), ("out", usage.output), ("cached", usage.cache_read))
            if count is not None
        ]
        words += [f"stop={watch.stop.reason}"] if watch.stop else []
        words += [f"error={watch.failed.type}"] if watch.failed else []
        words += [f"tried=[{printable(', '.join(self.exchange.tried))}]"] if len(self.exchange.tried) > 1 else []
        return "".join(f"{word} " for word in words)


def printable(text: str) -> str:
    """A client's text without anything that could forge a second line or colour a terminal."""
    text = text[:200]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
