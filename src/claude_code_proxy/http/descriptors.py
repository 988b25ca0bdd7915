"""As many file descriptors as the streams need, where the system allows fewer unless it is asked (1024 on Linux)."""

from __future__ import annotations

import contextlib

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_OTHERS = 256
"""Descriptors beside those of the streams, which have two connections each."""


def allow_connections(streams: int) -> None:
    """Raise this process's own limit, as far as the system lets it."""
    if resource is None:
        return
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited, wanted = resource.RLIM_INFINITY, 2 * streams + _OTHERS
    if most != unlimited:
        wanted = min(wanted, most)
    if least != unlimited and least < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
