"""Who may use the proxy: those who send PROXY_API_KEY; where none is set, whoever is on this machine.

What counts is the address that the connection came in on, never where it came from, which anyone in between can change.
"""

from __future__ import annotations

import hmac
import logging
import socket
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.http.asgi import Scope
    from claude_code_proxy.settings import Settings

_PLACES: Final = ("x-api-key", "authorization")
_SCHEME: Final = "bearer "
_OPTION: Final = "--host"
_FIX: Final = "Set PROXY_API_KEY to something long and random, and give it to Claude Code as ANTHROPIC_AUTH_TOKEN."

_log = logging.getLogger(__name__)


def admit(headers: Mapping[str, str], settings: Settings) -> Mapping[str, str]:
    """The headers of a request whose `x-api-key` or bearer token is PROXY_API_KEY, without that, which goes no further.

    Where none is set, every request is let in with all its headers. Names are in lower case. Raises `ApiError` (401).
    """
    if not settings.proxy_api_key:
        return headers
    wanted = settings.proxy_api_key.encode()
    ours = [name for name in _PLACES if hmac.compare_digest(_token(headers.get(name, "")).encode("latin-1"), wanted)]
    if not ours:
        message = "This proxy wants its own key: send its PROXY_API_KEY as x-api-key or as a bearer token."
        raise error("authentication_error", message, final=True)
    return {name: value for name, value in headers.items() if name not in ours}


def _token(value: str) -> str:
    return value[len(_SCHEME) :].strip() if value.lower().startswith(_SCHEME) else value


def keep_private(scope: Scope, settings: Settings) -> None:
    """Raises `ApiError` (403) for a request that came in where others can, unless PROXY_API_KEY is asked for.

    The server tells its address of the connection (uvicorn does so even where it listens on all). A Unix socket is
    none of this machine's: what is put before one serves others.
    """
    if settings.proxy_api_key or settings.proxy_open:
        return
    if not is_near(scope, settings):
        raise error("permission_error", f"Refused: others can reach the proxy here. {_FIX}", final=True)


def is_near(scope: Scope, settings: Settings) -> bool:
    """Whether a request came in where only this machine can."""
    return _is_here(settings.proxy_published_on or str((scope.get("server") or ("",))[0]))


def open_at(host: str, settings: Settings) -> str:
    """What is wrong with listening on `host`, in two lines, the second of which is the remedy; empty if nothing is."""
    place = settings.proxy_published_on or host
    if settings.proxy_api_key or settings.proxy_open or _all_here(place):
        return ""
    return f"Listening on {place or 'all addresses'} would let others spend your providers' keys.\n{_FIX}"


def warn_if_open(settings: Settings, argv: Sequence[str]) -> None:
    """Say so when the command line makes the server listen beyond this machine and no key is asked for."""
    host = settings.proxy_published_on or _host(argv)
    if host and not settings.proxy_api_key and not _all_here(host):
        if settings.proxy_open:
            _log.warning("Listening on %s without PROXY_API_KEY: whoever reaches it spends your providers' keys.", host)
        else:
            _log.warning("Listening on %s without PROXY_API_KEY: others will be refused. %s", host, _FIX)


def _host(argv: Sequence[str]) -> str:
    """The value of --host, which uvicorn's command and ours share; empty if there is none."""
    for word, after in pairwise([*argv, ""]):
        if word == _OPTION:
            return after
        if word.startswith(f"{_OPTION}="):
            return word.removeprefix(f"{_OPTION}=")
    return ""


def _all_here(host: str) -> bool:
    """Whether all that a name or a spelling of an address stands for is this machine's alone.

    `0`, `0x0` and an empty name are all addresses; the system knows more such spellings.
    """
    if _is_here(host):
        return True
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return True  # it is none at all
    return all(_is_here(str(address[0])) for *_, address in found)


@lru_cache(64)
def _is_here(host: str) -> bool:
    """Whether an address in numbers is a loopback address."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
