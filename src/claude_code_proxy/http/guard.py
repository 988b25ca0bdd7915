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

_SCHEME: Final = "bearer "
_OPTION: Final = "--host"

_log = logging.getLogger(__name__)


def admit(headers: Mapping[str, str], settings: Settings) -> None:
    """Let a request in if its `x-api-key` or bearer token is PROXY_API_KEY, or none is set.

    `headers` have names in lower case. Raises `ApiError` (401).
    """
    if not settings.proxy_api_key:
        return
    token = headers.get("authorization", "")
    token = token[len(_SCHEME) :].strip() if token.lower().startswith(_SCHEME) else ""
    wanted = settings.proxy_api_key.encode()
    if not any(hmac.compare_digest(one.encode("latin-1"), wanted) for one in (headers.get("x-api-key", ""), token)):
        message = "This proxy wants its own key: send its PROXY_API_KEY as x-api-key or as a bearer token."
        raise error("authentication_error", message, final=True)


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
