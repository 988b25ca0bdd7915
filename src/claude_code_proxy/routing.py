"""Which provider and which of its models a request goes to. Pure.

A model pinned in the URL is taken as it stands. A model named in the body may name its provider
(`ollama/…`, `qwen/…`, `openrouter:…`, `claude-via-openrouter:…`), may be one of Claude's names, which stand
for the user's BIG_MODEL and SMALL_MODEL, or is a model of the preferred provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy.settings import find_provider
from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

_SMALL: Final = ("haiku",)
_BIG: Final = ("sonnet", "opus", "fable")
_LONG_CONTEXT: Final = "[1m]"
"""A suffix that asks Claude for its long window. Clients strip it; one that does not means the same model."""

VIA: Final = "claude-via-"
"""What may stand before `provider:model`: Claude Code's picker shows no models but those with `claude` in their id."""


class Target(Struct, frozen=True):
    """A model at a provider, and the rule that chose it."""

    provider: Provider
    model: str
    rule: str

    def __str__(self) -> str:
        return f"{self.provider.name}:{self.model}"


def route(pinned: str, model: str, settings: Settings) -> Target:
    """The target of a request: `pinned` is what its URL names (`provider:model`, or empty), `model` its body.

    Raises `ApiError`: 400 for a URL that names no known provider or no model, 404 for a `claude-via-…` of no
    known provider.
    """
    if pinned:
        return _pinned(pinned, model, settings)
    model = model.removesuffix(_LONG_CONTEXT)
    if named := _named(model, settings):
        return named
    if tier := _tier(model, settings):
        return tier
    return Target(settings.providers[settings.preferred_provider], model, "the preferred provider")


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
    head, slash, rest = model.partition("/")
    if slash and rest:
        for provider in settings.providers.values():
            if provider.prefix and provider.prefix == head.lower():
                return Target(provider, rest, "the provider's prefix")
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


def _tier(model: str, settings: Settings) -> Target | None:
    """One of Claude's names: itself at Anthropic, elsewhere the user's model of that size."""
    name = model.lower()
    small = any(word in name for word in _SMALL)
    if not small and not name.startswith("claude") and not any(word in name for word in _BIG):
        return None
    preferred = settings.providers[settings.preferred_provider]
    if preferred.serves_claude:
        return Target(preferred, model, "a Claude model at its own provider")
    chosen = settings.small_model if small else settings.big_model
    rule = f"{'SMALL_MODEL' if small else 'BIG_MODEL'} for a Claude model"
    named = _named(chosen, settings) if preferred.vendors_elsewhere else _explicit(chosen, settings)
    if named:
        return Target(named.provider, named.model, f"{rule}, and {named.rule}")
    return Target(preferred, chosen, rule)
