"""init without questions: everything comes from options, for scripts."""

from __future__ import annotations

import difflib
import getpass
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.init.choices import proposed
from claude_code_proxy.cli.init.looking import Held, Seen, along, looked, settings_of
from claude_code_proxy.cli.init.plan import Plan, asked_elsewhere, provider_of, tiers_of

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings


def told(arguments: Namespace, held: Held, folder: Path) -> Plan:
    """The plan. Raises `CommandError` for what is missing, refused or not there."""
    if not arguments.provider:
        raise CommandError("--yes needs --provider NAME: openrouter, openai, gemini, nvidia, ollama, anthropic, …", 2)
    tiers = tiers_of(arguments.tier)
    row = provider_of(settings_of(held, folder), arguments.provider)
    keys = _keys(arguments, held, row)
    settings = settings_of(held, folder, **keys)
    row = settings.providers[row.name]
    seen = () if arguments.no_check else (_checked(settings, held, row),)
    models = seen[0].models if seen else ()
    big, small = ("", "") if row.serves_claude else proposed(row.name, models)
    big = arguments.big or big
    small = arguments.small or (small if small in models or not arguments.big else big)
    if not big and not row.serves_claude:
        raise CommandError(f"Name the model: --big MODEL. {row.name} told none.", 2)
    for model in dict.fromkeys([arguments.big, arguments.small]):
        if model and models and model not in models and not asked_elsewhere(settings, row, model):
            near = difflib.get_close_matches(model, models, 3, 0.4)
            close = f" It has {', '.join(near)}." if near else ""
            raise CommandError(f"{row.name} lists no model {model!r}.{close} --no-check takes it all the same.")
    return Plan(row.name, keys, big, small, tiers, arguments.share, seen)


def _keys(arguments: Namespace, held: Held, row: Provider) -> dict[str, str]:
    """The key to write, by its variable, and what goes with it; no key where one is set already, or none is needed."""
    name = row.api_key_env
    if arguments.key_stdin:
        key = (getpass.getpass(f"{name} (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
        source = "standard input was empty"
    elif arguments.key_from_env:
        key = held.values.get(name, "")
        source = f"{name} is not set"
    else:
        if row.ready or row.auth in {"google", "aws"}:
            return along(row, held)
        source, key = f"set {name} and pass --key-from-env, or pipe it in with --key-stdin", ""
    if not name:
        raise CommandError(f"{row.name} takes no key: leave out --key-from-env and --key-stdin.", 2)
    if not key:
        raise CommandError(f"There is no key for {row.name}: {source}.")
    return {name: key, **along(row, held)}


def _checked(settings: Settings, held: Held, row: Provider) -> Seen:
    """What the provider says. Raises `CommandError` unless it can be used."""
    from claude_code_proxy.wire.failure import ApiError

    try:
        row.check()
    except ApiError as cause:
        raise CommandError(str(cause)) from None
    [one] = looked(settings, held, [row])
    if one.state == "refused":
        raise CommandError(f"{row.name} ({row.host}) refuses the key. Nothing was written.")
    if one.state == "unreachable":
        fix = "--no-check writes all the same." if row.api_key else f"Start {row.name}, or pass --no-check."
        raise CommandError(f"{one.why} Nothing was written. {fix}")
    return replace(one, place=one.place or "standard input") if one.variable else one
