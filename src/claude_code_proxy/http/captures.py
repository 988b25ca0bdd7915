"""Which requests are captured, and what must not be kept of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from claude_code_proxy.ledger.capture import Capture
from claude_code_proxy.ledger.masking import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_code_proxy.http.access import Record
    from claude_code_proxy.ledger.writer import Ledger
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

_SECRET: Final = re.compile("auth|cookie|key|secret|token|passw|credential", re.IGNORECASE)
"""In the name of a header or an option whose value is one."""

_OPEN: Final = frozenset({"region", "service", "profile", "file"})


class Captures:
    """Captures under these settings."""

    def __init__(self, settings: Settings, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._secrets = written(secrets_of(settings))

    def of(self, record: Record, body: bytes) -> Capture | None:
        """The capture of a request that has this body; None without a ledger."""
        if not self._ledger:
            return None
        capture = Capture(self._ledger, record.request_id, record.since, self._secrets)
        theirs = (value.rpartition(" ")[2] for name, value in record.headers.items() if _SECRET.search(name))
        capture.requested(body, theirs)
        return capture


def secrets_of(settings: Settings) -> Iterator[str]:
    """Every key, token and password that is set."""
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
    yield from (value.rpartition(" ")[2] for name, value in provider.headers.items() if _SECRET.search(name))
