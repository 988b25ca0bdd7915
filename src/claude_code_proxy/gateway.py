"""The one coroutine that joins the parts: a request in, the bytes of its reply out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from claude_code_proxy.attempts import Wish, first_reply
from claude_code_proxy.calibration import Calibration
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Call, Local, Outgoing, told
from claude_code_proxy.dialects.errors import as_sent
from claude_code_proxy.dialects.session import SESSION
from claude_code_proxy.health import Health
from claude_code_proxy.ledger import masking
from claude_code_proxy.ollama import Derived
from claude_code_proxy.tables import Limits
from claude_code_proxy.upstream import STREAM, WHOLE, Ends
from claude_code_proxy.web_search import searched
from claude_code_proxy.windows import LOUD, SILENT, limits_of, too_long
from claude_code_proxy.wire.counting import at_most, count
from claude_code_proxy.wire.failure import ApiError, failed
from claude_code_proxy.wire.head import LARGE
from claude_code_proxy.wire.machine import Pipe
from claude_code_proxy.wire.scan import holds
from claude_code_proxy.wire.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from claude_code_proxy.attempts import Attempt
    from claude_code_proxy.dialects.base import Answer, Dialect
    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.ledger.capture import Capture
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool, Upstream
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.failure import Failed
    from claude_code_proxy.wire.head import Head
    from claude_code_proxy.wire.machine import Machine

_PDF: Final = b"application/pdf"
_REPEATED: Final = "x-stainless-retry-count"

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
    health: Health = field(default_factory=Health)

    def limits(self, target: Target, settings: Settings) -> Limits:
        """The limits of a target, once it was prepared. Nobody is asked."""
        provider, model = target.provider, target.model
        preparation = self.prepared.get(provider.prepare)
        held = preparation.window(provider, model, settings) if preparation else None
        return limits_of(provider, model, settings, self.told(provider, model), held=held)

    async def let_go(self, exchange: Exchange) -> None:
        """Keep of the client's body, whose reply has begun, an estimate of its tokens.

        It is a good one where it will be wanted: for a sample, or as the upstream is not known to count or may not come
        to it. Else it is made of the size alone, which costs nothing.
        """
        head, target = exchange.head, exchange.target.name
        exchange.sampled = self.calibration.samples(target, head)
        counts = self.calibration.counts(target) and "stop_sequences" not in head.names
        if exchange.sampled or not counts:
            with suppress(ApiError):  # the upstream knew what to do with it
                head.let_go(await asyncio.to_thread(count, head) if len(head.raw) > LARGE else count(head))
                return
        head.let_go(round(at_most(head)))

    def learn(self, exchange: Exchange) -> None:
        """Learn from what the upstream counted, when the reply of an exchange has ended well."""
        target, head = exchange.target.name, exchange.head
        if head.raw:
            exchange.sampled = self.calibration.samples(target, head)
        if exchange.sampled and exchange.asked and exchange.watch.stop:
            self.calibration.learn(target, head, exchange.watch.usage, exchange.limits.context)


class Exchange:
    """One request and what becomes of it.

    The first part is given; `headers` (of the upstream, for the client) and `watch` fill while it is served, and then
    `limits` are the target's and `asked` says that its upstream was sent the request. `tried` lists all attempts.
    `client_headers` have names in lower case. `seed` is unique to the exchange. `sampled`: the calibration is to learn
    from it. `capture` is told what is said, where that is kept.
    """

    __slots__ = (
        *(
            "asked",
            "capture",
            "client_headers",
            "head",
            "headers",
            "limits",
            "query",
            "sampled",
            "seed",
            "target",
            "tried",
        ),
        "watch",
    )

    def __init__(
        self,
        head: Head,
        target: Target,
        seed: str,
        *,
        client_headers: Mapping[str, str],
        query: str,
        capture: Capture | None = None,
    ) -> None:
        self.head, self.seed, self.capture = head, seed, capture
        self.client_headers, self.query = client_headers, query
        self.headers: list[tuple[bytes, bytes]] = []
        self.tried: list[str] = []
        self.sampled = False
        self.turn_to(target)

    def turn_to(self, target: Target) -> None:
        """Ask this target, as if none had been asked before."""
        self.target, self.watch, self.limits, self.asked = target, Watch(), Limits(), False
        self.headers.clear()

    def call(self, settings: Settings, model: str) -> Call:
        """The request as its dialect sees it. `model` is the one that is asked, perhaps in place of the target's."""
        provider = self.target.provider
        own = settings.models.get(self.target.name, Limits()).max_output
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


async def serve(
    exchange: Exchange,
    settings: Settings,
    pool: Pool,
    known: Known,
    begun: Callable[[], Awaitable[None]] | None = None,
) -> AsyncGenerator[bytes]:
    """The reply, as it comes, in the form the client asked for.

    `begun` is called when its first bytes have been taken: nobody else is asked from then on.

    Nothing is yielded before the upstream has said something, so whatever goes wrong until then is an
    `ApiError` and can still be an HTTP error, unless another attempt does better. A stream that breaks off later
    ends in `event: error`. Closing the generator closes the connection to the upstream.
    """

    async def ask(attempt: Attempt) -> Reply:
        exchange.turn_to(attempt.target)
        return await _begun(exchange, attempt, settings, pool, known)

    reply = await first_reply(_wish(exchange, settings), known.health, ask)
    try:
        if data := reply.first:
            yield data
            if begun:
                await begun()
            while data := await reply.more():
                yield data
        await reply.finish()
    finally:
        reply.close()


def _wish(exchange: Exchange, settings: Settings) -> Wish:
    """How the exchange is to be served. A whole answer has one time limit, whoever gives it."""
    target, client, clock = exchange.target, exchange.client_headers, asyncio.get_running_loop().time
    end = clock() + settings.answer_timeout
    return Wish(
        (target, *target.fallbacks),
        (lambda one: settings.patience(one.provider)) if exchange.head.stream else (lambda _: end - clock()),
        client.get(SESSION, ""),
        client.get(_REPEATED, "0") != "0",
        settings.upstream_retries,
        exchange.tried,
    )


class Reply:
    """A reply that has begun: its `first` bytes, and where more of them come from; nowhere, where that is all."""

    __slots__ = ("_capture", "_machine", "_over", "_upstream", "_watch", "first")

    def __init__(
        self,
        watch: Watch,
        machine: Machine[bytes, bytes],
        upstream: Upstream | None,
        capture: Capture | None = None,
    ) -> None:
        self._watch, self._machine, self._upstream, self._capture = watch, machine, upstream, capture
        self._over = upstream is None
        self.first = b""

    async def more(self) -> bytes:
        """What follows; nothing at the end."""
        watch, upstream = self._watch, self._upstream
        while upstream and not self._over:
            try:
                if not watch.over and (chunk := await upstream.read(hurry=watch.ending)):
                    if self._capture is not None:
                        self._capture.took(chunk)
                    if data := b"".join(self._machine.feed(chunk)):
                        return data
                    continue
            except ApiError as cut:
                watch.cut = cut.failed
                _broke(self._capture, cut.failed)
            self._over = True
            return b"".join(self._machine.close())
        return b""

    async def finish(self) -> None:
        """Let the connection serve again, if nothing more is to be read."""
        if self._upstream:
            await self._upstream.finish()

    def close(self) -> None:
        """Close the connection, unless it was read to its end."""
        if self._upstream:
            self._upstream.close()


async def _begun(exchange: Exchange, attempt: Attempt, settings: Settings, pool: Pool, known: Known) -> Reply:
    """The reply to one attempt, with its first bytes. Raises `ApiError` when there are none."""
    provider, watch = exchange.target.provider, exchange.watch
    dialect = DIALECTS[provider.dialect]
    provider.check()
    model, preparation = exchange.target.model, known.prepared.get(provider.prepare)
    if preparation:
        model = await preparation.model(provider, model, settings)
    limits = exchange.limits = known.limits(exchange.target, settings)
    if not provider.serves_claude:
        factor = known.calibration.factor(exchange.target.name)
        if refusal := too_long(exchange.head, limits.context, factor, SILENT if preparation else LOUD):
            raise ApiError(refusal)
    call = exchange.call(settings, model)
    outgoing = await _translated(dialect, call)
    if not isinstance(outgoing, Outgoing):
        events = outgoing.events if isinstance(outgoing, Local) else await searched(outgoing, settings, pool)
        return _said(told(call, watch), events, watch)
    key = await pool.credentials.headers(
        provider, "POST", outgoing.url, outgoing.body, exchange.client_headers, own=attempt.key.value
    )
    headers = {**dict(outgoing.headers), **provider.headers, **key}
    attempt.sent = True
    capture = exchange.capture
    if capture:
        capture.asks(how_to_read(call, provider, outgoing.url), headers, key, outgoing.body)
    try:
        upstream = await pool.send(outgoing.url, outgoing.body, headers, by=attempt.by)
    except ApiError as cause:
        _broke(capture, cause.failed)
        raise
    with upstream:
        answer, exchange.asked = upstream.answer, True
        if capture:
            capture.answered(answer.status, answer.headers)
        passed = _handed_on(answer, dialect)
        if not 200 <= answer.status < 300:
            if preparation and answer.status == 404:
                preparation.forget(provider, exchange.target.model)
            raise ApiError(_with(passed, await _refusal(dialect, call, upstream, capture)))
        upstream.limit(_ends(call, attempt, settings), lambda: watch.started)
        reply = Reply(watch, dialect.reply(call, outgoing, answer, watch), upstream, capture)
        reply.first = await reply.more()
        if watch.failed and not watch.started:
            raise ApiError(_with(passed, watch.failed))
    exchange.headers += passed
    return reply


def _ends(call: Call, attempt: Attempt, settings: Settings) -> Ends:
    """When an answer must have said something, when it must have ended, and how large it may be."""
    if not call.head.stream:
        return Ends(attempt.by, attempt.by, WHOLE)
    now = asyncio.get_running_loop().time()
    return Ends(max(now + settings.answer_timeout, attempt.by), now + settings.stream_timeout, STREAM)


async def _refusal(dialect: Dialect, call: Call, upstream: Upstream, capture: Capture | None) -> Failed:
    """What an answer means that is no success. Where a redirect leads is not followed, nor told."""
    answer = upstream.answer
    if 300 <= answer.status < 400:
        host = urlsplit(call.base_url).netloc
        message = f"{host} redirects elsewhere, which is not followed. Is the provider's base URL right?"
        return replace(failed("api_error", message, status=502), lasting=True)
    body = await upstream.error_body()
    if capture:
        capture.took(body)
    return dialect.failure(call, answer, body)


def how_to_read(call: Call, provider: Provider, url: str) -> dict[str, object]:
    """How a call is made, and all that its answer is read with: `replayed` makes the same call of it."""
    said = ("model", "shown", "seed", "base_url", "quirks", "body", "max_output_tokens", "max_output", "search_engine")
    return {
        "method": "POST",
        "url": masking.address(url),
        "provider": provider.name,
        "dialect": provider.dialect,
        "call": {
            **{name: getattr(call, name) for name in said},
            "headers": masking.told(call.headers),
            "query": masking.query(call.query),
        },
    }


def _broke(capture: Capture | None, failure: Failed) -> None:
    if capture:
        capture.broke(failure.type, failure.message, failure.status)


def _with(headers: tuple[tuple[bytes, bytes], ...], failure: Failed) -> Failed:
    """The failure with headers of the upstream's answer before its own."""
    return replace(failure, headers=(*headers, *failure.headers)) if headers else failure


async def _translated(dialect: Dialect, call: Call) -> Outgoing | Local | Search:
    """The request for the upstream. What takes long, as reading a PDF does, is done beside the event loop."""
    if len(call.head.raw) > LARGE or holds(call.head.raw, _PDF):
        return await asyncio.to_thread(dialect.request, call)
    return dialect.request(call)


def _said(machine: Machine[Event, bytes], events: Iterable[Event], watch: Watch) -> Reply:
    """A reply that needs no upstream."""
    reply = Reply(watch, Pipe(), None)
    reply.first = b"".join([data for event in events for data in machine.feed(event)] + [*machine.close()])
    return reply


def _handed_on(answer: Answer, dialect: Dialect) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of the answer that its dialect hands to the client."""
    wanted = dialect.reply_headers
    return tuple([(as_sent(name), as_sent(value)) for name, value in answer.headers.items() if _wants(wanted, name)])


@lru_cache(256)
def _wants(wanted: frozenset[str], name: str) -> bool:
    """Whether a header is among those that are wanted; `name-*` stands for a prefix."""
    return name in wanted or f"{name.partition('-')[0]}-*" in wanted
