"""`POST [/{provider}:{model}]/v1/messages`: the endpoint that everything is about."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.gateway import Exchange, serve
from claude_code_proxy.http.access import Record
from claude_code_proxy.http.admission import Admission
from claude_code_proxy.http.advice import WindowAdvice
from claude_code_proxy.http.asgi import merged, of_json, send_failure, send_whole
from claude_code_proxy.http.captures import Captures
from claude_code_proxy.http.edge import answered
from claude_code_proxy.http.guard import admit
from claude_code_proxy.http.head import head_of
from claude_code_proxy.http.stream import EventStream, while_connected
from claude_code_proxy.kinds import kind_of
from claude_code_proxy.routing import Routes
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from claude_code_proxy.gateway import Known
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool


class Messages:
    """The endpoint. `pinned` is what the URL names before it: `provider:model`, or empty."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        known: Known,
        metrics: Metrics | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._settings, self._pool, self._known, self._metrics = settings, pool, known, metrics
        self._admission = admission or Admission(settings)
        self._routes = Routes(settings)
        self._advice = WindowAdvice()
        self._captures = Captures(settings, metrics.ledger) if settings.proxy_capture and metrics else None
        self._translates = False  # the last request was translated; most likely the next one is, too

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        record = Record(scope, self._metrics, "messages")
        await answered(self._answer(scope, receive, send, pinned, record), send, record)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, pinned: str, record: Record) -> None:
        settings = self._settings
        headers = admit(of_json(record.headers), settings)
        async with self._admission.admitted(scope, receive) as held:
            if self._captures:
                record.capture = self._captures.of(record, held.body)
            head = record.head = await head_of(held.body, whole=self._translates)
            record.prices = settings.prices
            kind = record.kind = "" if pinned else kind_of(head, headers, settings.tables.kinds)
            target = self._routes.to(pinned, head.model, kind)
            record.target = target.name
            self._translates = DIALECTS[target.provider.dialect].translates
            exchange = record.exchange = Exchange(
                head,
                target,
                record.request_id.removeprefix("req_"),
                client_headers=headers,
                query=scope["query_string"].decode("latin-1"),
                capture=record.capture,
            )
            if not head.stream:
                chunks = self._served(exchange)
                await while_connected(receive, self._whole(send, chunks, exchange, record))
                self._known.learn(exchange)
                self._advice.tell(exchange)
                return

            async def let_go() -> None:
                """Keep no body for as long as a model talks."""
                record.answering()
                record.read()
                await self._known.let_go(exchange)
                held.let_go()
                if record.capture:
                    record.capture.begun()

            record.stream = stream = EventStream(
                self._served(exchange, let_go),
                record.request_id,
                exchange.headers,
                ping_after=settings.ping_interval,
                commit_after=settings.commit_after,
            )
            try:
                await stream(receive, send)
            finally:
                record.sent = stream.sent
            record.status, record.failed = stream.status, stream.failed
            self._known.learn(exchange)  # the client has its whole answer
            self._advice.tell(exchange)

    def _served(self, exchange: Exchange, begun: Callable[[], Awaitable[None]] | None = None) -> AsyncGenerator[bytes]:
        chunks = serve(exchange, self._settings, self._pool, self._known, begun)
        return exchange.capture.heard(chunks) if exchange.capture else chunks

    async def _whole(self, send: Send, chunks: AsyncGenerator[bytes], exchange: Exchange, record: Record) -> None:
        try:
            async with contextlib.aclosing(chunks):
                body = b"".join([data async for data in chunks])
        except ApiError as cause:
            record.status, record.failed = cause.failed.status, cause.failed
            await send_failure(send, cause.failed, record.request_id, exchange.headers)
            return
        record.answering()
        record.status, record.sent = 200, len(body)
        await send_whole(send, 200, body, merged(exchange.headers, (), record.request_id))
