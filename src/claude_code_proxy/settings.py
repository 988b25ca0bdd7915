"""The settings: environment, .env and config.toml into one frozen value. The only reader of os.environ.

The real environment wins over the .env beside server.py, that over the .env in the user's config folder.
A .env in any other directory is never read: the proxy may be started in a folder that somebody else wrote.
ANTHROPIC_BASE_URL is never read: it is how a client finds this proxy, which would call itself.
"""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dotenv import dotenv_values
from msgspec import Struct
from platformdirs import user_config_path

from claude_code_proxy.providers import Provider, ProviderError, load_providers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

APP: Final = "claude-code-proxy"
ENV_FILE: Final = "CLAUDE_CODE_PROXY_ENV_FILE"
CONFIG_FILE: Final = "CLAUDE_CODE_PROXY_CONFIG"

_log = logging.getLogger(__name__)


class Settings(Struct, frozen=True, kw_only=True):
    """All that can be set, with the seed's defaults.

    Times are in seconds, sizes in bytes.
    """

    providers: dict[str, Provider]
    preferred_provider: str = "openai"
    big_model: str = "gpt-4.1"
    small_model: str = "gpt-4.1-mini"
    max_output_tokens: int = 0
    proxy_api_key: str = ""
    ollama_num_ctx: int = 128_000
    max_body: int = 32 << 20
    connect_timeout: float = 10.0
    idle_timeout: float = 600.0
    ping_interval: float = 15.0
    commit_after: float = 60.0

    def __repr__(self) -> str:
        return f"Settings({self.preferred_provider!r}, {len(self.providers)} providers)"  # never the key


class SettingsError(ValueError):
    """Settings that cannot be used. The message has a line for each: the variable, what it held, what is allowed."""


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    providers: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Read the settings.

    `environ` is the whole environment; None stands for this process's, completed from the .env files.
    `providers` are provider tables laid over the built-in ones and the user's. Raises `SettingsError`.
    """
    env = _environment() if environ is None else environ
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, read in VARIABLES.items():
        if held := env.get(name, "").strip():
            try:
                values[name.lower()] = read(held)
            except ValueError as cause:
                problems.append(f"{name} must be {cause}, not {held!r}")
    try:
        rows = load_providers(env, {**_config_tables(env), **(providers or {})})
    except (ProviderError, SettingsError) as cause:
        problems.append(str(cause))
        raise SettingsError("\n".join(problems)) from None
    preferred = values.get("preferred_provider", "openai")
    if not (named := find_provider(rows, preferred)):
        problems.append(f"PREFERRED_PROVIDER must be one of {', '.join(rows)}, not {preferred!r}")
    if problems or not named:
        raise SettingsError("\n".join(problems))
    return Settings(providers=rows, **{**values, "preferred_provider": named.name})


def find_provider(providers: Mapping[str, Provider], name: str) -> Provider | None:
    """The provider of this name or alias, in any case."""
    name = name.lower()
    return providers.get(name) or next((row for row in providers.values() if name in row.aliases), None)


def config_folder() -> Path:
    """The user's own folder for this program's settings."""
    return user_config_path(APP)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("a whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86_400:
        raise ValueError("a number of seconds, more than 0 and less than a day")
    return value


VARIABLES: Final[dict[str, Callable[[str], Any]]] = {
    "PREFERRED_PROVIDER": str.lower,
    "BIG_MODEL": str,
    "SMALL_MODEL": str,
    "MAX_OUTPUT_TOKENS": _whole,
    "PROXY_API_KEY": str,
    "OLLAMA_NUM_CTX": _whole,
    "CONNECT_TIMEOUT": _seconds,
    "IDLE_TIMEOUT": _seconds,
    "PING_INTERVAL": _seconds,
}
"""Variables that set the field of their own name, and how their text is read."""


def _environment() -> dict[str, str]:
    """This process's environment, completed from the .env files. Nothing in them is expanded."""
    here = os.environ
    chosen = here.get(ENV_FILE)
    env: dict[str, str] = {}
    for path in [config_folder() / ".env", *_beside_server()] if chosen is None else [Path(chosen)] if chosen else []:
        if path.is_file():
            env |= {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
        elif chosen:
            raise SettingsError(f"{ENV_FILE} names {chosen!r}, which is no file")
    return {**env, **here}


def _beside_server() -> list[Path]:
    """The .env beside server.py, where the package runs from its checkout."""
    root = Path(__file__).resolve().parents[2]
    return [root / ".env"] if (root / "server.py").is_file() else []


def _config_tables(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The [providers] tables of the user's config.toml."""
    chosen = env.get(CONFIG_FILE)
    if chosen is None and env.get(ENV_FILE) == "":
        return {}
    path = Path(chosen) if chosen else config_folder() / "config.toml"
    if not path.is_file():
        if chosen:
            raise SettingsError(f"{CONFIG_FILE} names {chosen!r}, which is no file")
        return {}
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as cause:
        raise SettingsError(f"{path} cannot be read: {cause}") from None
    tables = config.pop("providers", {})
    if config or not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingsError(f"{path} may hold [providers.NAME] tables only")
    return tables
