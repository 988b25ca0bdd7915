"""`claude-code-proxy models`: what the providers that are set up have, with context windows."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from claude_code_proxy.cli.ending import CommandError, loaded
from claude_code_proxy.cli.paint import painted, printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from claude_code_proxy.catalogue import Heard, Model
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings


def command(arguments: Namespace) -> int:
    """Print the list; 1 if there is nothing to print."""
    settings = loaded()
    providers = _chosen(arguments.provider, settings)
    lists = asyncio.run(_asked(providers, settings))
    text = arguments.search.lower()
    found = [model for heard in lists for model in heard.models if text in f"{model.provider}:{model.name}".lower()]
    for provider, heard in zip(providers, lists, strict=True):
        if heard.fault and (arguments.provider or provider.api_key):  # a server that nobody started is no news
            sys.stderr.write(f"{provider.name}: {printable(heard.fault)}\n")
    if arguments.json:
        sys.stdout.write(json.dumps([_record(model) for model in found], indent=2) + "\n")
    else:
        sys.stdout.write("".join(_lines(found)))
    if not found:
        sys.stderr.write(_why_nothing(arguments, providers))
    return 0 if found else 1


def _chosen(name: str, settings: Settings) -> list[Provider]:
    """The providers to ask: the one of this name, or each that is set up. Raises `CommandError`."""
    from claude_code_proxy.catalogue import usable
    from claude_code_proxy.providers import find_provider
    from claude_code_proxy.wire.failure import ApiError

    if not name:
        return [row for row in settings.providers.values() if usable(row)]
    if not (provider := find_provider(settings.providers, name)):
        raise CommandError(f"There is no provider {name!r}, but {', '.join(settings.providers)}.")
    if provider.unlisted:
        raise CommandError(f"{provider.name} does not list its models: name one, as in {provider.name}:MODEL.")
    try:
        provider.credentials()
    except ApiError as cause:
        raise CommandError(str(cause)) from None
    return [provider]


async def _asked(providers: Sequence[Provider], settings: Settings) -> list[Heard]:
    from claude_code_proxy.catalogue import ask
    from claude_code_proxy.upstream import Pool

    pool = Pool(settings)
    try:
        return await asyncio.gather(*(ask(provider, settings, pool, {}) for provider in providers))
    finally:
        await pool.close()


def _record(model: Model) -> dict[str, object]:
    from msgspec.structs import asdict

    return {"model": f"{model.provider}:{model.name}", **asdict(model)}


def _lines(models: Sequence[Model]) -> list[str]:
    rows = [
        (
            f"{model.provider}:{printable(model.name)}",
            f"{model.context:,}" if model.context else "?",
            f"{model.max_output:,}" if model.max_output else "?",
        )
        for model in models
    ]
    if not rows:
        return []
    rows.insert(0, ("MODEL", "WINDOW", "OUTPUT"))
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{name:<{wide[0]}}  {window:>{wide[1]}}  {output:>{wide[2]}}" for name, window, output in rows]
    return [painted(lines[0], "faint", sys.stdout) + "\n", *(f"{line}\n" for line in lines[1:])]


def _why_nothing(arguments: Namespace, providers: Sequence[Provider]) -> str:
    if arguments.search:
        return f"No model's name holds {arguments.search!r}. Without --search all are listed.\n"
    asked = ", ".join(provider.name for provider in providers) or "no provider"
    return f"No models were found; asked: {asked}. `claude-code-proxy doctor` says what is set up.\n"
