"""Who may use the proxy: everyone who can reach it, or those who send PROXY_API_KEY."""

from __future__ import annotations

import hmac
import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.settings import Settings

_PLACES: Final = ("x-api-key", "authorization")
_SCHEME: Final = "bearer "
_OPTION: Final = "--host"

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


def warn_if_open(settings: Settings, argv: Sequence[str]) -> None:
    """Say so when the command line makes the server listen beyond this machine and no key is asked for."""
    host = _host(argv)
    if host and not settings.proxy_api_key and not _is_here(host):
        _log.warning(
            "Listening on %s without PROXY_API_KEY: whoever can reach this machine can spend your providers' keys. "
            "Set PROXY_API_KEY, unless it is published on this machine only.",
            host,
        )


def _host(argv: Sequence[str]) -> str:
    """The value of --host, which uvicorn's command and ours share; empty if there is none."""
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if word == _OPTION:
            return after
        if word.startswith(f"{_OPTION}="):
            return word.removeprefix(f"{_OPTION}=")
    return ""


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
