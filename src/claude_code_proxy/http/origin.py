"""Keeps web pages out: a browser on this machine can reach the proxy, and so can any page that it shows.

A page of another site is known by its Origin and Sec-Fetch-Site, which browsers set and pages cannot change; one
whose name was made to lead to this machine (DNS rebinding), by the Host that it asked for. Where clients need
PROXY_API_KEY the name may be any: no page knows the key.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from claude_code_proxy.http.asgi import Scope
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.wire.failure import ApiError

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_HERE: Final = frozenset({"localhost", "host.docker.internal"})
_LOOKED_AT: Final = frozenset({b"host", b"origin", b"sec-fetch-site"})
_OWN: Final = frozenset({b"none", b"same-origin"})


def keep_out(scope: Scope, settings: Settings) -> None:
    """Let nobody else's pages in.

    Raises `ApiError`: 403 for a request that a page of another site made, or that names no host of ours; 400 without
    exactly one Host.
    """
    told = [header for header in scope["headers"] if header[0] in _LOOKED_AT]
    hosts = [value for name, value in told if name == b"host"]
    if len(hosts) != 1:
        raise error("invalid_request_error", "Exactly one Host header is needed.", final=True)
    host = hosts[0].decode("latin-1")
    if not settings.proxy_api_key and not _is_ours(host, settings.proxy_hosts):
        raise _refused("the Host is none of this proxy's names; PROXY_HOSTS adds one")
    for name, value in told:
        if name == b"origin" and not _same(value.decode("latin-1"), host):
            raise _refused("web pages of other origins may not use this proxy")
        if name == b"sec-fetch-site" and value not in _OWN:
            raise _refused("web pages of other sites may not use this proxy")


@lru_cache(64)
def _is_ours(host: str, known: tuple[str, ...]) -> bool:
    """Whether a Host is this machine by name or address, or one that the user named."""
    found = _HOST.fullmatch(host)
    if not found:
        return False
    name = found["name"].lower()
    if name in _HERE or name in known or "*" in known:
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    return not address.is_unspecified  # nobody can make an address lead elsewhere


def _same(origin: str, host: str) -> bool:
    return origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


def _refused(why: str) -> ApiError:
    return error("permission_error", f"Refused: {why}.", final=True)
