"""Which provider and which of its models a request goes to. Pure.

A model pinned in the URL is taken as it stands. A model named in the body may name its provider
(`ollama/…`, `qwen/…`, `openrouter:…`, `claude-via-openrouter:…`), may be one of Claude's names, which stand
for the user's BIG_MODEL and SMALL_MODEL, or is a model of the preferred provider. The [routing] tables of the
user's config.toml add names, say more about Claude's, and give targets others to fall back on.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from claude_code_proxy.providers import find_provider
from claude_code_proxy.tables import TIERS, several
from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

_SMALL: Final = "haiku"
_LONG_CONTEXT: Final = "[1m]"
"""A suffix that asks Claude for its long window. Clients strip it; one that does not means the same model."""

MOST, LONGEST = 256, 200
"""Ways that are remembered, and characters of names in them: both are the clients' to choose."""

VIA: Final = "claude-via-"
"""What may stand before `provider:model` or an alias: Claude Code's picker shows no ids but those with `claude`."""


class Target(Struct, frozen=True, dict=True):
    """A model at a provider, the rule that chose it, and the targets to try in its place when it fails."""

    provider: Provider
    model: str
    rule: str
    fallbacks: tuple[Target, ...] = ()

    @cached_property
    def name(self) -> str:
        """`provider:model`."""
        return f"{self.provider.name}:{self.model}"

    def __str__(self) -> str:
        return self.name


class Routes:
    """`route` under these settings, by what it was asked of late: most requests ask what the last one did."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str, str], Target] = {}

    def to(self, pinned: str, model: str, kind: str = "") -> Target:
        """The target of a request. Raises `ApiError`, see `route`."""
        asked = (pinned, model, kind)
        target = self._known.get(asked)
        if target is None:
            target = route(pinned, model, self._settings, kind)
            if len(pinned) + len(model) <= LONGEST:
                if len(self._known) >= MOST:
                    del self._known[next(iter(self._known))]
                self._known[asked] = target
        return target


def route(pinned: str, model: str, settings: Settings, kind: str = "") -> Target:
    """The target of a request: `pinned` is what its URL names (`provider:model`, or empty), `model` its body.

    `kind` is the kind that it is of (see `kinds`), or empty. Raises `ApiError`: 400 for a URL that names no known
    provider or no model, 404 for a `claude-via-…` of no known provider.
    """
    if pinned:
        return _spoken(_pinned(pinned, model, settings))
    chain = list(_chain(model.removesuffix(_LONG_CONTEXT), settings, kind))
    if settings.tables.fallbacks:
        chain = [*chain, *_fallbacks(chain, settings)]
    once: dict[str, Target] = {}
    for target in chain:
        once.setdefault(str(target), target)
    first, *others = map(_spoken, once.values())
    return replace(first, fallbacks=tuple(others)) if others else first


def _spoken(target: Target) -> Target:
    """The target with its provider in the dialect that it speaks for this model."""
    provider = target.provider.for_model(target.model)
    return target if provider is target.provider else replace(target, provider=provider)


def _chain(model: str, settings: Settings, kind: str) -> Iterable[Target]:
    """The target that a model's name leads to, and those that the user named behind it."""
    tables, name = settings.tables, model.lower()
    alias = name if name in tables.aliases else name.removeprefix(VIA)  # as the list of models shows it
    if to := tables.aliases.get(alias):
        return _aimed(several(to), f"the alias {alias!r}", settings)
    if named := _named(model, settings):
        return (named,)
    if not _is_claude(name):
        return (_preferred(model, "the preferred provider", settings),)
    if kind and (to := tables.kinds.target(kind)):
        return _aimed(several(to), f"the kind {kind!r} of a request for Claude", settings)
    tier = next((word for word in TIERS if word in name), "default")
    for key in (tier, "default"):
        if to := getattr(tables.tiers, key):
            return _aimed(several(to), f"the tier {key!r} of Claude", settings)
    return _claude(model, settings)


def _fallbacks(chain: Sequence[Target], settings: Settings) -> Iterator[Target]:
    """What the [routing.fallbacks] of these targets name, and of those in turn; each target once."""
    tables = settings.tables
    named = {str(next(_aimed((name,), "", settings))): several(to) for name, to in tables.fallbacks.items()}
    ahead = list(chain)
    known = set(map(str, chain))
    for target in ahead:  # which grows on the way
        for more in _aimed(named.get(str(target), ()), f"a fallback of {target}", settings):
            if str(more) not in known:
                known.add(str(more))
                ahead.append(more)
                yield more


def _aimed(wishes: Iterable[str], rule: str, settings: Settings) -> Iterator[Target]:
    """The targets that the user's tables name. Aliases lead to theirs; that they end somewhere was checked."""
    for wish in wishes:
        if to := settings.tables.aliases.get(wish.lower()):
            yield from _aimed(several(to), f"{rule}, and the alias {wish.lower()!r}", settings)
        elif named := _named(wish, settings):
            yield Target(named.provider, named.model, f"{rule}, and {named.rule}")
        else:
            yield _preferred(wish, f"{rule}, at the preferred provider", settings)


def _preferred(model: str, rule: str, settings: Settings) -> Target:
    return Target(settings.providers[settings.preferred_provider], model, rule)


def _pinned(pinned: str, asked: str, settings: Settings) -> Target:
    name, colon, model = pinned.partition(":")
    provider = find_provider(settings.providers, name.strip())
    if not colon or not provider:
        known = ", ".join(settings.providers)
        problem = f"{name!r} is no provider" if colon else f"{pinned!r} names no provider"
        raise error("invalid_request_error", f"{problem}. Use /provider:model with one of: {known}.")
    if not (model := model.strip()):
        if provider.passes_paths and asked:
            return Target(provider, asked, "the URL, which leaves the model to the body")
        raise error("invalid_request_error", f"The URL names the provider {name!r} but no model after the colon.")
    if provider.vendors_elsewhere and (vendor := _vendor(model, settings)):
        return Target(vendor, model, "the URL and the vendor's prefix")
    return Target(provider, model, "the URL")


def _named(model: str, settings: Settings) -> Target | None:
    """A model that names its provider itself."""
    if explicit := _explicit(model, settings):
        return explicit
    if "/" not in model:
        return None
    for provider in settings.providers.values():
        if (bare := _without_prefix(model, provider)) != model:
            return Target(provider, bare, "the provider's prefix")
    if vendor := _vendor(model, settings):
        return Target(vendor, model, "the vendor's prefix")
    return None


def _explicit(model: str, settings: Settings) -> Target | None:
    """`provider:model`, or the same behind the prefix that the list of models gives it."""
    via = model.lower().startswith(VIA)
    head, colon, rest = (model[len(VIA) :] if via else model).partition(":")
    provider = find_provider(settings.providers, head) if colon and rest else None
    if via and colon and not provider:  # it was listed once; another model must not answer in its place
        raise error("not_found_error", f"There is no model {model[:200]!r}: {head[:100]!r} is no provider here.")
    if provider is None or (not via and _means_a_model(provider, settings)):
        return None
    return Target(provider, rest, "the provider in the model's name")


def _means_a_model(provider: Provider, settings: Settings) -> bool:
    """Whether a provider's name before a colon is rather the beginning of a model's: `mistral:7b` at Ollama."""
    preferred = settings.providers[settings.preferred_provider]
    return provider.named_like_a_model and preferred.colon_names and not provider.ready


def _vendor(model: str, settings: Settings) -> Provider | None:
    head, slash, rest = model.partition("/")
    if not slash or not rest:
        return None
    return next((row for row in settings.providers.values() if head.lower() in row.vendors), None)


def _is_claude(name: str) -> bool:
    """Whether a model's name, in lower case, is one of Claude's."""
    return name.startswith("claude") or any(word in name for word in TIERS)


def _claude(model: str, settings: Settings) -> Iterable[Target]:
    """One of Claude's names: itself at Anthropic, elsewhere the user's model of that size."""
    preferred = settings.providers[settings.preferred_provider]
    if preferred.serves_claude:
        return (Target(preferred, model, "a Claude model at its own provider"),)
    variable = "SMALL_MODEL" if _SMALL in model.lower() else "BIG_MODEL"
    chosen, rule = getattr(settings, variable.lower()), f"{variable} for a Claude model"
    named = _named(chosen, settings) if preferred.vendors_elsewhere else _explicit(chosen, settings)
    if named or chosen.lower() in settings.tables.aliases:
        return _aimed((chosen,), rule, settings)
    return (Target(preferred, _without_prefix(chosen, preferred), rule),)


def _without_prefix(model: str, provider: Provider) -> str:
    """The model's name at this provider: `name` where it is written `prefix/name`."""
    head, slash, rest = model.partition("/")
    return rest if slash and rest and provider.prefix and head.lower() == provider.prefix else model
