"""`POST [/{provider}:{model}]/v1/messages/count_tokens`: the upstream's own count where it has one, else an estimate.

Claude Code asks for two dozen counts at once. So an upstream gets only a few at a time and a short while for them, and
one that fails is left alone for some time; the estimate needs nobody.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import orjson

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.gateway import Exchange
from claude_code_proxy.http.access import Record
from claude_code_proxy.http.admission import Admission
from claude_code_proxy.http.asgi import merged, of_json, send_whole
from claude_code_proxy.http.edge import answered
from claude_code_proxy.http.guard import admit
from claude_code_proxy.http.head import head_of
from claude_code_proxy.http.stream import while_connected
from claude_code_proxy.kinds import kind_of
from claude_code_proxy.routing import route
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.json_text import MOST, fields
from claude_code_proxy.wire.scan import holds

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.gateway import Known
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

WITHIN: Final = 2.0
"""Seconds that an upstream has for a count, waiting for its turn among them."""

LONGEST: Final = 1.5
"""Seconds after which one that was asked has failed."""

AT_ONCE: Final = 4
"""Counts that an upstream is asked for at the same time."""

REST: Final = 60.0
"""Seconds for which an upstream is not asked for counts after it did not give one."""

_PDF: Final = b"application/pdf"

_ASKED_WRONG: Final = frozenset({400, 413, 422})
"""Refusals of the one request, which say nothing about the next."""


class CountTokens:
    """The endpoint. `pinned` is what the URL names before it: `provider:model`, or empty.

    `clock` gives seconds that only grow.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        known: Known,
        metrics: Metrics | None = None,
        admission: Admission | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._settings, self._pool, self._known, self._clock = settings, pool, known, clock
        self._admission = admission or Admission(settings)
        self._turns: dict[str, asyncio.Semaphore] = {}  # by provider
        self._resting: dict[str, float] = {}  # providers by name, and until when

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        record = Record(scope, self._metrics, "count_tokens")
        await answered(self._answer(scope, receive, send, pinned, record), send, record)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, pinned: str, record: Record) -> None:
        headers = admit(of_json(record.headers), self._settings)
        async with self._admission.admitted(scope, receive) as held:
            head = record.head = await head_of(held.body)
            kind = "" if pinned else kind_of(head, headers, self._settings.tables.kinds)
            target = route(pinned, head.model, self._settings, kind)
            record.target = str(target)
            estimate = count(head)  # which finds what is wrong with the request
            query = scope["query_string"].decode("latin-1")
            exchange = Exchange(head, target, record.request_id, client_headers=headers, query=query)

            async def tell() -> None:
                tokens = await self._told(exchange) or self._known.calibration.factor(str(target)).of(estimate)
                record.status = 200
                await send_whole(send, 200, orjson.dumps({"input_tokens": tokens}), merged((), (), record.request_id))

            await while_connected(receive, tell())

    async def _told(self, exchange: Exchange) -> int:
        """The upstream's own count; 0 if it has none to give."""
        provider = exchange.target.provider
        if not provider.counts_tokens or self._clock() < self._resting.get(provider.name, 0.0):
            return 0
        turns = self._turns.setdefault(provider.name, asyncio.Semaphore(AT_ONCE))
        try:
            async with asyncio.timeout(WITHIN), turns:
                status, tokens = await self._ask(provider, exchange)
        except TimeoutError:  # so many are asked for at once
            return 0
        except ApiError as cause:
            status, tokens = cause.failed.status, None
        if isinstance(tokens, int) and 0 < tokens < MOST:
            return tokens
        if status not in _ASKED_WRONG:
            self._resting[provider.name] = self._clock() + REST
        return 0

    async def _ask(self, provider: Provider, exchange: Exchange) -> tuple[int, object]:
        """The status of the upstream's answer, and the count in it. Raises `ApiError` where there is no answer."""
        provider.check()
        count = DIALECTS[provider.dialect].count
        if count is None:
            return 0, None
        call = exchange.call(self._settings, exchange.target.model)
        # Reading a PDF takes long.
        counting = await asyncio.to_thread(count, call) if holds(call.head.raw, _PDF) else count(call)
        url, body = counting.outgoing.url, counting.outgoing.body
        key = await self._pool.credentials.headers(provider, "POST", url, body, exchange.client_headers)
        headers = {**dict(counting.outgoing.headers), **provider.headers, **key}
        status, told = await self._pool.ask(url, body, headers, within=LONGEST)
        try:
            return status, fields(orjson.loads(told)).get(counting.answer) if status == 200 else None
        except orjson.JSONDecodeError:
            return status, None
