"""The model servers that are expected on this machine, and whether anything is set up at all."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

NOTHING: Final = "No provider has a key, and no local server runs. `claude-code-proxy init` sets one up."

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PATIENCE: Final = 0.2
"""Seconds for a connection on this machine."""


def is_local(row: Provider) -> bool:
    """Whether the provider is a server on this machine."""
    return urlsplit(row.base_url).hostname in _LOOPBACK


def nothing_is_set_up(settings: Settings) -> bool:
    """Whether there is nothing to ask: no key, no address of the user's, no server on this machine."""
    ready = [row for row in settings.providers.values() if row.ready or (row.client_credentials and row.base_url)]
    return not any(row.api_key or not is_local(row) or _listens(row) for row in ready)


def _listens(row: Provider) -> bool:
    parts = urlsplit(row.base_url)
    with suppress(OSError, ValueError):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), _PATIENCE).close()
        return True
    return False
