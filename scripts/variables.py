"""Every variable that the proxy reads: where it belongs, its default, and what docs/*.toml say it means."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claude_code_proxy import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

DOCS = Path(__file__).parents[1] / "docs"
_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_PLACE = re.compile(r"\{([A-Z][A-Z0-9_]*(?:\|[A-Z][A-Z0-9_]*)*)\}")
"""A variable within a text, or several of which the first that is set counts."""


class UndocumentedError(Exception):
    """A variable or a provider that docs/*.toml say nothing of, or say it twice; the message says where to add it."""


@dataclass(frozen=True)
class Variable:
    """One variable. `default` and `example` are texts as they stand in a .env file; empty = none."""

    name: str
    meaning: str
    default: str = ""
    example: str = ""
    env_file: bool = True
    read_by: str = ""

    @property
    def line(self) -> str:
        """Its line in a .env file."""
        value = self.default or self.example
        return f"{self.name}={value}" if re.fullmatch(r"\d[\d.]*|true|false", value) else f'{self.name}="{value}"'


@dataclass(frozen=True)
class Group:
    """Variables that belong together: `name` is that of a provider, or empty."""

    title: str
    variables: tuple[Variable, ...]
    name: str = ""
    set: bool = False


def read(name: str) -> dict[str, Any]:
    """A table of docs/."""
    return tomllib.loads((DOCS / name).read_text("utf-8"))


def provider_rows() -> dict[str, dict[str, Any]]:
    """providers.toml as it is written, with the names of the variables in it."""
    return tomllib.loads(files("claude_code_proxy").joinpath("providers.toml").read_text("utf-8"))


def provider_notes() -> dict[str, dict[str, Any]]:
    """What docs/providers.toml says of each provider. Raises `UndocumentedError` unless it names each and no other."""
    notes, rows = read("providers.toml"), provider_rows()
    if missing := [name for name in rows if not notes.get(name, {}).keys() >= {"title", "about", "model"}]:
        tables = ", ".join(f"[{name}]" for name in missing)
        raise UndocumentedError(f"docs/providers.toml needs {tables} with title, about and model.")
    if gone := notes.keys() - rows.keys():
        raise UndocumentedError(f"docs/providers.toml describes no provider: {', '.join(sorted(gone))}.")
    return notes


def groups() -> list[Group]:
    """All variables: the general ones, then provider by provider. One that two providers share stands with both.

    Raises `UndocumentedError` for those that nobody described, or that were described twice.
    """
    tables, notes, rows = read("settings.toml")["group"], provider_notes(), provider_rows()
    said = _sayings(
        [*(table["variables"] for table in tables), *(note.get("variables", {}) for note in notes.values())]
    )
    general = [
        Group(
            table["title"],
            tuple(_described(name, said[name], _general_default(name)) for name in table["variables"]),
            set=table.get("set", False),
        )
        for table in tables
    ]
    found = [*general, *(_of_provider(name, row, notes[name], said) for name, row in rows.items())]
    if missing := sorted(known() - {one.name for group in found for one in group.variables}):
        raise UndocumentedError(
            f"Nothing says what these variables mean: {', '.join(missing)}. Add them to a [group.variables] of "
            "docs/settings.toml, or to [PROVIDER.variables] of docs/providers.toml if they are of one provider only."
        )
    return found


def _sayings(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is said of each variable, wherever it stands."""
    names = [name for table in tables for name in table]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UndocumentedError(f"docs/settings.toml and docs/providers.toml describe twice: {', '.join(twice)}.")
    return {name: said for table in tables for name, said in table.items()}


def once(found: Iterable[Group]) -> Iterator[Group]:
    """The same groups with each variable in the first of its groups only."""
    seen: set[str] = set()
    for group in found:
        yield replace(group, variables=tuple(one for one in group.variables if one.name not in seen))
        seen |= {one.name for one in group.variables}


def _of_provider(name: str, row: Mapping[str, Any], note: Mapping[str, Any], said: Mapping[str, Any]) -> Group:
    """A provider's key and address, which need no description, and whatever else it names or its notes describe."""
    key, address = row.get("api_key_env", ""), row.get("base_url_env", "")
    plain = {key: "its key, if it wants one" if row.get("key_optional") else "its key", address: "its address"}
    form = "" if row.get("key_optional") else "..."
    defaults = {**dict.fromkeys(note.get("variables", {}), ""), **dict(_named(row))}
    first = [one for one in (key, address) if one]
    names = dict.fromkeys([*first, *defaults])
    variables = (
        _described(
            one,
            said.get(one, plain.get(one)),
            _general_default(one) or defaults.get(one, ""),
            note.get("key_form", form) if one == key else "",
        )
        for one in names
        if one in said or one in plain
    )
    return Group(note["title"], tuple(variables), name)


def _described(name: str, said: str | Mapping[str, Any], default: str, example: str = "") -> Variable:
    table = {"meaning": said} if isinstance(said, str) else dict(said)
    return Variable(name, **{"default": default, "example": example, **table})


def _general_default(name: str) -> str:
    """The default of the settings' field of this name, in lower case."""
    fields, defaults = settings.Settings.__struct_fields__, settings.Settings.__struct_defaults__
    return _shown(dict(zip(reversed(fields), reversed(defaults), strict=False)).get(name.lower()))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _named(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The variables that a provider's table names, with their defaults.

    They are in fields such as `api_key_env`, in values `{ env = "NAME", default = … }`, and in texts with `{NAME}`.
    """
    for field, value in row.items():
        if field.endswith("_env") and isinstance(value, str):
            base = row.get("base_url", "") if field == "base_url_env" else ""
            yield value, "" if _PLACE.search(base) else base
    yield from _nested(row)


def _nested(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        for names in _PLACE.findall(value):
            yield from ((name, "") for name in names.split("|"))
    elif isinstance(value, list):
        for one in value:
            yield from _nested(one)
    elif isinstance(value, dict):
        if isinstance(value.get("env"), str):
            yield value["env"], _shown(value.get("default"))
        for one in value.values():
            yield from _nested(one)


def known() -> set[str]:
    """Every variable that the settings and the providers' tables name."""
    constants = {value for value in vars(settings).values() if isinstance(value, str) and _NAME.fullmatch(value)}
    of_rows = {name for row in provider_rows().values() for name, _ in _named(row)}
    return constants | of_rows | settings.VARIABLES.keys()
