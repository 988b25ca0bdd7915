"""One log line a request, and what is counted of it: who asked for what, where it went, what came of it.

Never a prompt, never a key.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from claude_code_proxy.http.asgi import every_header
from claude_code_proxy.metrics import Metrics, Outcome

if TYPE_CHECKING:
    from claude_code_proxy.gateway import Exchange
    from claude_code_proxy.http.asgi import Scope
    from claude_code_proxy.wire.failure import Failed
    from claude_code_proxy.wire.head import Head

_log = logging.getLogger("claude_code_proxy.access")

_LIST: Final = msgspec.json.Decoder(list[Raw])

SESSION: Final = b"x-claude-code-session-id"

CLIENT_GONE = 499
"""The status that is logged, as is the custom, for a client that did not wait for the answer."""


class Record:
    """What is told of one request when it is over; filled in while it is served.

    `endpoint` is its name among the metrics.
    """

    __slots__ = (
        *("_began", "_endpoint", "_first", "_metrics", "_place", "_scope", "_started"),
        *("_counted", "exchange", "failed", "head", "model", "request_id", "status", "target"),
    )

    def __init__(self, scope: Scope, metrics: Metrics | None = None, endpoint: str = "other") -> None:
        self._began, self._started, self._scope = time.monotonic(), time.time(), scope
        self._first: float | None = None
        self._metrics, self._endpoint = metrics or Metrics(), endpoint
        self._metrics.began(endpoint)
        self.request_id, self._place = f"req_{secrets.token_hex(12)}", f"{scope['method']} {scope['path']}"
        self.model = self.target = "-"
        self.status = 0
        self.failed: Failed | None = None
        self.head: Head | None = None
        self.exchange: Exchange | None = None
        self._counted: str | None = None

    def read(self) -> None:
        """Take what is told of the request itself, while its body is here."""
        if self._counted is None:
            counts = [f"{name}={_many(self.head, name)} " for name in ("messages", "tools")] if self.head else []
            self._counted = "".join(counts)
            self._metrics.drift.request(every_header(self._scope), self.head)

    def answering(self) -> None:
        """Note that the answer begins."""
        self._first = time.monotonic() - self._began

    def write(self) -> None:
        """Write the line, and count the request."""
        self.read()
        seconds = time.monotonic() - self._began
        _log.info(
            "%s %s → %s %d %.2fs %s%s",
            printable(self._place),
            printable(self.head.model if self.head else self.model),
            printable(str(self.exchange.target) if self.exchange else self.target),
            self.status,
            seconds,
            self._outcome(),
            self.request_id,
            extra={"request": self._told(seconds)},
        )
        self._metrics.ended(self._ended(seconds))

    def _ended(self, seconds: float) -> Outcome:
        exchange = self.exchange
        failed = self.failed or (exchange and exchange.watch.failed)
        error = failed.type if failed else ""
        if exchange is None:
            provider = self.target.partition(":")[0].strip("-")
            outcome = Outcome(self._endpoint, provider, "", self.status, error)
        else:
            watch, asked = exchange.watch, exchange.target
            outcome = Outcome(
                *(self._endpoint, asked.provider.name, asked.model, self.status, error),
                *(watch.usage, watch.kinds, exchange.limits),
                tried=tuple(exchange.tried),
                stop=watch.stop.reason if watch.stop else "",
                base_url=asked.provider.base_url,
            )
        head, sent = self.head, dict(self._scope["headers"])
        return replace(
            outcome,
            seconds=seconds,
            first=self._first,
            began=self._started,
            request_id=self.request_id,
            routed=self.target.strip("-"),
            client_model=head.model if head else "",
            stream=bool(head and head.stream),
            session=sent.get(SESSION, b"").decode("latin-1"),
            trace=sent.get(b"traceparent", b"").decode("latin-1"),
        )

    def _told(self, seconds: float) -> dict[str, object]:
        """The same for programs."""
        told = {
            "id": self.request_id,
            "place": self._place,
            "model": self.head.model if self.head else self.model,
            "target": str(self.exchange.target) if self.exchange else self.target,
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


def _many(head: Head, name: str) -> int:
    """How many there are in a field that holds a list."""
    try:
        return len(_LIST.decode(head.fields.get(name, b"[]")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def printable(text: str) -> str:
    """A client's text without anything that could forge a second line or colour a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])
