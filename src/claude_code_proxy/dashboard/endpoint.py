"""`/dashboard`: who may see it, and an answer for every request, whatever goes wrong.

Where PROXY_API_KEY is set, whoever signs in with it or sends it as a bearer token; else whoever is on this machine,
PROXY_OPEN or not. Origins and hosts were looked at before (`http.origin`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from claude_code_proxy.dashboard.answers import Answer, elsewhere, text
from claude_code_proxy.dashboard.sessions import (
    FORM,
    LASTS,
    SESSION,
    Sessions,
    Throttle,
    cookie,
    cookies,
    form_token,
    is_key,
    is_token,
)
from claude_code_proxy.http.asgi import ClientGone, every_header, read_body
from claude_code_proxy.http.crash import traced
from claude_code_proxy.http.guard import is_near
from claude_code_proxy.http.surface import DASHBOARD
from claude_code_proxy.ledger.database import LedgerError
from claude_code_proxy.wire.failure import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_code_proxy.dashboard.sessions import Session
    from claude_code_proxy.dashboard.site import Site
    from claude_code_proxy.health import Health
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.settings import Settings

INSTALL: Final = 'pip install "claude-code-proxy[dashboard]"'
SIGN_IN: Final = f"{DASHBOARD}/sign-in"
SIGN_OUT: Final = f"{DASHBOARD}/sign-out"
LIVE: Final = f"{DASHBOARD}/live"
ASSETS: Final = f"{DASHBOARD}/assets/"

_LARGEST_FORM: Final = 8192
_AT_ONCE: Final = 4
"""Pages that are made at once; more wait."""

_MISSING: Final = f"""The dashboard needs the optional extra "dashboard". Install it, and start the proxy again:

    {INSTALL}
"""
_NOT_HERE: Final = "Others can reach the proxy here, so its dashboard needs PROXY_API_KEY.\n"
_NO_KEY: Final = "Sign in at /dashboard, or send PROXY_API_KEY as a bearer token.\n"
_TOO_OFTEN: Final = "Too many wrong keys. Try again in a minute."
_WRONG: Final = "That is not this proxy's key."
_STALE: Final = "The form was too old. Try again."

_log = logging.getLogger(__name__)


class Dashboard:
    """The endpoint. `settings` gives those that hold now; `stopping` says whether the proxy is about to end."""

    def __init__(
        self, settings: Callable[[], Settings], metrics: Metrics, health: Health, stopping: Callable[[], bool]
    ) -> None:
        self._settings, self._metrics, self._health, self._stopping = settings, metrics, health, stopping
        self._sessions, self._throttle = Sessions(), Throttle()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._site: Site | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        del pinned
        try:
            answer = await self._answer(scope, receive, send)
        except ClientGone:
            return
        except ApiError as cause:
            answer = text(f"{cause}\n", cause.failed.status, *cause.failed.headers)
        except LedgerError as cause:
            answer = self._broken(str(cause))
        except Exception as cause:  # noqa: BLE001 -- the edge: the log says where the mistake was made
            _log.error("the dashboard failed\n%s", traced(cause))
            answer = self._broken(f"{type(cause).__name__}. The proxy's log says where.")
        if answer:
            await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        settings, path = self._settings(), scope["path"].rstrip("/")
        if not settings.proxy_api_key and not is_near(scope, settings):
            return text(_NOT_HERE, 403)
        site = self._site or await asyncio.to_thread(self._loaded)
        if site is None:
            return text(_MISSING, 501)
        if scope["method"] not in {"GET", "POST"} or (scope["method"] == "POST" and path not in {SIGN_IN, SIGN_OUT}):
            return text("Use GET here.\n", 405, (b"allow", b"GET"))
        headers = every_header(scope)
        if path.startswith(ASSETS):
            return site.asset(path.removeprefix(ASSETS), headers.get("if-none-match", ""))
        session: Session | None = None
        if key := settings.proxy_api_key:
            if path == SIGN_IN:
                return await self._sign_in(site, scope, receive, key)
            refused, session = self._admitted(scope, headers, key)
            if refused:
                return refused
        if path == SIGN_OUT:
            return await self._sign_out(scope, receive, session)
        if path == SIGN_IN:
            return elsewhere(DASHBOARD)
        if path == LIVE:
            return await site.live.answer(receive, send, self._stopping)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=False))
        async with self._room:
            return await asyncio.to_thread(site.answer, path, query, settings, session)

    def _loaded(self) -> Site | None:
        """The pages, with the packages that they need; None if those are not installed."""
        try:
            from claude_code_proxy.dashboard.site import Site  # noqa: PLC0415 -- optional, and heavy
        except ModuleNotFoundError as cause:
            if (cause.name or "").startswith("claude_code_proxy"):
                raise
            return None
        self._site = Site(self._metrics, self._health)
        return self._site

    def _admitted(self, scope: Scope, headers: Mapping[str, str], key: str) -> tuple[Answer | None, Session | None]:
        """What to answer whoever may not see it; else their session, if they have one."""
        if session := self._sessions.find(cookies(headers.get("cookie", "")).get(SESSION, ""), key):
            return None, session
        kind, _, sent = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and scope["method"] == "GET":
            if wait := self._throttle.wait(_peer(scope)):
                return text(_TOO_OFTEN + "\n", 429, _retry(wait)), None
            if is_key(sent.strip(), key):
                return None, None
            self._throttle.failed(_peer(scope))
            return text(_NO_KEY, 401), None
        if "text/html" in headers.get("accept", ""):
            return elsewhere(SIGN_IN), None
        return text(_NO_KEY, 401), None

    async def _sign_in(self, site: Site, scope: Scope, receive: Receive, key: str) -> Answer:
        sent = cookies(every_header(scope).get("cookie", ""))
        if self._sessions.find(sent.get(SESSION, ""), key):
            return elsewhere(DASHBOARD)
        if scope["method"] == "GET":
            return _form(site, scope, key)
        form = await _read(scope, receive)
        if wait := self._throttle.wait(_peer(scope)):
            return _form(site, scope, key, _TOO_OFTEN, 429, _retry(wait))
        if not is_token(form.get("token", ""), form_token(key, sent.get(FORM) or secrets.token_hex(16))):
            return _form(site, scope, key, _STALE, 403)
        if not is_key(form.get("key", ""), key):
            self._throttle.failed(_peer(scope))
            _log.warning("dashboard: a wrong key from %s", _peer(scope))
            return _form(site, scope, key, _WRONG, 401)
        secure = _is_secure(scope)
        return elsewhere(
            DASHBOARD,
            cookie(SESSION, self._sessions.begin(key), LASTS, secure=secure),
            cookie(FORM, "", 0, secure=secure),
        )

    async def _sign_out(self, scope: Scope, receive: Receive, session: Session | None) -> Answer:
        if scope["method"] != "POST" or session is None:
            return text("Use POST here.\n", 405, (b"allow", b"POST"))
        form = await _read(scope, receive)
        if not is_token(form.get("token", ""), session.token):
            return text("Refused: the form is none of this session.\n", 403)
        self._sessions.end(session)
        return elsewhere(SIGN_IN, cookie(SESSION, "", 0, secure=_is_secure(scope)))

    def _broken(self, why: str) -> Answer:
        """The page could not be made. What the ledger itself says may tell more."""
        ledger = self._metrics.ledger
        failing = ledger.told().failing if ledger else ""
        words = f"The page could not be made: {why}" + (f"\nThe ledger cannot be written: {failing}" if failing else "")
        return self._site.broken(words) if self._site else text(words + "\n", 500)


def _form(
    site: Site, scope: Scope, key: str, problem: str = "", status: int = 200, *headers: tuple[bytes, bytes]
) -> Answer:
    """The page that asks for the key. Its form belongs to a cookie that it sets."""
    ident = secrets.token_hex(16)
    mark = cookie(FORM, ident, 3600, secure=_is_secure(scope))
    return site.sign_in(form_token(key, ident), problem, status, mark, *headers)


async def _read(scope: Scope, receive: Receive) -> dict[str, str]:
    body = await read_body(scope, receive, _LARGEST_FORM, 10.0, lambda _: None)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=8))
    except ValueError:  # more than any form of ours has
        return {}


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("?",))[0])


def _is_secure(scope: Scope) -> bool:
    """Whether the browser speaks TLS, to us or to what is before us, of which its Origin tells."""
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    return scope.get("scheme") == "https" or any(value.startswith(b"https://") for value in origins)


def _retry(seconds: int) -> tuple[bytes, bytes]:
    return b"retry-after", str(seconds).encode()
