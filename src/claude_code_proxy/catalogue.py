"""Which models each provider has: what it lists, read from whatever shape the list has, and kept for a while.

Every model gets an id that Claude Code's picker shows and that routing leads back to this very model; one
for which there is no such id is left out.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import tomllib
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import replace

from claude_code_proxy.routing import VIA, route
from claude_code_proxy.tables import Limits
from claude_code_proxy.windows import limits_of
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

KEPT: Final = 300.0
"""Seconds for which a list is taken for true."""

FAILED: Final = 30.0
"""Seconds for which a provider without a list is not asked again."""

PATIENCE: Final = 2.0
"""Seconds that an answer waits for lists; Claude Code gives up after three."""

_LONGEST: Final = 10.0
"""Seconds after which a provider is not listened to any more: what comes too late for one answer serves the next."""

_MOST: Final = 2000
"""Models of one provider that are listed."""

_SHOWN: Final = ("claude", "anthropic")
"""Claude Code's picker shows the ids that hold one of these."""

MARK: Final = "x-claude-code-proxy"
"""A header that tells a proxy its own question: a server expected on this machine may be the proxy itself."""

_UNKNOWN: Final = "1970-01-01T00:00:00Z"
"""What Anthropic's API says of a model whose date of release is not known."""

_log = logging.getLogger(__name__)


class Model(Struct, frozen=True, kw_only=True):
    """A model of a provider. `name` is what the provider calls it, `id` what a client does; 0 tokens are unknown."""

    id: str
    provider: str
    name: str
    display_name: str
    created_at: str = _UNKNOWN
    lifecycle: str = "active"
    context: int = 0
    max_output: int = 0


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    paths: tuple[str, ...] = ("/models",)
    headers: dict[str, str] = {}


class _Fields(Struct, frozen=True, forbid_unknown_fields=True):
    rows: tuple[str, ...]
    name: tuple[str, ...]
    display_name: tuple[str, ...]
    created: tuple[str, ...]
    lifecycle: tuple[str, ...]
    context: tuple[str, ...]
    max_output: tuple[str, ...]


class _Kind(Struct, frozen=True, forbid_unknown_fields=True):
    field: str
    chat: tuple[Any, ...] = ()
    other: tuple[Any, ...] = ()

    def says(self, row: dict[str, Any]) -> bool | None:
        """Whether the row is a chat model; None if this does not tell."""
        held = _at(row, self.field)
        values = held if isinstance(held, list) else [held]
        if held is None or any(isinstance(value, dict) for value in values):
            return None
        if self.chat:
            return any(value in self.chat for value in values)
        return False if any(value in self.other for value in values) else None


class _Shapes(Struct, frozen=True, forbid_unknown_fields=True):
    asked: dict[str, _Asked]
    fields: _Fields
    kind: tuple[_Kind, ...]
    names: dict[str, tuple[str, ...]]


@cache
def _shapes() -> _Shapes:
    """The tables of catalogue.toml."""
    return msgspec.convert(tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text("utf-8")), _Shapes)


def listed(body: bytes) -> list[dict[str, Any]] | None:
    """The rows of a provider's list, of any known shape; None if it is no list."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(content, dict):
        held = [content[name] for name in _shapes().fields.rows if name in content]
        content = next((rows for rows in held if isinstance(rows, list)), [] if held == [None] else None)
    return [row for row in content if isinstance(row, dict)] if isinstance(content, list) else None


def models_of(rows: Iterable[dict[str, Any]], provider: Provider, settings: Settings) -> tuple[Model, ...]:
    """The chat models among the rows, each once, in the list's order."""
    found: dict[str, Model] = {}
    for row in rows:
        name = _name(row)
        if name and name not in found and _is_chat(name, row) and (model := described(name, row, provider, settings)):
            found[name] = model
            if len(found) == _MOST:
                break
    return tuple(found.values())


def described(name: str, row: dict[str, Any], provider: Provider, settings: Settings) -> Model | None:
    """A provider's model as its row tells, completed from what is known of the name.

    The row may be empty. None if no id leads to the model.
    """
    at = _shapes().fields
    if not (ident := _id_of(name, provider, settings)):
        return None
    lifecycle = _text(row, at.lifecycle)
    told = Limits(_tokens(row, at.context), _tokens(row, at.max_output))
    limits = limits_of(provider, name, settings, told)
    return Model(
        id=ident,
        provider=provider.name,
        name=name,
        display_name=f"{_text(row, at.display_name) or _printable(name)} ({provider.name})",
        created_at=_created(row),
        lifecycle=lifecycle if lifecycle == "deprecated" else "active",
        context=limits.context,
        max_output=limits.max_output,
    )


def _id_of(name: str, provider: Provider, settings: Settings) -> str:
    """The model's own name if that is shown and leads to it, else the alias that names its provider."""
    for ident in (name, f"{VIA}{provider.name}:{name}"):
        if any(word in ident.lower() for word in _SHOWN) and _leads_to(ident, name, provider, settings):
            return ident
    return ""


def _leads_to(ident: str, name: str, provider: Provider, settings: Settings) -> bool:
    try:
        target = route("", ident, settings)
    except ApiError:
        return False
    return (target.provider.name, target.model) == (provider.name, name)


def _name(row: dict[str, Any]) -> str:
    for field in _shapes().fields.name:
        if isinstance(name := row.get(field), str) and name:
            # Google's names are paths, and its chat endpoint takes the last part.
            google = "supportedGenerationMethods" in row or row.get("owned_by") == "google"
            return name.removeprefix("models/") if google else name
    return ""


def _is_chat(name: str, row: dict[str, Any]) -> bool:
    told = [kind.says(row) for kind in _shapes().kind]
    if False in told or True in told:
        return False not in told
    bare = name.lower().rpartition("/")[2]
    return not any(fnmatchcase(bare, pattern) for pattern in _shapes().names["other"])


def _at(row: dict[str, Any], path: str) -> Any:
    value: Any = row
    for part in path.split("."):
        value = fields(value).get(part)
    return value


def _text(row: dict[str, Any], paths: Sequence[str]) -> str:
    return next((_printable(value) for path in paths if isinstance(value := _at(row, path), str) and value), "")


def _printable(text: str) -> str:
    """Text that can be shown: nothing in it moves a terminal's cursor."""
    return "".join(char for char in text if char.isprintable())[:200]


def _tokens(row: dict[str, Any], paths: Sequence[str]) -> int:
    held = (_at(row, path) for path in paths)
    return next((value for value in held if isinstance(value, int) and value is not True and value > 0), 0)


def _created(row: dict[str, Any]) -> str:
    """When the model came out, in RFC 3339."""
    for path in _shapes().fields.created:
        try:
            match _at(row, path):
                case int(seconds):
                    moment = datetime.fromtimestamp(seconds, UTC)
                case str(text):
                    moment = datetime.fromisoformat(text)
                    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
                case _:
                    continue
        except (ValueError, OverflowError, OSError):  # milliseconds, or no date at all
            continue
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return _UNKNOWN


class _Held(Struct, frozen=True):
    """A provider's models as last heard, the same by name, and until when that is good."""

    models: tuple[Model, ...]
    until: float
    named: dict[str, Model] = {}


class Catalogue:
    """The models of every provider that is set up. Nobody is asked before somebody wants to know.

    A provider is asked once at a time, with its own key and at its own address. `clock` gives seconds,
    `patience` is how many of them an answer waits.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._settings, self._pool = settings, pool
        self._clock, self._patience = clock, patience
        self.mark = secrets.token_hex(8)
        self._held: dict[str, _Held] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def models(self) -> list[Model]:
        """Every reachable model: the user's aliases, then those of the preferred provider, then the others.

        Providers that fail, or have not answered in time, contribute nothing.
        """
        preferred = self._settings.preferred_provider
        providers = sorted(self._settings.providers.values(), key=lambda row: row.name != preferred)
        await self._hear([row for row in providers if usable(row)])
        return [*self._aliases(), *(model for row in providers for model in self._known(row))]

    def _aliases(self) -> Iterator[Model]:
        """The user's aliases, under ids that Claude Code's picker shows, each as what it stands for."""
        for name in self._settings.tables.aliases:
            target = route("", name, self._settings)
            known = (model for model in self._known(target.provider) if model.name == target.model)
            model = next(known, None) or described(target.model, {}, target.provider, self._settings)
            if model and usable(target.provider):
                ident = name if any(word in name for word in _SHOWN) else f"{VIA}{name}"
                yield replace(model, id=ident, display_name=f"{_printable(name)} ({_printable(str(target))})")

    async def of(self, provider: Provider) -> tuple[Model, ...]:
        """The models of one provider; none if it is not set up."""
        await self._hear([provider] if usable(provider) else [])
        return self._known(provider)

    def limits(self, provider: Provider, model: str) -> Limits:
        """What the provider's list told of a model, if it was asked for and held it. Nobody is asked."""
        held = self._held.get(provider.name)
        known = held.named.get(model) if held else None
        return Limits(known.context, known.max_output) if known else Limits()

    async def settled(self) -> None:
        """Wait until no provider is being asked."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop asking."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _known(self, provider: Provider) -> tuple[Model, ...]:
        held = self._held.get(provider.name)
        return held.models if held else ()

    async def _hear(self, providers: Iterable[Provider]) -> None:
        """Ask those whose list is too old, and wait for those that have given none."""
        awaited: dict[asyncio.Task[None], str] = {}
        for provider in providers:
            held = self._held.get(provider.name)
            if held and self._clock() < held.until:
                continue
            task = self._asking.get(provider.name)
            if not task:
                task = self._asking[provider.name] = asyncio.ensure_future(self._refresh(provider))
            if not self._known(provider):
                awaited[task] = provider.name
        if not awaited:
            return
        done, late = await asyncio.wait(awaited, timeout=self._patience)
        for task in late:  # the next answer does not wait for it again
            self._held[awaited[task]] = _Held((), self._clock() + FAILED)
        for task in done:
            task.result()

    async def _refresh(self, provider: Provider) -> None:
        try:
            models = await self._ask(provider)
            self._held[provider.name] = _Held(
                models, self._clock() + (KEPT if models else FAILED), {model.name: model for model in models}
            )
        finally:
            del self._asking[provider.name]

    async def _ask(self, provider: Provider) -> tuple[Model, ...]:
        heard = await ask(provider, self._settings, self._pool, {MARK: self.mark})
        if heard.fault:
            _log.info("provider %s: no models, as %s", provider.name, heard.fault)
        return heard.models


class Heard(Struct, frozen=True):
    """What a provider said when it was asked for its models: why there is no list, and the HTTP status, if any."""

    models: tuple[Model, ...] = ()
    fault: str = ""
    status: int = 0


async def ask(
    provider: Provider, settings: Settings, pool: Pool, headers: Mapping[str, str], *, with_key: bool = True
) -> Heard:
    """Ask a provider that is set up for its models, with these headers beside its own."""
    asked, heard = _shapes().asked.get(provider.dialect, _Asked()), Heard()
    for path in provider.models_paths or asked.paths:
        url = provider.root + path
        try:
            key = await pool.credentials.headers(provider, "GET", url, b"") if with_key else {}
            sent = {**headers, **asked.headers, **provider.headers, **key}
            status, body = await pool.get(url, sent, within=_LONGEST)
        except ApiError as cause:
            return Heard(fault=cause.failed.message, status=heard.status)
        rows = listed(body) if 200 <= status < 300 else None
        if rows is not None:
            return Heard(models_of(rows, provider, settings), status=status)
        heard = Heard(fault=f"HTTP {status}, and no list.", status=status)
    return heard


def usable(provider: Provider) -> bool:
    """Whether the provider can be asked for a list: it has one, an address, and a key if it needs one."""
    if provider.unlisted:
        return False
    try:
        provider.credentials()
    except ApiError:
        return False
    return True
