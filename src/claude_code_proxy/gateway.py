"""The one coroutine that joins the parts: a request in, the bytes of its reply out."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from claude_code_proxy import policy
from claude_code_proxy.calibration import Calibration
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Call, Local, Outgoing, told
from claude_code_proxy.dialects.errors import as_sent
from claude_code_proxy.ollama import Derived
from claude_code_proxy.tables import Limits
from claude_code_proxy.web_search import searched
from claude_code_proxy.windows import LOUD, SILENT, limits_of, too_long
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping

    from claude_code_proxy.dialects.base import Answer, Dialect
    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.failure import Failed
    from claude_code_proxy.wire.head import Head
    from claude_code_proxy.wire.machine import Machine

_PDF: Final = b"application/pdf"

_log = logging.getLogger(__name__)

PREPARATIONS: Final = {"ollama": Derived}
"""What may have to be done at a provider before a model is asked, by what providers.toml calls it."""


def preparations(pool: Pool) -> Mapping[str, Derived]:
    """Each of them, with what it remembers of the models it has seen."""
    return {name: preparation(pool) for name, preparation in PREPARATIONS.items()}


def _nothing_told(_: Provider, __: str) -> Limits:
    return Limits()


class Known(Struct, frozen=True):
    """What is known of models and learned on the way.

    `prepared` are the preparations of this pool, `told` gives what a provider's list said of a model.
    """

    prepared: Mapping[str, Derived]
    told: Callable[[Provider, str], Limits] = _nothing_told
    calibration: Calibration = field(default_factory=Calibration)

    def limits(self, target: Target, settings: Settings) -> Limits:
        """The limits of a target, once it was prepared. Nobody is asked."""
        provider, model = target.provider, target.model
        preparation = self.prepared.get(provider.prepare)
        held = preparation.window(provider, model, settings) if preparation else None
        return limits_of(provider, model, settings, self.told(provider, model), held=held)

    def learn(self, exchange: Exchange) -> None:
        """Learn from what the upstream counted, when the reply of an exchange has ended well."""
        if exchange.asked and exchange.watch.stop:
            usage, context = exchange.watch.usage, exchange.limits.context
            self.calibration.learn(str(exchange.target), exchange.head, usage, context)


class Exchange:
    """One request and what becomes of it.

    The first part is given; `headers` (of the upstream, for the client) and `watch` fill while it is served, and then
    `limits` are the target's and `asked` says that its upstream was sent the request.
    `client_headers` have names in lower case. `seed` is unique to the exchange.
    """

    __slots__ = ("asked", "client_headers", "head", "headers", "limits", "query", "seed", "target", "watch")

    def __init__(
        self,
        head: Head,
        target: Target,
        seed: str,
        *,
        client_headers: Mapping[str, str],
        query: str,
    ) -> None:
        self.head, self.seed = head, seed
        self.client_headers, self.query = client_headers, query
        self.headers: list[tuple[bytes, bytes]] = []
        self.turn_to(target)

    def turn_to(self, target: Target) -> None:
        """Ask this target, as if none had been asked before."""
        self.target, self.watch, self.limits, self.asked = target, Watch(), Limits(), False
        self.headers.clear()

    def call(self, settings: Settings, model: str) -> Call:
        """The request as its dialect sees it. `model` is the one that is asked, perhaps in place of the target's."""
        provider = self.target.provider
        own = settings.models.get(str(self.target), Limits()).max_output
        return Call(
            head=self.head,
            model=provider.full_name(model),
            shown=self.target.model if model != self.target.model else "",
            seed=self.seed,
            base_url=provider.root,
            quirks=provider.quirks,
            body=provider.body_for(model),
            max_output_tokens=min(settings.max_output_tokens or own, own or settings.max_output_tokens),
            max_output=self.limits.max_output,
            headers=self.client_headers,
            query=self.query,
            search_engine=bool(settings.web_search),
        )


def serve(
    exchange: Exchange,
    settings: Settings,
    pool: Pool,
    known: Known,
) -> AsyncGenerator[bytes]:
    """The reply, as it comes, in the form the client asked for.

    Nothing is yielded before the upstream has said something, so whatever goes wrong until then is an
    `ApiError` and can still be an HTTP error, unless another target does better. A stream that breaks off later
    ends in `event: error`. Closing the generator closes the connection to the upstream.
    """
    asked = _in_turn if exchange.target.fallbacks else _asked
    return asked(exchange, settings, pool, known)


async def _in_turn(
    exchange: Exchange,
    settings: Settings,
    pool: Pool,
    known: Known,
) -> AsyncGenerator[bytes]:
    """The reply of the first target that gives one."""
    failures: list[tuple[Failed, list[tuple[bytes, bytes]]]] = []
    for target in (exchange.target, *exchange.target.fallbacks):
        exchange.turn_to(target)
        begun = False
        try:
            async with aclosing(_asked(exchange, settings, pool, known)) as chunks:
                async for data in chunks:
                    begun = True
                    yield data
        except ApiError as cause:
            if begun or not policy.falls_back(cause.failed):
                raise
            failures.append((cause.failed, list(exchange.headers)))
            _log.warning("%s failed: %d %s", target, cause.failed.status, cause.failed.type)
        else:
            return
    told = policy.told([failure for failure, _ in failures])
    exchange.headers[:] = next(headers for failure, headers in failures if failure is told)
    raise ApiError(told)


async def _asked(
    exchange: Exchange,
    settings: Settings,
    pool: Pool,
    known: Known,
) -> AsyncGenerator[bytes]:
    """The reply of the exchange's target."""
    provider, watch = exchange.target.provider, exchange.watch
    dialect = DIALECTS[provider.dialect]
    provider.check()
    model, preparation = exchange.target.model, known.prepared.get(provider.prepare)
    if preparation:
        model = await preparation.model(provider, model, settings)
    limits = exchange.limits = known.limits(exchange.target, settings)
    if not provider.serves_claude:
        factor = known.calibration.factor(str(exchange.target))
        if refusal := too_long(exchange.head, limits.context, factor, SILENT if preparation else LOUD):
            raise ApiError(refusal)
    call = exchange.call(settings, model)
    outgoing = await _translated(dialect, call)
    if not isinstance(outgoing, Outgoing):
        events = outgoing.events if isinstance(outgoing, Local) else await searched(outgoing, settings, pool)
        yield b"".join(_run(told(call, watch), events))
        return
    key = await pool.credentials.headers(provider, "POST", outgoing.url, outgoing.body, exchange.client_headers)
    headers = {**dict(outgoing.headers), **provider.headers, **key}
    async with pool.post(outgoing.url, outgoing.body, headers) as upstream:
        answer, exchange.asked = upstream.answer, True
        exchange.headers += _handed_on(answer, dialect)
        if not 200 <= answer.status < 300:
            if preparation and answer.status == 404:
                preparation.forget(provider, exchange.target.model)
            raise ApiError(dialect.failure(call, answer, await upstream.error_body()))
        machine = dialect.reply(call, outgoing, answer, watch)
        try:
            async for chunk in upstream.chunks(lambda: watch.ending):
                if data := b"".join(machine.feed(chunk)):
                    yield data
                if watch.over:
                    break
        except ApiError as cut:
            watch.cut = cut.failed
        rest = b"".join(machine.close())
        if watch.failed and not watch.started:
            raise ApiError(watch.failed)
        if rest:
            yield rest
        await upstream.finish()


async def _translated(dialect: Dialect, call: Call) -> Outgoing | Local | Search:
    """The request for the upstream. Reading a PDF takes long, so that is done beside the event loop."""
    if _PDF in call.head.raw:
        return await asyncio.to_thread(dialect.request, call)
    return dialect.request(call)


def _run(machine: Machine[Event, bytes], events: Iterable[Event]) -> Iterator[bytes]:
    for event in events:
        yield from machine.feed(event)
    yield from machine.close()


def _handed_on(answer: Answer, dialect: Dialect) -> Iterator[tuple[bytes, bytes]]:
    """The headers of the answer that its dialect hands to the client; `name-*` stands for a prefix."""
    for name, value in answer.headers.items():
        if name in dialect.reply_headers or f"{name.partition('-')[0]}-*" in dialect.reply_headers:
            yield as_sent(name), as_sent(value)
