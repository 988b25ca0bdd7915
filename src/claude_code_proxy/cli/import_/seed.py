"""The .env of the original project, or of this one."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.config.env_file import read
from claude_code_proxy.cli.import_.made import Made, UnusableError
from claude_code_proxy.providers import find_provider, load_providers
from claude_code_proxy.settings import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_PLACE: Final = re.compile(r"\{([A-Z][A-Z0-9_|]*)\}")
_UNSET: Final = "unset"
"""What its example has for projects and regions that nobody set."""

_ITSELF: Final = "ANTHROPIC_BASE_URL"


def made_of(text: str) -> Made:
    """What the file becomes. Raises `UnusableError`."""
    held = read(text)
    if not held:
        raise UnusableError("it sets no variable, so it is no .env")
    made = Made()
    known = variables()
    for name, value in held.items():
        if name in known and value != _UNSET:
            made.values[name] = value
        elif name == _ITSELF:
            made.leave(name, "it is how Claude Code finds the proxy, which never reads it")
        elif name not in known:
            made.leave(name, "unknown to this version")
    rows = load_providers({})
    preferred = made.values.get("PREFERRED_PROVIDER", "")
    if preferred and not find_provider(rows, preferred.strip()):
        del made.values["PREFERRED_PROVIDER"]
        made.leave(
            "PREFERRED_PROVIDER", f"{preferred!r} is no provider; the original took it for openai, as it is without"
        )
    _moved(made)
    return made


def variables() -> set[str]:
    """Every variable that the settings and the providers know."""
    rows: dict[str, Any] = tomllib.loads(files("claude_code_proxy").joinpath("providers.toml").read_text("utf-8"))
    own = {f"{name.upper().replace('-', '_')}_DIALECT" for name in rows}
    return {*VARIABLES, *own, *_named(rows)}


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _NAME.findall(value) if _NAME.fullmatch(value) else ()
        for names in _PLACE.findall(value):
            yield from names.split("|")
    elif isinstance(value, dict):
        for one in value.values():
            yield from _named(one)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one)


def _moved(made: Made) -> None:
    """A provider that stands at another's address has that one's key.

    The original sent a vendor's model with OpenAI's key where the vendor's own provider had none.
    """
    rows = load_providers(made.values)
    usual = load_providers({})
    for row in rows.values():
        other = next((one for one in usual.values() if one.host == row.host and one.name != row.name), None)
        if other and row.host != usual[row.name].host and row.api_key and other.api_key_env not in made.values:
            made.values[other.api_key_env] = row.api_key
            made.note(f"{row.base_url_env} is {other.name}'s address, so {other.api_key_env} is the same key.")
