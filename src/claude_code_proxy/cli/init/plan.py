"""What init was told, by a person or by options, and what it makes of it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from msgspec import Struct

from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.tables import TIERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.cli.init.looking import Seen
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings


class Plan(Struct, frozen=True):
    """The provider that is preferred, its models for Claude's names, and keys by the name of their variable."""

    provider: str
    keys: dict[str, str] = {}
    big: str = ""
    small: str = ""
    tiers: dict[str, str] = {}
    shared: bool = False
    seen: tuple[Seen, ...] = ()

    def values(self, settings: Settings) -> dict[str, str]:
        """The lines for the .env. Others get a proxy with a key: the one that is set, or a new one."""
        made = {"PREFERRED_PROVIDER": self.provider, **self.keys}
        made |= {name: value for name, value in (("BIG_MODEL", self.big), ("SMALL_MODEL", self.small)) if value}
        if self.shared:
            made["PROXY_API_KEY"] = settings.proxy_api_key or secrets.token_urlsafe(24)
        return made

    @property
    def tables(self) -> dict[tuple[str, ...], dict[str, str]]:
        """The tables for config.toml."""
        return {("routing", "tiers"): dict(self.tiers)} if self.tiers else {}


def tiers_of(words: Sequence[str]) -> dict[str, str]:
    """The tiers of `--tier NAME=MODEL`. Raises `CommandError`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, model = word.partition("=")
        if not equals or not model or name not in {*TIERS, "default"}:
            raise CommandError(f"--tier {word!r} must be NAME=MODEL with one of {', '.join(TIERS)}, default.", 2)
        found[name] = model
    return found


def provider_of(settings: Settings, name: str) -> Provider:
    """The provider of this name or alias. Raises `CommandError`."""
    from claude_code_proxy.providers import find_provider

    if not (row := find_provider(settings.providers, name.strip())):
        raise CommandError(f"There is no provider {name!r}, but {', '.join(settings.providers)}.", 2)
    return row


def asked_elsewhere(settings: Settings, row: Provider, model: str) -> bool:
    """Whether a model that was named for this provider is another's: `openrouter:qwen/qwen3-coder`, an alias."""
    from msgspec.structs import replace

    from claude_code_proxy.routing import route

    target = route("", model, replace(settings, preferred_provider=row.name))
    return target.provider.name != row.name
