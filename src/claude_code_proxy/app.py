"""The composition root: settings, pool, endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from claude_code_proxy import log
from claude_code_proxy.calibration import Calibration
from claude_code_proxy.catalogue import Catalogue
from claude_code_proxy.dashboard.endpoint import Dashboard
from claude_code_proxy.gateway import Known, preparations
from claude_code_proxy.health import Health
from claude_code_proxy.http.admission import Admission
from claude_code_proxy.http.count_tokens import CountTokens
from claude_code_proxy.http.deadlines import extend
from claude_code_proxy.http.descriptors import allow_connections
from claude_code_proxy.http.drain import Drain
from claude_code_proxy.http.guard import open_at, warn_if_open
from claude_code_proxy.http.messages import Messages
from claude_code_proxy.http.models import Models
from claude_code_proxy.http.pages import ROUTES, refused
from claude_code_proxy.http.passage import Passage
from claude_code_proxy.http.status import METRICS, STATUS, Status, breaker_states, ledger_rows
from claude_code_proxy.http.surface import COUNT_TOKENS, DASHBOARD, MESSAGES, MODELS, Surface
from claude_code_proxy.http.watchdog import watched
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.memory import settle
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.reload import following
from claude_code_proxy.settings import SettingsError, load_settings
from claude_code_proxy.telemetry import exporting
from claude_code_proxy.upstream import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from claude_code_proxy.http.surface import Endpoint
    from claude_code_proxy.settings import Settings


def create_app(source: Settings | Callable[[], Settings] = load_settings) -> Surface:
    """The application. `source` are its settings, or what loads them: then they follow their files.

    Settings that cannot be used end the program with what is wrong, as it has not started yet.
    """
    settings = _loaded(source)
    log.to_stderr()
    warn_if_open(settings, sys.argv)
    admission = Admission(settings)
    pool = Pool(settings)
    prepared, calibration, health = preparations(pool), Calibration(), Health()
    metrics = _counted(settings)
    metrics.add_source(lambda: breaker_states(health))
    dashboard = Dashboard(lambda: surface.settings, metrics, health, lambda: drain.begun)

    def endpoints(settings: Settings, catalogue: Catalogue) -> dict[str, Endpoint]:
        known = Known(prepared, catalogue.limits, calibration, health)
        status = Status(settings, metrics, calibration, health)
        return {
            MESSAGES: Messages(settings, pool, known, metrics, admission),
            COUNT_TOKENS: CountTokens(settings, pool, known, metrics, admission),
            MODELS: Models(settings, catalogue, metrics),
            STATUS: status,
            METRICS: status,
            DASHBOARD: dashboard,
        }

    catalogue = Catalogue(settings, pool)

    async def use(settings: Settings) -> None:
        """Let new requests be served by these settings; those that run end with the ones they began with."""
        nonlocal catalogue
        before, catalogue = catalogue, Catalogue(settings, pool)
        pool.use(settings)
        extend(settings)
        admission.use(settings)
        surface.use(settings, endpoints(settings, catalogue), Passage(settings, pool, metrics, admission))
        await before.settled()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        extend(surface.settings)
        async with _written(metrics.ledger), exporting(surface.settings.otel, metrics):
            settle()
            allow_connections(settings.max_streams)
            async with _followed(source, use):
                with drain.on_signals(lambda: surface.settings.drain_timeout), watched():
                    app.state.ready = True
                    yield
                app.state.ready = False
            await catalogue.close()
            await pool.close()

    handlers = {HTTPException: refused, Exception: refused}
    pages = Starlette(routes=ROUTES, lifespan=lifespan, exception_handlers=handlers)
    pages.state.ready, pages.state.ledger = False, metrics.ledger
    drain = Drain(lambda: setattr(pages.state, "ready", False))
    passage = Passage(settings, pool, metrics, admission)
    surface = Surface(settings, endpoints(settings, catalogue), passage, pages, metrics, drain=drain, here=pool.here)
    return surface


def _followed(
    source: Settings | Callable[[], Settings], use: Callable[[Settings], Awaitable[None]]
) -> contextlib.AbstractAsyncContextManager[None]:
    """Settings that were loaded follow their files until the block ends."""
    return following(source, use) if callable(source) else contextlib.nullcontext()


def _counted(settings: Settings) -> Metrics:
    """The metrics, with the ledger that is wanted."""
    if not settings.proxy_ledger:
        return Metrics()
    days, capture_days = settings.proxy_ledger_days, settings.proxy_capture_days
    ledger = Ledger(settings.proxy_ledger, days=days, capture_days=capture_days)
    metrics = Metrics(ledger=ledger)
    metrics.add_source(lambda: ledger_rows(ledger))
    return metrics


@contextlib.asynccontextmanager
async def _written(ledger: Ledger | None) -> AsyncGenerator[None]:
    """The ledger is written until the block ends, and then what is left."""
    if ledger:
        await asyncio.to_thread(ledger.start)
    try:
        yield
    finally:
        if ledger:
            await asyncio.to_thread(ledger.close)


def _loaded(source: Settings | Callable[[], Settings]) -> Settings:
    try:
        return source() if callable(source) else source
    except SettingsError as cause:
        raise SystemExit(f"claude-code-proxy: {cause}") from None


def bind_fault(host: str, settings: Settings) -> str:
    """Why the proxy must not listen on `host`, and the remedy; empty if it may."""
    return open_at(host, settings)
