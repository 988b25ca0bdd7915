"""The wizard: a few questions in a terminal, each with an answer that Enter takes."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Final

from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.init.choices import Choice, choices, proposed
from claude_code_proxy.cli.init.looking import Held, Seen, along, looked, settings_of
from claude_code_proxy.cli.init.plan import Plan, asked_elsewhere, provider_of
from claude_code_proxy.cli.paint import painted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

_SHOWN: Final = 12
"""Models that a search shows."""

_STYLES: Final = {"running": "good", "accepted": "good", "refused": "bad", "unreachable": "note", "not checked": "note"}


def asked(held: Held, folder: Path) -> Plan:
    """Look, show what is there, and ask for the rest."""
    from claude_code_proxy.catalogue import usable

    settings = settings_of(held, folder)
    say("Looking for keys and for servers on this machine ...")
    rows = [row for row in settings.providers.values() if usable(row) or (row.unlisted and row.ready and row.api_key)]
    every = looked(settings, held, rows)
    seen = [one for one in every if one.variable or one.state == "running"]
    tell(seen)
    one, keys = _chosen(held, folder, settings, seen)
    keys |= _kept(settings, seen, one, held)
    settings = settings_of(held, folder, **keys)
    big, small = _models(settings, settings.providers[one.provider], one.models)
    shared = yes("Shall other machines use this proxy?", default=False)
    return Plan(one.provider, keys, big, small, shared=shared, seen=tuple(seen))


def tell(seen: Sequence[Seen]) -> None:
    """Show what was found, a line each."""
    if not seen:
        say("  No key was found, and no server runs on this machine.")
    wide = max((len(one.provider) for one in seen), default=0)
    for one in seen:
        source = f"{one.variable} ({one.place or 'config.toml'})" if one.variable else one.host
        more = f", {len(one.models)} models" if one.models else ""
        why = f": {one.why}" if one.why and one.state != "running" else ""
        if one.state == "not checked" and one.models:
            why = ": its list needs no key, so the first request will tell"
        state = painted(f"{one.state:<11}", _STYLES[one.state], sys.stdout)
        say(f"  {state}  {one.provider:<{wide}}  {source}{more}{why}")


def say(text: str) -> None:
    """A line for the person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def yes(question: str, *, default: bool) -> bool:
    """The answer to a question of yes or no."""
    while True:
        answer = input(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
        if not answer:
            return default
        if answer in {"y", "yes", "n", "no"}:
            return answer.startswith("y")


def _chosen(held: Held, folder: Path, settings: Settings, seen: Sequence[Seen]) -> tuple[Seen, dict[str, str]]:
    """The preferred provider, and its key if that was typed."""
    usable = [one for one in seen if one.usable]
    say("")
    for number, one in enumerate(usable, 1):
        say(f"  {number}  {one.provider}  {one.host}")
    first = next((one.provider for one in usable if one.provider == settings.preferred_provider), "")
    default = first or (usable[0].provider if usable else "")
    others = (
        "a number or a name" if usable else "openrouter, openai, gemini, nvidia, anthropic, … docs/providers.md has all"
    )
    while True:
        answer = input(f"Which provider ({others})?{f' [{default}]' if default else ''} ").strip() or default
        if answer.isdecimal() and 0 < int(answer) <= len(usable):
            return usable[int(answer) - 1], {}
        if not answer:
            continue
        try:
            row = provider_of(settings, answer)
        except CommandError as cause:
            say(str(cause))
            continue
        if found := next((one for one in usable if one.provider == row.name), None):
            return found, {}
        if new := _new(held, folder, row):
            return new


def _new(held: Held, folder: Path, row: Provider) -> tuple[Seen, dict[str, str]] | None:
    """A provider that is not set up yet, with the key that is typed; None if it cannot be used."""
    if not row.base_url or not row.api_key_env or row.auth in {"google", "aws"}:
        missing = " and ".join(row.wants) or row.base_url_env
        fix = f"Start it, then run this again: {row.host} does not answer." if row.base_url else f"Set {missing} first."
        say(f"{row.name} takes more than a key: docs/providers/{row.name}.md tells. {fix}")
        return None
    page = choices().get(row.name, Choice()).key
    say(f"Keys are made at {page}" if page else f"docs/providers/{row.name}.md tells where its keys come from.")
    while key := getpass.getpass(f"{row.api_key_env} (not shown, Enter = another provider): ").strip():
        settings = settings_of(held, folder, **{row.api_key_env: key})
        say(f"Asking {row.host} ...")
        [one] = looked(settings, held, [settings.providers[row.name]])
        tell([one])
        if one.usable or (one.state == "unreachable" and yes("Take it unchecked?", default=False)):
            return one, {row.api_key_env: key}
    return None


def _kept(settings: Settings, seen: Sequence[Seen], chosen: Seen, held: Held) -> dict[str, str]:
    """The keys of this terminal that are to be there in others, too, each with the address that it is for."""
    found = [one for one in seen if one.usable and one.variable in held.fleeting]
    keys = {one.variable: held.values[one.variable] for one in found}
    if keys and not yes(f"Keep {', '.join(keys)} in the .env, for other terminals?", default=True):
        found, keys = [], {}
    for one in {chosen.provider: chosen, **{one.provider: one for one in found}}.values():
        keys |= along(settings.providers[one.provider], held)
    return keys


def _models(settings: Settings, row: Provider, models: Sequence[str]) -> tuple[str, str]:
    """The models for BIG_MODEL and SMALL_MODEL; none where Claude answers by itself."""
    if row.serves_claude:
        return "", ""
    big, small = proposed(row.name, models)
    big = _model(settings, row, models, "Model in place of opus and sonnet", big)
    if not models or small not in models:
        small = big
    return big, _model(settings, row, models, "Model in place of haiku, for small errands", small)


def _model(settings: Settings, row: Provider, models: Sequence[str], question: str, default: str) -> str:
    more = ", or a part of its name" if len(models) > 1 else ""
    while True:
        answer = input(f"{question}{more}{f' [{default}]' if default else ''}: ").strip() or default
        if not answer:
            continue
        if not models or answer in models or asked_elsewhere(settings, row, answer):
            return answer
        found = [name for name in models if answer.lower() in name.lower()]
        if len(found) == 1:
            return found[0]
        if not found and yes(f"{row.name} lists no {answer!r}. Take it all the same?", default=False):
            return answer
        for name in found[:_SHOWN]:
            say(f"  {name}")
        if len(found) > _SHOWN:
            say(f"  … and {len(found) - _SHOWN} more")
