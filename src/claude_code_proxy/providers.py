"""Providers: places that speak a dialect, as data."""

from __future__ import annotations

import logging
import re
import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.gemini.quirks import quirks_of as gemini_quirks
from claude_code_proxy.dialects.models import named
from claude_code_proxy.dialects.native import quirks_of as native_quirks
from claude_code_proxy.dialects.openai_chat.quirks import quirks_of as chat_quirks
from claude_code_proxy.dialects.openai_responses.quirks import quirks_of as responses_quirks
from claude_code_proxy.wire.failure import ApiError, error
from claude_code_proxy.wire.json_text import digits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "google", "aws"]
Path = Annotated[str, Meta(pattern="^/")]

_OF_THE_DIALECT: Final = frozenset(
    {
        *("auth", "body", "client_credentials", "model_body", "models_paths", "passes_paths", "path_prefix"),
        *("counts_tokens", "prepare", "quirks"),
    }
)
_BY_LIBRARY: Final = frozenset({"google", "aws"})
_OWN_HEADER: Final = frozenset({"x-api-key", "x-goog-api-key", "api-key"})

_log = logging.getLogger(__name__)

_QUIRKS: Final[dict[str, Callable[[Mapping[str, Any]], Struct]]] = {
    "anthropic": native_quirks,
    "gemini": gemini_quirks,
    "openai_chat": chat_quirks,
    "openai_responses": responses_quirks,
}
"""What reads a provider's quirks, by its dialect; each raises `msgspec.ValidationError` for unknown ones."""


class ModelBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of the request body for models whose name matches `match`, a pattern in lower case."""

    match: str
    body: dict[str, Any]


class ModelDialect(Struct, frozen=True, forbid_unknown_fields=True):
    """Another dialect, and its quirks, for models whose bare name matches one of the patterns in lower case.

    `anywhere`: also where the provider's address was changed. `counts_tokens`: what the row says of its own dialect.
    """

    match: tuple[str, ...]
    dialect: str
    quirks: dict[str, Any] = {}
    anywhere: bool = False
    counts_tokens: bool = False


class Provider(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider, as providers.toml describes it and the user's settings complete it."""

    name: str = ""
    dialect: str
    base_url: str = ""
    base_url_env: str = ""
    api_key: str = ""
    api_keys: tuple[str, ...] = ()
    api_key_env: str = ""
    key_optional: bool = False
    auth: Auth = "bearer"
    auth_options: dict[str, str] = {}
    client_credentials: bool = False
    path_prefix: str = ""
    passes_paths: bool = False
    hosts: dict[str, str] = {}
    wants: tuple[str, ...] = ()
    unlisted: bool = False
    name_prefixes: dict[str, str] = {}
    models_paths: tuple[Path, ...] = ()
    headers: dict[str, str] = {}
    aliases: tuple[str, ...] = ()
    prefix: str = ""
    vendors: tuple[str, ...] = ()
    vendors_elsewhere: bool = False
    serves_claude: bool = False
    counts_tokens: bool = False
    colon_names: bool = False
    named_like_a_model: bool = False
    local: bool = False
    passed_on: tuple[str, ...] = ()
    quirks: dict[str, Any] = {}
    body: dict[str, Any] = {}
    model_body: tuple[ModelBody, ...] = ()
    model_dialect: tuple[ModelDialect, ...] = ()
    spoken: tuple[Provider, ...] = ()
    prepare: Literal["", "ollama"] = ""
    respoken: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, {self.base_url!r})"  # never the key

    @property
    def root(self) -> str:
        """The URL that the dialect's paths are appended to.

        Anthropic's paths begin with the /v1 that addresses of OpenAI's format end in.
        """
        root = self.base_url + self.path_prefix
        return root.removesuffix("/v1") if self.dialect == "anthropic" else root

    def body_for(self, model: str) -> dict[str, Any]:
        """The fields that a translated request to this model carries beside its own."""
        extra = dict(self.body)
        for row in self.model_body:
            if fnmatchcase(model.lower(), row.match):
                extra |= row.body
        return extra

    def full_name(self, model: str) -> str:
        """The name of a model as the provider takes it."""
        if not self.name_prefixes:
            return model
        name = model.lower()
        return next((put + model for match, put in self.name_prefixes.items() if fnmatchcase(name, match)), model)

    def for_model(self, model: str) -> Provider:
        """This provider as the model is to be asked: in the dialect of the first row that matches it."""
        rows = zip(self.model_dialect, self.spoken, strict=True)
        return next((spoken for row, spoken in rows if named(model, row.match)), self)

    @property
    def host(self) -> str:
        """Host and port of the base URL, for messages."""
        return urlsplit(self.base_url).netloc

    @property
    def ready(self) -> bool:
        """Whether it can be asked: it has an address, and its key or no need of one."""
        return bool(self.base_url) and bool(self.api_key or self.key_optional or not self.api_key_env)

    def check(self) -> None:
        """Raises `ApiError` if the provider is not set up: 400 without a base URL, 401 without a key.

        Where the client's own credential will do, that is looked for when there is a request.
        """
        if not self.base_url:
            missing = " and ".join(self.wants) or self.base_url_env
            raise error("invalid_request_error", f"The provider {self.name!r} has no address: set {missing}.")
        if not self.ready and not self.client_credentials:
            raise self._no_key()

    def credentials(self, key: str = "") -> dict[str, str]:
        """The header that carries the key, or another `key` of its several. It goes to this provider's base URL only.

        Raises `ApiError` if the provider is not set up, see `check`.
        """
        self.check()
        if not self.ready:
            raise self._no_key()
        if not (key := key or self.api_key):
            return {}
        return {self.auth: key} if self.auth in _OWN_HEADER else {"authorization": f"Bearer {key}"}

    def _no_key(self) -> ApiError:
        message = f"The provider {self.name!r} has no key: set {self.api_key_env} in the proxy's .env or environment."
        return error("authentication_error", message, final=True)


def known_quirks(provider: Provider) -> dict[str, Any]:
    """The quirks of a provider, the defaults of its dialect among them."""
    read = _QUIRKS.get(provider.dialect)
    return msgspec.structs.asdict(read(provider.quirks)) if read else {}


class ProviderError(ValueError):
    """A provider's table that cannot be used; the message says where and what is allowed."""


def load_providers(
    environ: Mapping[str, str],
    overlay: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Provider]:
    """The built-in providers with `overlay` laid over them table by table, their variables filled in.

    `overlay` holds tables by provider name in the shape of providers.toml. Raises `ProviderError`.
    """
    rows: dict[str, dict[str, Any]] = tomllib.loads(files(__package__).joinpath("providers.toml").read_text("utf-8"))
    for name, table in (overlay or {}).items():
        row = rows.get(name.lower(), {})
        if "base_url" in table:
            row = _elsewhere(row)
        rows[name.lower()] = {**_respoken(row, table.get("dialect")), **table}
    return {name: _provider(name, _likened(row, rows, environ), environ) for name, row in rows.items()}


def _likened(row: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]) -> Any:
    """A row as it is; where the variable of its `like` is on, the other row that it names, under this one's names."""
    own = {key: value for key, value in row.items() if key != "like"}
    like = row.get("like", {})
    if environ.get(like.get("env", ""), "").strip().lower() not in _YES:
        return own
    return {**rows[like["row"]], **{key: own[key] for key in ("aliases", "prefix") if key in own}}


def find_provider(providers: Mapping[str, Provider], name: str) -> Provider | None:
    """The provider of this name or alias, in any case."""
    name = name.lower()
    return providers.get(name) or next((row for row in providers.values() if name in row.aliases), None)


def _respoken(row: Mapping[str, Any], dialect: object) -> dict[str, Any]:
    """A row in a dialect that was chosen: what belongs to another means nothing there, nor what depends on models."""
    if not dialect or not isinstance(dialect, str):  # what is none is told with the rest of the row
        return dict(row)
    chosen = {key: value for key, value in row.items() if key != "model_dialect"}
    if dialect == row.get("dialect"):
        return chosen
    kept = {key: value for key, value in chosen.items() if key not in _OF_THE_DIALECT}
    if row.get("auth") in _BY_LIBRARY:  # whatever is spoken there, who asks is proven the same way
        kept["auth"] = row["auth"]
    known: Mapping[str, Any] = next((one for one in row.get("model_dialect", ()) if one.get("dialect") == dialect), {})
    own = {"quirks": known.get("quirks", {}), "counts_tokens": known.get("counts_tokens", False)}
    return {**kept, **own, **row.get("respoken", {}).get(dialect, {}), "dialect": dialect}


def _elsewhere(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for another address: a server there may know one dialect only."""
    return {**row, "model_dialect": [one for one in row.get("model_dialect", ()) if one.get("anywhere")]}


def _provider(name: str, row: Mapping[str, Any], environ: Mapping[str, str]) -> Provider:
    """The provider of a row, and the same in each of the dialects that it speaks for some of its models."""
    moved = environ.get(str(row.get("base_url_env", "")), "").strip()
    if moved and moved.rstrip("/") != row.get("base_url"):
        row = _elsewhere(row)
    row = _respoken(row, environ.get(f"{name.upper().replace('-', '_')}_DIALECT", "").strip())
    provider = _built(name, row, moved, environ)
    spoken = (_built(name, _respoken(row, one.dialect), moved, environ) for one in provider.model_dialect)
    return msgspec.structs.replace(provider, spoken=tuple(spoken))


def _built(name: str, row: Mapping[str, Any], moved: str, environ: Mapping[str, str]) -> Provider:
    try:
        provider = msgspec.convert({**_filled(row, environ), "name": name}, Provider)
        if check := _QUIRKS.get(provider.dialect):
            check(provider.quirks)
    except msgspec.ValidationError as cause:
        message = f"provider {name!r}: {cause}"
        raise ProviderError(message) from None
    if provider.dialect not in DIALECTS:
        message = f"provider {name!r}: dialect must be one of {', '.join(DIALECTS)}, not {provider.dialect!r}"
        raise ProviderError(message)
    wants: list[str] = []
    base_url = moved or _placed(provider.base_url, environ, wants, _PART)
    path_prefix = _placed(provider.path_prefix, environ, wants, _PART)
    keys = _several(environ.get(provider.api_key_env, "")) or _several(provider.api_key) or provider.api_keys
    for made, host in provider.hosts.items():
        base_url = base_url.replace(f"//{made}/", f"//{host}/")
    return msgspec.structs.replace(
        provider,
        base_url=_checked_url("" if wants else base_url, provider.base_url_env or f"provider {name!r}: base_url"),
        path_prefix=path_prefix,
        wants=tuple(dict.fromkeys(wants)),
        api_key=keys[0] if keys else "",
        api_keys=keys,
        auth_options={key: _placed(value, environ, [], _ANY) for key, value in provider.auth_options.items()},
    )


def _several(keys: str) -> tuple[str, ...]:
    """The keys in a text that separates them by commas, which no key holds."""
    return tuple(dict.fromkeys(key for one in keys.split(",") if (key := one.strip())))


_PLACE: Final = re.compile(r"\{([A-Z][A-Z0-9_|]*)\}")
_ANY: Final = re.compile(".*")
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
"""What may stand in an address: the name of a project or a region, and nothing that would lead elsewhere."""


def _placed(text: str, environ: Mapping[str, str], wants: list[str], form: re.Pattern[str]) -> str:
    """A text with the values of variables in the places of `{NAME}`, or of `{NAME|OTHER}`, the first that is set.

    Variables that are not set are added to `wants`. Raises `ProviderError` for a value that is not of the form.
    """

    def value(place: re.Match[str]) -> str:
        names = place[1].split("|")
        held = next((held for name in names if (held := environ.get(name, "").strip())), "")
        if not held:
            wants.append(" or ".join(names))
        elif not form.fullmatch(held):
            message = f"{' or '.join(names)} holds {held!r}, which cannot be part of an address"
            raise ProviderError(message)
        return held

    return _PLACE.sub(value, text)


_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """A table with the values of variables where it says `{ env = "NAME", default = … }`."""
    if isinstance(value, (list, tuple)):
        return [_filled(one, environ) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"env", "default"}:
        return {key: _filled(one, environ) for key, one in value.items()}
    name, default = value["env"], value["default"]
    held = environ.get(name, "").strip()
    read: str | int | None = held
    if isinstance(default, bool):
        read = True if held.lower() in _YES else False if held.lower() in _NO else None
    elif isinstance(default, int):
        read = digits(held)
    if held and read is None:
        _log.warning("%s holds %r, which cannot be used; it is taken for %r.", name, held, default)
    return default if not held or read is None else read


def _checked_url(url: str, source: str) -> str:
    try:
        parts = urlsplit(url)
        unusable = parts.port == 0
    except ValueError:
        message = f"{source} is no address: its host or port cannot be read"
        raise ProviderError(message) from None
    if "@" in parts.netloc:
        message = f"{source} must not hold a user name or password"
        raise ProviderError(message)
    if url and (unusable or parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment):
        message = f"{source} must be an http:// or https:// address without a query{_but(url)}"
        raise ProviderError(message)
    return url.rstrip("/")


_SHORTEST_KEY: Final = 16
"""Characters; keys of every provider are longer."""


def _but(url: str) -> str:
    """What an address is in place of what it should be; nothing of what may be a key that was put in its place."""
    place, query, _ = url.partition("?")
    return f", not {place + query!r}" if "://" in url or len(url) < _SHORTEST_KEY else ""
