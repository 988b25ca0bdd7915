"""Web pages of others can neither use the proxy nor read from it."""

from __future__ import annotations

import json

import pytest

from asgi import Exchange
from claude_code_proxy.app import create_app
from claude_code_proxy.settings import load_settings

PATHS = [
    "/",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/status",
    "/metrics",
    "/openai:x/v1/messages",
    "/anthropic:/v1/files",
]


async def asked(
    path: str = "/", headers: list[tuple[str, str]] | None = None, *, method: str = "GET", **env: str
) -> Exchange:
    """The answer to a request with these headers and no others."""
    exchange = Exchange(b"{}", path)
    exchange.scope |= {
        "method": method,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers or []],
    }
    await exchange.run(create_app(load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", **env})))
    return exchange


def refused(exchange: Exchange) -> bool:
    """Whether it was refused as it should be: without a word that could be read elsewhere, or of who asked."""
    names = {name for name in exchange.headers if name.startswith("access-control")}
    assert names == set()
    if exchange.status != 403:
        return False
    error = json.loads(exchange.body)["error"]
    assert error["type"] == "permission_error"
    assert exchange.headers["x-should-retry"] == "false"
    assert "evil" not in error["message"]
    return True


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:4000", "LocalHost:1", "127.0.0.1:4000", "127.9.9.9", "[::1]:4000", "[::1]"),
        *("192.168.1.5:4000", "10.0.0.1", "[fe80::1]:80", "host.docker.internal:4000"),
    ],
)
async def test_this_machine_by_name_or_address(host: str) -> None:
    assert (await asked(headers=[("host", host)])).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        *("evil.test", "evil.test:4000", "", ":4000", "localhost.", "localhost:", "localhost:x", "localhost.evil.test"),
        *("127.0.0.1.evil.test", "a@localhost", "localhost@evil.test", "localhost/x", "0.0.0.0:4000", "[::]", "0"),
        *("2130706433", "0x7f.1", "127.1", "\xe9vil", "localhost evil", "[::1", "::1"),
    ],
)
@pytest.mark.fault("S-02")
async def test_any_other_name_is_refused(host: str, path: str) -> None:
    assert refused(await asked(path, [("host", host)]))


@pytest.mark.fault("S-02")
async def test_one_host_and_no_more() -> None:
    for hosts in ([], ["localhost", "localhost"], ["localhost", "evil.test"]):
        exchange = await asked(headers=[("host", host) for host in hosts])
        assert exchange.status == 400
        assert exchange.headers["x-should-retry"] == "false"


async def test_a_name_of_the_users() -> None:
    for name in ("proxy.corp:4000", "PROXY.corp", "box"):
        assert (await asked(headers=[("host", name)], PROXY_HOSTS="proxy.corp, Box")).status == 200
    assert refused(await asked(headers=[("host", "evil.test")], PROXY_HOSTS="proxy.corp"))
    assert (await asked(headers=[("host", "any.test")], PROXY_HOSTS="*")).status == 200


async def test_with_a_key_the_name_may_be_any() -> None:
    assert (await asked(headers=[("host", "proxy.corp")], PROXY_API_KEY="k")).status == 200
    assert (await asked("/v1/models", [("host", "proxy.corp")], PROXY_API_KEY="k")).status == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_whoever_watches_may_call_it_as_they_like(path: str) -> None:
    assert (await asked(path, [("host", "10-0-0-1.cluster.local")])).status in {200, 503}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header",
    [
        *(
            ("origin", "http://evil.test"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("origin", "file://"),
        ),
        *(("origin", "chrome-extension://evil"), ("origin", ""), ("origin", "http://localhost:4000.evil.test")),
        *(("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("sec-fetch-site", "evil")),
    ],
)
@pytest.mark.fault("S-01")
async def test_a_page_of_another_site_is_refused(header: tuple[str, str], path: str, method: str) -> None:
    assert refused(await asked(path, [("host", "localhost:4000"), header], method=method))
    assert refused(await asked(path, [("host", "localhost:4000"), header], method=method, PROXY_API_KEY="k"))


@pytest.mark.parametrize(
    "header", [("origin", "http://localhost:4000"), ("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin")]
)
async def test_a_page_of_its_own_is_let_in(header: tuple[str, str]) -> None:
    assert (await asked(headers=[("host", "localhost:4000"), header])).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "TEXT/plain; charset=utf-8", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.fault("S-01", "C-25")
async def test_what_a_form_could_send_is_no_message(path: str, kind: str) -> None:
    exchange = await asked(path, [("host", "localhost"), ("content-type", kind)], method="POST")
    assert exchange.status == 415
    assert b"application/json" in exchange.body
