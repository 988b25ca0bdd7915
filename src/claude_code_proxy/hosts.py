"""Which hosts are near: on this machine or in a private network."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

_SHARED: Final = ip_network("100.64.0.0/10")
"""Addresses of carriers and of private overlay networks (RFC 6598)."""

_SUFFIXES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Names that mean nothing outside a private network (RFC 6761, 6762, 8375; `.internal` by ICANN, 2024)."""


@lru_cache(maxsize=256)
def is_near(url: str) -> bool:
    """Whether the host of a URL is near, as far as its name tells: nothing is looked up."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith(_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local or address in _SHARED
