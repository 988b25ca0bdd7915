"""Signing in with PROXY_API_KEY, and the cookie that stands for it from then on.

A session is a random id with its end, signed with a secret that is made of PROXY_API_KEY: every process that knows the
key knows the session, another key ends it, and the key itself is in no cookie. That a session was signed out is known
to the process that was told so; elsewhere it ends with its cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict, deque
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

LASTS: Final = 12 * 3600
"""Seconds that a session lasts."""

FAILURES: Final = 20
"""Wrong keys within a minute, after which those of this peer are not looked at."""

SESSION: Final = "ccp_session"
FORM: Final = "ccp_form"

_MINUTE: Final = 60.0
_PEERS: Final = 1024
_SIGNED_OUT: Final = 4096
_ID: Final = 32
_VALUE: Final = re.compile(r"([\w-]{20,64})\.(\d{1,12})\.([0-9a-f]{64})", re.ASCII)


class Session(Struct, frozen=True):
    """A session: its id, and what its forms must carry, which no page of others can know."""

    id: str
    token: str


class Sessions:
    """The sessions of whoever knows `key`. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._over: OrderedDict[str, None] = OrderedDict()

    def begin(self, key: str) -> str:
        """The value of a new session's cookie."""
        ident, end = secrets.token_urlsafe(_ID), int(self._clock()) + LASTS
        return f"{ident}.{end}.{_signed(key, 'session', f'{ident}.{end}')}"

    def find(self, value: str, key: str) -> Session | None:
        """The session of a cookie's value; None if there is none, or none any more."""
        found = _VALUE.fullmatch(value)
        if not found:
            return None
        ident, end, mark = found.groups()
        genuine = hmac.compare_digest(mark, _signed(key, "session", f"{ident}.{end}"))
        if not genuine or int(end) <= self._clock() or ident in self._over:
            return None
        return Session(ident, form_token(key, ident))

    def end(self, session: Session) -> None:
        """It is signed out."""
        self._over[session.id] = None
        if len(self._over) > _SIGNED_OUT:
            self._over.popitem(last=False)


class Throttle:
    """Who has sent wrong keys lately. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, peer: str) -> int:
        """Seconds until a key of this peer is looked at again; 0 if it is now."""
        times = self._failed.get(peer)
        if not times or len(times) < FAILURES:
            return 0
        left = times[0] + _MINUTE - self._clock()
        return int(left) + 1 if left > 0 else 0

    def failed(self, peer: str) -> None:
        """It sent a wrong key."""
        times = self._failed.setdefault(peer, deque(maxlen=FAILURES))
        times.append(self._clock())
        self._failed.move_to_end(peer)
        if len(self._failed) > _PEERS:
            self._failed.popitem(last=False)


def form_token(key: str, ident: str) -> str:
    """What a form of this session, or of whoever has this cookie, must carry."""
    return _signed(key, "form", ident)


def is_key(sent: str, key: str) -> bool:
    """Whether it is the key; how long that takes says nothing of it."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), key.encode())


def is_token(sent: str, token: str) -> bool:
    """Whether it is the token of a form."""
    return hmac.compare_digest(sent.encode("utf-8", "replace"), token.encode())


def cookies(header: str) -> dict[str, str]:
    """The cookies of a request, those that can be read."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def cookie(name: str, value: str, lasts: int, *, secure: bool) -> tuple[bytes, bytes]:
    """The header that sets a cookie for the dashboard alone, which no script can read; `lasts` 0 takes it away."""
    words = f"{name}={value}; Path=/dashboard; Max-Age={lasts}; HttpOnly; SameSite=Strict"
    return b"set-cookie", (words + ("; Secure" if secure else "")).encode()


def _signed(key: str, what: str, text: str) -> str:
    secret = hmac.digest(key.encode(), b"claude-code-proxy dashboard", "sha256")
    return hmac.new(secret, f"{what}:{text}".encode(), hashlib.sha256).hexdigest()
