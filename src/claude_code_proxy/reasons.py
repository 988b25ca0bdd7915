"""Why an upstream could not be reached or stopped talking, in words that can be shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import aiohttp
from msgspec.structs import replace

from claude_code_proxy.wire.failure import Failed, failed

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "x-amz-security-token")

_GUESSABLE = 6
"""Characters of a credential that is none: shorter ones are words like `any`."""


def reason(cause: Exception, host: str) -> Failed:
    """Why an upstream could not be reached or stopped talking, in words that can be shown."""
    match cause:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(cause.certificate_error, "verify_message", "") or "it is not trusted"
            message = f"The TLS certificate of {host} could not be verified: {why}. See SSL_CERT_FILE for your own."
            return _lasting(message)
        case aiohttp.ClientConnectorSSLError():
            return _lasting(
                f"{host} does not speak TLS as it should. Is the provider's base URL right, https and port?"
            )
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return _lasting("UPSTREAM_PROXY did not connect us. Is it right, and does it let us through?")
        case aiohttp.ConnectionTimeoutError():
            return failed("timeout_error", f"{host} did not accept a connection in time.")
        case TimeoutError():
            return failed("timeout_error", f"{host} was silent for too long.")
        case aiohttp.ClientConnectorDNSError():
            return _lasting(f"Cannot connect to {host} (unknown host). Is the provider's base URL right?")
        case aiohttp.ClientConnectorError():
            reason = os.strerror(cause.os_error.errno) if cause.os_error.errno else "no reason given"
            message = f"Cannot connect to {host} ({reason}). Is it running, and is the provider's base URL right?"
            return failed("api_error", message, status=502)
        case aiohttp.ClientResponseError():
            return failed("api_error", f"{host} answered something that is not HTTP as it should be.", status=502)
        case _:
            return replace(failed("api_error", f"{host} broke the connection.", status=502), unanswered=True)


def hushed(body: bytes, sent: Mapping[str, str]) -> bytes:
    """An error's body without the credentials that the request carried: some repeat what they refuse."""
    for name in _CREDENTIALS:
        if len(secret := sent.get(name, "").rpartition(" ")[2]) >= _GUESSABLE:
            body = body.replace(secret.encode(), b"***")
    return body


def _lasting(message: str) -> Failed:
    return replace(failed("api_error", message, status=502), lasting=True)
