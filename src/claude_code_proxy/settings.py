"""The settings: environment, .env and config.toml into one frozen value. The only reader of os.environ.

The real environment wins over the .env beside server.py, that over the .env in the user's config folder.
A .env in any other directory is never read: the proxy may be started in a folder that somebody else wrote.
ANTHROPIC_BASE_URL is never read: it is how a client finds this proxy, which would call itself.
"""

from __future__ import annotations

import logging
import os
import ssl
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dotenv import dotenv_values
from msgspec import Struct
from platformdirs import user_config_path, user_state_path

from claude_code_proxy.engines import faults
from claude_code_proxy.hosts import is_near
from claude_code_proxy.providers import Provider, ProviderError, find_provider, load_providers
from claude_code_proxy.tables import Limits, Price, Tables, TablesError, read_limits, read_prices, read_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

APP: Final = "claude-code-proxy"
ENV_FILE: Final = "CLAUDE_CODE_PROXY_ENV_FILE"
CONFIG_FILE: Final = "CLAUDE_CODE_PROXY_CONFIG"
OTEL: Final = "OTEL_"

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})

_log = logging.getLogger(__name__)


class Settings(Struct, frozen=True, kw_only=True):
    """All that can be set, with the seed's defaults.

    Times are in seconds, sizes in bytes. `proxy_ledger` is a path or a URL; empty: nothing is kept.
    `otel` holds the variables that OpenTelemetry's SDK reads itself.
    """

    providers: dict[str, Provider]
    tables: Tables = Tables()
    models: dict[str, Limits] = {}
    prices: dict[str, Price] = {}
    preferred_provider: str = "openai"
    big_model: str = "gpt-4.1"
    small_model: str = "gpt-4.1-mini"
    max_output_tokens: int = 0
    proxy_api_key: str = ""
    proxy_hosts: tuple[str, ...] = ()
    proxy_published_on: str = ""
    proxy_open: bool = False
    ollama_num_ctx: int = 128_000
    web_search: str = ""
    web_search_api_key: str = ""
    web_search_base_url: str = ""
    max_body: int = 32 << 20
    connect_timeout: float = 10.0
    first_byte_timeout: float = 120.0
    local_first_byte_timeout: float = 600.0
    idle_timeout: float = 600.0
    answer_timeout: float = 600.0
    stream_timeout: float = 3600.0
    upstream_retries: int | None = None
    upstream_proxy: str = ""
    ssl_cert_file: str = ""
    ping_interval: float = 15.0
    commit_after: float = 60.0
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    body_total_timeout: float = 300.0
    write_timeout: float = 120.0
    keep_alive_timeout: float = 75.0
    drain_timeout: float = 25.0
    max_streams: int = 2000
    max_queue: int = 64
    queue_timeout: float = 2.0
    body_memory_mib: int = 256
    proxy_ledger: str = ""
    proxy_ledger_days: int = 90
    proxy_capture: bool = False
    proxy_capture_days: int = 3
    otel: dict[str, str] = {}

    def patience(self, provider: Provider) -> float:
        """Seconds within which a provider must begin a streamed reply: a model nearby may have to be loaded first."""
        return self.local_first_byte_timeout if is_near(provider.base_url) else self.first_byte_timeout

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
                problems.append(f"{name} must be {cause}{'' if name in _SECRET else f', not {held!r}'}")
    try:
        config = _config(env)
        rows = load_providers(env, {**config.get("providers", {}), **(providers or {})})
    except (ProviderError, SettingsError) as cause:
        problems.append(str(cause))
        raise SettingsError("\n".join(problems)) from None
    preferred = find_provider(rows, values.get("preferred_provider", "openai"))
    if not preferred:
        problems.append(f"PREFERRED_PROVIDER must be one of {', '.join(rows)}, not {values['preferred_provider']!r}")
        raise SettingsError("\n".join(problems))
    colons = preferred.colon_names
    try:
        tables = read_tables(config.get("routing", {}), lambda name: colons or bool(find_provider(rows, name)))
    except TablesError as cause:
        problems.append(str(cause))
    by_target: dict[str, Any] = {}
    for name, read_table in (("models", read_limits), ("prices", read_prices)):
        try:
            by_target[name] = read_table(
                config.get(name, {}), lambda name: getattr(find_provider(rows, name), "name", "")
            )
        except TablesError as cause:
            problems.append(str(cause))
    problems += faults(*(values.get(name, "") for name in ("web_search", "web_search_api_key", "web_search_base_url")))
    if problems:
        raise SettingsError("\n".join(problems))
    values |= {"preferred_provider": preferred.name, "proxy_ledger": _ledger(values.get("proxy_ledger", ""))}
    values["otel"] = {name: held for name, held in env.items() if name.startswith(OTEL) and held}
    return Settings(providers=rows, tables=tables, **by_target, **values)


def _ledger(said: str) -> str:
    """Where the ledger is: as it was said, in the user's own folder, or empty where none is wanted."""
    return "" if said.lower() in _NO else said or str(user_state_path(APP) / "ledger.db")


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


def _count(text: str) -> int:
    if not (value := _whole(text)):
        raise ValueError("a whole number, 1 or more")
    return value


def _flag(text: str) -> bool:
    if (word := text.lower()) not in {*_YES, *_NO}:
        raise ValueError("true or false")
    return word in _YES


def _proxy(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.netloc or parts.query or parts.path not in {"", "/"}:
        raise ValueError("an address like http://proxy.example:3128 or http://user:password@proxy.example:3128")
    return text


def _certificates(text: str) -> str:
    try:
        ssl.create_default_context(cafile=text)
    except (OSError, ValueError):  # what ssl raises for no certificates is an OSError
        raise ValueError("a file that holds certificates in PEM format") from None
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for one in text.lower().split(",") if (name := one.strip()))


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.username:
        raise ValueError("an http:// or https:// address without a query or a password")
    return text


VARIABLES: Final[dict[str, Callable[[str], Any]]] = {
    "PREFERRED_PROVIDER": str.lower,
    "BIG_MODEL": str,
    "SMALL_MODEL": str,
    "MAX_OUTPUT_TOKENS": _whole,
    "PROXY_API_KEY": str,
    "PROXY_HOSTS": _names,
    "PROXY_PUBLISHED_ON": str.lower,
    "PROXY_OPEN": _flag,
    "OLLAMA_NUM_CTX": _whole,
    "WEB_SEARCH": str.lower,
    "WEB_SEARCH_API_KEY": str,
    "WEB_SEARCH_BASE_URL": _address,
    "CONNECT_TIMEOUT": _seconds,
    "FIRST_BYTE_TIMEOUT": _seconds,
    "LOCAL_FIRST_BYTE_TIMEOUT": _seconds,
    "IDLE_TIMEOUT": _seconds,
    "ANSWER_TIMEOUT": _seconds,
    "STREAM_TIMEOUT": _seconds,
    "PING_INTERVAL": _seconds,
    "HEAD_TIMEOUT": _seconds,
    "BODY_TIMEOUT": _seconds,
    "BODY_TOTAL_TIMEOUT": _seconds,
    "WRITE_TIMEOUT": _seconds,
    "KEEP_ALIVE_TIMEOUT": _seconds,
    "DRAIN_TIMEOUT": _seconds,
    "MAX_STREAMS": _count,
    "MAX_QUEUE": _whole,
    "QUEUE_TIMEOUT": _seconds,
    "BODY_MEMORY_MIB": _count,
    "UPSTREAM_RETRIES": _whole,
    "UPSTREAM_PROXY": _proxy,
    "SSL_CERT_FILE": _certificates,
    "PROXY_LEDGER": str,
    "PROXY_LEDGER_DAYS": _count,
    "PROXY_CAPTURE": _flag,
    "PROXY_CAPTURE_DAYS": _count,
}
"""Variables that set the field of their own name, and how their text is read."""


_SECRET: Final = frozenset({"PROXY_LEDGER", "UPSTREAM_PROXY", "WEB_SEARCH_BASE_URL"})
"""Variables that may hold a password, and are not repeated."""


def sources() -> list[Path]:
    """The files that this process's settings come from, whether or not they are there."""
    here = os.environ
    path = _config_path(here)
    return [*_env_files(here), *([path] if path else [])]


def origins() -> dict[str, str]:
    """Where each variable of this process comes from: `environment`, or the .env that says it."""
    here = os.environ
    files = {name: str(path) for path in _env_files(here) for name, value in _held(path).items() if value is not None}
    return {**files, **dict.fromkeys(here, "environment")}


def lend(variables: Mapping[str, str]) -> None:
    """Let a library that reads the environment find what the .env files hold of these variables."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def _held(path: Path) -> Mapping[str, str | None]:
    return dotenv_values(path, interpolate=False) if path.is_file() else {}


def values() -> dict[str, str]:
    """What the variables of this process hold, those of the .env files among them. Raises `SettingsError`."""
    return _environment()


def tables_of_config() -> dict[str, dict[str, Any]]:
    """The tables of this process's config.toml as they stand there. Raises `SettingsError`."""
    return _config(_environment())


def _environment() -> dict[str, str]:
    """This process's environment, completed from the .env files. Nothing in them is expanded."""
    here = os.environ
    env: dict[str, str] = {}
    for path in _env_files(here):
        if path.is_file():
            env |= {name: value for name, value in _held(path).items() if value is not None}
        elif here.get(ENV_FILE):
            raise SettingsError(f"{ENV_FILE} names {here[ENV_FILE]!r}, which is no file")
    return {**env, **here}


def _env_files(env: Mapping[str, str]) -> list[Path]:
    """The .env files, the weakest first: the user's and the one beside server.py, or the one that was chosen."""
    chosen = env.get(ENV_FILE)
    if chosen is not None:
        return [Path(chosen)] if chosen else []
    return [config_folder() / ".env", *_beside_server()]


def _beside_server() -> list[Path]:
    """The .env beside server.py, where the package runs from its checkout."""
    root = Path(__file__).resolve().parents[2]
    return [root / ".env"] if (root / "server.py").is_file() else []


def _config_path(env: Mapping[str, str]) -> Path | None:
    """The config.toml: the user's, the one that was chosen, or none where no .env is wanted either."""
    chosen = env.get(CONFIG_FILE)
    if chosen is None and env.get(ENV_FILE) == "":
        return None
    return Path(chosen) if chosen else config_folder() / "config.toml"


def _config(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The tables of the user's config.toml."""
    path = _config_path(env)
    if path is None or not path.is_file():
        if path and env.get(CONFIG_FILE):
            raise SettingsError(f"{CONFIG_FILE} names {env[CONFIG_FILE]!r}, which is no file")
        return {}
    try:
        config = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as cause:
        raise SettingsError(f"{path} cannot be read: {cause}") from None
    providers = config.get("providers", {})
    nested = isinstance(providers, dict) and all(isinstance(table, dict) for table in providers.values())
    if config.keys() - {"providers", "routing", "models", "prices"} or not nested:
        raise SettingsError(f"{path} may hold [routing], [models], [prices] and [providers.NAME] tables only")
    return config
