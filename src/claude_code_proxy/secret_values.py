"""The keys, tokens and passwords that the settings hold: what must be in nothing that is kept or passed on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

SECRET: Final = re.compile("auth|cookie|key|secret|token|passw|credential", re.IGNORECASE)
"""In the name of a header whose value is one."""

_OPEN: Final = frozenset({"region", "service", "profile", "file"})
"""Options of those who sign requests that are no secrets."""


def secrets_of(settings: Settings) -> Iterator[str]:
    """Each of them; some are empty."""
    yield settings.proxy_api_key
    yield settings.web_search_api_key
    for url in (settings.upstream_proxy, settings.proxy_ledger, settings.web_search_base_url):
        yield unquote(urlsplit(url).password or "")
    for provider in settings.providers.values():
        for one in (provider, *provider.spoken):
            yield from _of_provider(one)


def _of_provider(provider: Provider) -> Iterator[str]:
    yield provider.api_key
    yield from provider.api_keys
    yield from (value for name, value in provider.auth_options.items() if name not in _OPEN)
    yield from (value.rpartition(" ")[2] for name, value in provider.headers.items() if SECRET.search(name))
