"""The row that the ledger keeps of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_code_proxy.dialects.session import SESSION
from claude_code_proxy.http.asgi import CLIENT_GONE
from claude_code_proxy.kinds import AGENT
from claude_code_proxy.ledger.entry import Entry, lines
from claude_code_proxy.prices import cost

if TYPE_CHECKING:
    from claude_code_proxy.http.access import Record
    from claude_code_proxy.wire.failure import Failed

_SHED: Final = 529


def row_of(record: Record, since: float) -> Entry:
    """What is kept of a request that came at this time, as far as it is known by now."""
    entry = Entry(
        id=record.request_id,
        began=since,
        endpoint=record.endpoint,
        client=record.headers.get("user-agent", ""),
        session=record.headers.get(SESSION, ""),
        agent=record.headers.get(AGENT, ""),
        project=record.project,
        client_model=record.head.model if record.head else record.model.strip("-"),
        kind=record.kind,
        stream=int(bool(record.head and record.head.stream)),
        received=record.received,
        sent=record.stream.sent if record.stream else record.sent,
        first=record.first,
        status=record.status,
    )
    failure = record.failed
    if exchange := record.exchange:
        watch, target = exchange.watch, exchange.target
        failure = failure or watch.failed
        usage = watch.usage
        entry.provider, entry.model, entry.rule = target.provider.name, target.model, target.rule
        entry.attempts, entry.tried = len(exchange.tried), lines(exchange.tried)
        entry.stop = watch.stop.reason if watch.stop else ""
        entry.input, entry.output, entry.thinking = usage.input, usage.output, usage.thinking
        entry.cache_read, entry.cache_write = usage.cache_read, usage.cache_write
        if record.seconds is not None and exchange.asked:
            spent = cost(target.provider, target.model, usage, since, record.prices)
            entry.cost, entry.priced = spent.usd, spent.source
    else:
        entry.provider = record.target.partition(":")[0].strip("-")
    if record.seconds is not None:
        entry.seconds = record.seconds
        entry.error = failure.type if failure else ""
        entry.state = _state(record, failure)
    return entry


def _state(record: Record, failure: Failed | None) -> str:
    if record.status == CLIENT_GONE:
        return "client_closed"
    if not failure:
        return "ok" if 200 <= record.status < 300 else "upstream_error"
    if failure.type == "timeout_error":
        return "timeout"
    if record.exchange and record.exchange.tried:
        return "upstream_error"
    return "shed" if failure.status == _SHED else "refused"
