"""Doctor's look at the settings: which files there are, and where each value comes from. No secret is shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from claude_code_proxy.cli.config.secret import is_secret
from claude_code_proxy.cli.doctor.findings import Finding, Section
from claude_code_proxy.cli.paint import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from claude_code_proxy.settings import Settings

_ALWAYS: Final = ("PREFERRED_PROVIDER", "BIG_MODEL", "SMALL_MODEL")
"""Shown with their defaults, too."""

_ADDRESSES: Final = ("_BASE_URL", "_API_BASE", "_PROXY")
_PRIVATE: Final = re.compile(r"(?<=//)[^/]*(?=@)|(?<=\?).*")


def look(settings: Settings | None, fault: str) -> Section:
    """The section. `fault` is why the settings cannot be used, where they cannot."""
    from claude_code_proxy.settings import sources

    files = list(sources())
    values = list(_values(settings))
    findings = [Finding("bad", line, "Change it where it is set, below.") for line in fault.splitlines()]
    findings += [finding for file in files for finding in _file(file)]
    findings += [Finding("ok", f"{name} = {value}  ({place})") for name, value, place in values]
    if settings and (tables := _tables(settings)):
        findings.append(Finding("ok", f"{tables}  (config.toml)"))
    detail: dict[str, object] = {
        "files": [{"path": str(file), "found": file.is_file()} for file in files],
        "values": [{"name": name, "value": value, "from": place} for name, value, place in values],
    }
    return Section("Settings", tuple(findings), detail)


def _file(file: Path) -> Iterator[Finding]:
    if not file.is_file():
        yield Finding("ok", f"{file}: not there")
        return
    if os.name == "posix" and file.name.endswith(".env") and (mode := file.stat().st_mode & 0o077):
        yield Finding("note", f"{file}: others on this machine may use it (mode {mode:03o})", f"chmod 600 {file}")
    else:
        yield Finding("ok", f"{file}: read")


def _values(settings: Settings | None) -> Iterator[tuple[str, str, str]]:
    """Each variable of ours that is set, and some that are not: name, value, where it comes from."""
    from claude_code_proxy.settings import CONFIG_FILE, ENV_FILE, VARIABLES, SettingsError, origins, values

    try:
        held = values()
    except SettingsError:
        held = dict(os.environ)
    places = origins()
    rows = list(settings.providers.values()) if settings else []
    keys = {row.api_key_env for row in rows}
    theirs = {name for row in rows for name in (row.base_url_env, row.api_key_env, _dialect(row.name)) if name}
    for name in dict.fromkeys([*_ALWAYS, *VARIABLES, ENV_FILE, CONFIG_FILE, *sorted(theirs)]):
        if (value := held.get(name, "").strip()) or (name in held and name == ENV_FILE):
            shown = "set" if is_secret(name) or name in keys else _shown(name, value)
            yield name, shown, places.get(name, "?")
        elif name in _ALWAYS and settings:
            yield name, str(getattr(settings, name.lower())), "default"


def _shown(name: str, value: str) -> str:
    """A value for a screen that is pasted elsewhere: no password in an address, and no key in place of one."""
    if name.endswith(_ADDRESSES) and "://" not in value:
        return "set"
    return printable(_PRIVATE.sub("***", value))


def _dialect(provider: str) -> str:
    return f"{provider.upper().replace('-', '_')}_DIALECT"


def _tables(settings: Settings) -> str:
    """What config.toml says, in a few words."""
    tables = settings.tables
    held = {
        "tiers": any(getattr(tables.tiers, name) for name in tables.tiers.__struct_fields__),
        "kinds": any(getattr(tables.kinds, name) for name in tables.kinds.__struct_fields__),
        "aliases": bool(tables.aliases),
        "fallbacks": bool(tables.fallbacks),
        "models": bool(settings.models),
        "prices": bool(settings.prices),
    }
    return ", ".join(
        name if name in {"models", "prices"} else f"routing.{name}" for name, there in held.items() if there
    )
