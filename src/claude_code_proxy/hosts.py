"""Which hosts are near: on this machine or in a private network. Which address is our own."""

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


class Here:
    """The addresses at which this process is reached, as its requests tell them."""

    def __init__(self) -> None:
        self._places: set[tuple[str, int]] = set()

    def reached(self, server: object) -> None:
        """Learn ASGI's `server` of a request; a Unix socket has no port."""
        if type(server) is tuple and server in self._places:  # nearly always
            return
        match server:
            case (str(host), int(port)):
                self._places.add((host, port))

    def leads(self, url: str) -> bool:
        """Whether a URL leads back here, as far as its host tells: nothing is looked up."""
        host, port = _place(url)
        return any(port == own and _same(host, place) for place, own in self._places)


@lru_cache(maxsize=256)
def _place(url: str) -> tuple[str, int]:
    """The host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


@lru_cache(maxsize=256)
def _same(host: str, place: str) -> bool:
    """Whether a host's name or address means this address of ours; `localhost` and all zeros mean this machine."""
    try:
        own = ip_address(place)
    except ValueError:
        return host == place
    own = getattr(own, "ipv4_mapped", None) or own
    try:
        address = ip_address(host)
    except ValueError:
        return own.is_loopback and (host == "localhost" or host.endswith(".localhost"))
    address = getattr(address, "ipv4_mapped", None) or address
    return address == own or (own.is_loopback and address.is_unspecified)
