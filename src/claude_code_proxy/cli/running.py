"""A proxy of ours that runs: is there one, and what does it say. Nothing but loopback is asked, and no HTTP proxy."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

_GREETING: Final = {"message": "Claude Code Proxy"}
_PATIENCE: Final = 2.0
"""Seconds for an answer."""

_MOST: Final = 4 << 20


def ask(host: str, port: int, path: str, key: str = "", *, within: float = _PATIENCE) -> tuple[int, Any]:
    """Status and JSON of what is there; (0, None) if nobody answers, None for what is no JSON.

    `key` is PROXY_API_KEY, which goes to nobody but a proxy of this user: see `greeting` and `ports.holder`.
    """
    with closing(HTTPConnection(host, port, timeout=within)) as line, suppress(OSError, HTTPException):
        line.request("GET", path, headers={"x-api-key": key} if key else {})
        answer = line.getresponse()
        body = answer.read(_MOST)
        with suppress(ValueError):
            return answer.status, json.loads(body)
        return answer.status, None
    return 0, None


def greeting(host: str, port: int) -> bool:
    """Whether a proxy of ours answers there."""
    return ask(host, port, "/") == (200, _GREETING)
