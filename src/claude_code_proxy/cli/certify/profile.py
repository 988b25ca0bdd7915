"""The quirk profile that was found: settings with it in force, and the tables to paste into config.toml."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from claude_code_proxy.providers import find_provider
from claude_code_proxy.settings import load_settings, tables_of_config, values
from claude_code_proxy.tables import Limits, read_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.routing import Target
    from claude_code_proxy.settings import Settings

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class Profile(Struct, frozen=True):
    """What a target needs beside what is known of it. `quirks` are only those that change."""

    provider: str
    model: str
    dialect: str
    quirks: dict[str, Any] = {}
    limits: Limits = Limits()

    def __bool__(self) -> bool:
        return bool(self.quirks) or self.limits != Limits()


def toml(profile: Profile, target: Target, settings: Settings) -> str:
    """The tables to paste. Every quirk that the row has stays in it, because the table takes its place."""
    lines: list[str] = []
    if profile.quirks:
        row = settings.providers[profile.provider]
        chosen = values().get(f"{profile.provider.upper().replace('-', '_')}_DIALECT")
        if chosen or row.dialect != profile.dialect:  # or the quirks would be another dialect's
            lines += [f"[providers.{_key(profile.provider)}]", f"dialect = {_value(profile.dialect)}", ""]
        quirks = {**target.provider.quirks, **profile.quirks}
        lines += [f"[providers.{_key(profile.provider)}.quirks]"]
        lines += [f"{_key(name)} = {_value(value)}" for name, value in quirks.items()]
    if profile.limits != Limits():
        lines += [*([""] if lines else []), f"[models.{_value(f'{profile.provider}:{profile.model}')}]"]
        told = msgspec.to_builtins(profile.limits)
        lines += [f"{name} = {value}" for name, value in told.items() if value]
    return "\n".join(lines) + "\n" if lines else ""


def loaded_with(text: str, extra: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings of this process with these tables pasted into config.toml.

    `extra` are provider tables beside those of config.toml. Raises `SettingsError`, or `TablesError` for limits.
    """
    pasted = tomllib.loads(text)
    own = {**_own("providers"), **extra}
    rows = {name: {**own.get(name, {}), **table} for name, table in pasted.get("providers", {}).items()}
    settings = load_settings(providers={**extra, **rows})
    known = settings.providers
    limits = read_limits(pasted.get("models", {}), lambda name: getattr(find_provider(known, name), "name", ""))
    return replace(settings, models={**settings.models, **limits})


def clash(text: str) -> str:
    """What config.toml holds already of these tables, which are to take its place; empty if nothing."""
    pasted = tomllib.loads(text)
    for name, table in pasted.get("providers", {}).items():
        own = _own("providers").get(name, {})
        if "quirks" in own and "quirks" in table:
            return f"[providers.{name}.quirks]"
        if own and "dialect" in table:
            return f"`dialect` in [providers.{name}]"
    both = pasted.get("models", {}).keys() & _own("models").keys()
    return f'[models."{both.pop()}"]' if both else ""


def _own(name: str) -> dict[str, Any]:
    """The user's own tables of this name; those of providers by their names in lower case."""
    held = tables_of_config().get(name, {})
    return {key.lower(): table for key, table in held.items()} if name == "providers" else held


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    """A value in TOML, which is as JSON has it but for tables."""
    if isinstance(value, dict):
        held = ", ".join(f"{_value(str(key))} = {_value(one)}" for key, one in value.items())
        return f"{{ {held} }}" if held else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return msgspec.json.encode(value).decode()
