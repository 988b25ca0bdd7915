"""Doctor's look at the providers: are they there, do they take the key, what do they have."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from claude_code_proxy.cli.doctor.findings import Finding, Section
from claude_code_proxy.cli.key_check import key_state
from claude_code_proxy.cli.local_servers import nothing_is_set_up
from claude_code_proxy.cli.paint import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.cli.doctor.live import Tried
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool


class Seen(Struct, frozen=True):
    """What is known of a provider after a look. `key` is accepted, refused, not checked, or none."""

    provider: str
    host: str
    key: str
    fault: str = ""
    milliseconds: int = 0
    models: int = 0
    used: dict[str, int] = {}
    """Its models that Claude's names lead to, with their windows in tokens; 0 is unknown."""

    streaming: bool | None = None
    tools: bool | None = None


def look(settings: Settings, names: Sequence[str], *, offline: bool, live: bool) -> Section:
    """The section on the providers of these names, or on each that is set up."""
    chosen = _chosen(settings, names)
    seen = [_unasked(row, settings) for row in chosen] if offline else asyncio.run(_asked(chosen, settings, live=live))
    wanted = {*names, settings.preferred_provider, *(one.provider for one in seen if one.used)}
    findings = [_finding(one, offline=offline, wanted=one.provider in wanted) for one in seen]
    away = [one for one in seen if one.fault and one.key == "none" and one.provider not in wanted]
    findings = [finding for one, finding in zip(seen, findings, strict=True) if one not in away]
    if away:
        findings.append(Finding("ok", f"not running here: {', '.join(f'{one.provider} ({one.host})' for one in away)}"))
    if not offline and not names and nothing_is_set_up(settings):
        findings.insert(0, Finding("bad", "No provider has a key, and no local server runs.", "claude-code-proxy init"))
    return Section("Providers", tuple(findings), {"providers": [asdict(one) for one in seen]})


def unknown(settings: Settings, names: Sequence[str]) -> list[str]:
    """The names that are no provider's."""
    from claude_code_proxy.providers import find_provider

    return [name for name in names if not find_provider(settings.providers, name)]


def _chosen(settings: Settings, names: Sequence[str]) -> list[Provider]:
    from claude_code_proxy.providers import find_provider

    if names:
        return [row for name in names if (row := find_provider(settings.providers, name))]
    used = set(_used(settings))
    return [row for row in settings.providers.values() if row.ready or row.name in {settings.preferred_provider, *used}]


def _used(settings: Settings) -> dict[str, dict[str, int]]:
    """By provider, the models that Claude's names lead to, and their windows as far as they are known."""
    from claude_code_proxy.routing import route
    from claude_code_proxy.tables import TIERS
    from claude_code_proxy.windows import limits_of

    found: dict[str, dict[str, int]] = {}
    for tier in TIERS:
        first = route("", tier, settings)
        for target in (first, *first.fallbacks):
            if not target.provider.serves_claude:
                limits = limits_of(target.provider, target.model, settings)
                found.setdefault(target.provider.name, {})[target.model] = limits.context
    return found


def _unasked(row: Provider, settings: Settings) -> Seen:
    from claude_code_proxy.wire.failure import ApiError

    try:
        key = "not checked" if row.credentials() else "none"
        fault = ""
    except ApiError as cause:
        key, fault = "missing", str(cause)
    return Seen(row.name, row.host, key, fault, used=_used(settings).get(row.name, {}))


async def _asked(chosen: Sequence[Provider], settings: Settings, *, live: bool) -> list[Seen]:
    from claude_code_proxy.cli.doctor.live import tried
    from claude_code_proxy.upstream import Pool

    pool = Pool(settings)
    try:
        looked = await asyncio.gather(*(_one(row, settings, pool) for row in chosen))
    finally:
        await pool.close()
    if not live:
        return [seen for seen, _ in looked]
    return [_with(seen, one) for (seen, _), one in zip(looked, await tried(settings, looked), strict=True)]


def _with(seen: Seen, tried: Tried | None) -> Seen:
    from msgspec.structs import replace

    if tried is None:
        return seen
    key = "accepted" if tried.answered and seen.key == "not checked" else seen.key
    return replace(seen, key=key, streaming=tried.streaming, tools=tried.tools, fault=seen.fault or tried.fault)


async def _one(row: Provider, settings: Settings, pool: Pool) -> tuple[Seen, str]:
    """What a provider says of itself, and a model of it that could be tried."""
    from msgspec.structs import replace

    from claude_code_proxy.catalogue import ask

    seen = _unasked(row, settings)
    if seen.fault or row.unlisted:
        return seen, next(iter(seen.used), "")
    began = time.monotonic()
    heard = await ask(row, settings, pool, {})
    took = round((time.monotonic() - began) * 1000)
    told = {model.name: model.context for model in heard.models}
    used = {name: told.get(name) or known for name, known in seen.used.items()}
    key = await key_state(row, settings, pool, heard) if seen.key != "none" else "none"
    fault = "" if heard.models else heard.fault or ("The list is empty: no model is there." if row.colon_names else "")
    first = next(iter(used), "") or next(iter(told), "")
    return replace(seen, key=key, fault=fault, milliseconds=took, models=len(told), used=used), first


def _finding(one: Seen, *, offline: bool, wanted: bool) -> Finding:
    words = [f"{one.provider} ({one.host})" if one.host else one.provider]
    if one.fault or one.key == "refused":
        return Finding("bad" if wanted or one.key != "none" else "note", f"{words[0]}: {_why(one)}", _fix(one))
    words.append({"none": "no key needed", "not checked": "key set"}.get(one.key, f"key {one.key}"))
    if one.key == "not checked" and not offline:
        words.append("which its list needs not, so --live tells if it is good")
    words += [f"{one.milliseconds} ms"] if one.milliseconds else []
    words += [f"{one.models} models"] if one.models else []
    words += [f"{printable(name)}: {_tokens(context)}" for name, context in one.used.items()]
    words += [] if one.streaming is None else ["streams" if one.streaming else "does not stream"]
    words += [] if one.tools is None else ["calls tools" if one.tools else "did not call the tool it was told to"]
    return Finding("note" if one.tools is False or one.streaming is False else "ok", ", ".join(words))


def _tokens(context: int) -> str:
    return f"{context:,} tokens" if context else "window unknown"


def _why(one: Seen) -> str:
    return "the key is refused" if one.key == "refused" else printable(one.fault)


def _fix(one: Seen) -> str:
    if one.key == "refused":
        return f"Make a new key where docs/providers/{one.provider}.md says, and set it."
    if one.key == "missing":
        return "Set it in the .env of your config folder, or name another as PREFERRED_PROVIDER."
    if one.key == "none":
        return f"Start {one.provider}, or name another as PREFERRED_PROVIDER."
    return "Check the network, the address and the provider's status page."
