"""Any credentials and any Host make an answer, and only the right key lets in."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi import Exchange
from claude_code_proxy.app import create_app
from claude_code_proxy.settings import load_settings

KEY = "the-right-key-0123456789"
APP = create_app(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "PROXY_API_KEY": KEY}))
OPEN = create_app(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""}))
VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [KEY[:-1], f"{KEY}x", f"Bearer {KEY}x", "Bearer", "bearer  ", "Basic eA==", KEY.upper(), "\xe9"]
    ).map(lambda text: text.encode("latin-1")),
)
NAMES = st.sampled_from(
    [b"x-api-key", b"authorization", b"proxy-authorization", b"cookie", b"origin", b"sec-fetch-site"]
)


def asked(app: object, headers: list[tuple[bytes, bytes]], path: str) -> Exchange:
    exchange = Exchange(b"{}", path)
    exchange.scope["headers"] = [*headers, (b"content-type", b"application/json")]
    asyncio.run(_run(exchange, app))
    assert exchange.whole
    return exchange


async def _run(exchange: Exchange, app: object) -> None:
    await exchange.run(app)  # type: ignore[arg-type]


@pytest.mark.fault("F-05", "C-27", "S-03")
@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sampled_from(["/v1/messages", "/v1/messages/count_tokens", "/x:y/v1/messages"]),
)
def test_any_credentials(headers: list[tuple[bytes, bytes]], path: str) -> None:
    exchange = asked(APP, [(b"host", b"localhost"), *headers], path)
    assert exchange.status in {400, 401, 403}
    assert KEY not in exchange.body.decode()
    assert json.loads(exchange.body)["type"] == "error"


@pytest.mark.fault("F-05", "S-02")
@given(st.lists(st.binary(max_size=30), max_size=3))
def test_any_host(hosts: list[bytes]) -> None:
    exchange = asked(OPEN, [(b"host", host) for host in hosts], "/v1/messages")
    assert exchange.status in {400, 403}
