"""Where the proxy answers without PROXY_API_KEY: on this machine, and nowhere else (S-10, S-11)."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from asgi import Exchange
from claude_code_proxy.app import create_app
from claude_code_proxy.cli import main
from claude_code_proxy.http.guard import admit, open_at, warn_if_open
from claude_code_proxy.settings import ENV_FILE, Settings, load_settings
from claude_code_proxy.wire.failure import ApiError

KEY = "canary-of-the-proxy"
PATHS = [
    "/",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/anthropic:/v1/files",
    "/nowhere",
    "/openai:x",
]
HERE = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"]
ELSEWHERE = ["192.168.1.5", "10.0.0.1", "172.17.0.2", "fe80::1%eth0", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0", "::"]


async def asked(path: str, server: Any, *, method: str = "POST", client: str = "127.0.0.1", **env: str) -> Exchange:
    """The answer to a request that came in at this address of ours, from that of the client."""
    headers = {"content-type": "application/json", "x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1"}
    exchange = Exchange(b"{}", path, headers)
    exchange.scope |= {"method": method, "server": server, "client": (client, 50_000)}
    await exchange.run(create_app(load_settings({ENV_FILE: "", **env})))
    return exchange


def refused(exchange: Exchange) -> bool:
    if exchange.status != 403:
        return False
    error = json.loads(exchange.body)["error"]
    assert error["type"] == "permission_error"
    assert "PROXY_API_KEY" in error["message"]
    assert exchange.headers["x-should-retry"] == "false"
    return True


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("server", [*[(place, 4000) for place in ELSEWHERE], None, ("/run/proxy.sock", None), ("", 0)])
async def test_others_need_a_key(server: Any, path: str, method: str) -> None:
    assert refused(await asked(path, server, method=method))


@pytest.mark.parametrize("place", HERE)
async def test_this_machine_needs_none(place: str) -> None:
    assert (await asked("/v1/messages", (place, 4000))).status == 400
    assert (await asked("/", (place, 4000), method="GET")).status == 200


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "10.0.0.9"])
@pytest.mark.parametrize("place", [*HERE, *ELSEWHERE])
async def test_with_a_key_it_is_the_key_that_counts_everywhere(place: str, client: str) -> None:
    answer = await asked("/v1/messages", (place, 4000), client=client, PROXY_API_KEY=KEY)
    assert answer.status == 401


@pytest.mark.parametrize("client", ["127.0.0.1", "10.0.0.9"])
async def test_where_a_client_comes_from_does_not_count(client: str) -> None:
    assert refused(await asked("/v1/messages", ("10.0.0.1", 4000), client=client))
    assert (await asked("/v1/messages", ("127.0.0.1", 4000), client=client)).status == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_who_watches_needs_none(path: str) -> None:
    assert (await asked(path, ("10.0.0.1", 4000), method="GET")).status in {200, 503}


@pytest.mark.parametrize(
    ("published", "let_in"),
    [
        *(("127.0.0.1", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False), ("::", False), ("[::]", False)),
        *(("10.0.0.1", False), ("localhost", False), ("nonsense", False)),
    ],
)
async def test_in_a_container_the_address_of_the_port_counts(published: str, *, let_in: bool) -> None:
    for place in ("172.17.0.2", "127.0.0.1"):
        answer = await asked("/v1/messages", (place, 4000), PROXY_PUBLISHED_ON=published)
        assert (answer.status == 400) == let_in
        assert refused(answer) != let_in


async def test_whoever_wants_it_open_has_it_open() -> None:
    assert (await asked("/v1/messages", ("10.0.0.1", 4000), PROXY_OPEN="true")).status == 400
    assert refused(await asked("/v1/messages", ("10.0.0.1", 4000), PROXY_OPEN="false"))


SPELLINGS = [
    "0.0.0.0",
    "0",
    "0x0",
    "00.00.00.00",
    "::",
    "::0",
    "0::0",
    "[::]",
    "::ffff:0.0.0.0",
    "",
    "０.０.０.０",
    "10.0.0.1",
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_start_that_would_let_others_in(host: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv(ENV_FILE, "")
    monkeypatch.delenv("PROXY_API_KEY", raising=False)
    assert main(["--host", host]) == 78
    first, second = capsys.readouterr().err.splitlines()
    assert host in first
    assert "PROXY_API_KEY" in second


@pytest.mark.parametrize("host", [*HERE, "localhost", "[::1]", "127.1", "0x7f000001", "2130706433"])
def test_a_start_for_this_machine(host: str) -> None:
    assert open_at(host, Settings(providers={})) == ""


def test_a_name_is_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str | None, *_: object, **__: object) -> list[Any]:
        places = {"box": ["127.0.1.1"], "box.lan": ["127.0.1.1", "10.0.0.1"]}
        if name not in places:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, 0)) for place in places[name]]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    settings = Settings(providers={})
    assert open_at("box", settings) == ""
    assert open_at("box.lan", settings)
    assert open_at("nowhere", settings) == ""


@pytest.mark.parametrize("allowed", [{"proxy_api_key": KEY}, {"proxy_open": True}, {"proxy_published_on": "127.0.0.1"}])
def test_a_start_that_somebody_answers_for(allowed: dict[str, Any]) -> None:
    assert open_at("0.0.0.0", Settings(providers={}, **allowed)) == ""


@pytest.mark.parametrize(
    ("argv", "more", "told"),
    [
        (["--host", "0.0.0.0"], {}, "refused"),
        (["--host=::"], {}, "refused"),
        (["--host", "0.0.0.0"], {"proxy_open": True}, "spends"),
        (["--host", "127.0.0.1"], {"proxy_published_on": "0.0.0.0"}, "refused"),
        (["--host", "0.0.0.0"], {"proxy_published_on": "127.0.0.1"}, ""),
        (["--host", "0.0.0.0"], {"proxy_api_key": KEY}, ""),
        (["--host", "localhost"], {}, ""),
        ([], {}, ""),
    ],
)
def test_what_is_said_at_the_start(
    argv: list[str], more: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_if_open(Settings(providers={}, **more), argv)
    assert bool(caplog.records) == bool(told)
    assert told in caplog.text
    assert KEY not in caplog.text


ADMITTED: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"x-api-key": KEY, "accept": "a"}, {"accept": "a"}),
    ({"authorization": f"Bearer {KEY}", "accept": "a"}, {"accept": "a"}),
    ({"authorization": f"bEARER   {KEY} "}, {}),
    ({"authorization": KEY}, {}),
    ({"x-api-key": f"Bearer {KEY}"}, {}),
    ({"x-api-key": KEY, "authorization": f"Bearer {KEY}"}, {}),
    ({"x-api-key": KEY, "authorization": "Bearer own"}, {"authorization": "Bearer own"}),
    ({"x-api-key": "own", "authorization": f"Bearer {KEY}"}, {"x-api-key": "own"}),
]


@pytest.mark.parametrize(("headers", "left"), ADMITTED)
def test_the_key_is_taken_from_either_header_and_goes_no_further(headers: dict[str, str], left: dict[str, str]) -> None:
    assert admit(headers, Settings(providers={}, proxy_api_key=KEY)) == left


STRANGERS: list[dict[str, str]] = [
    {},
    {"x-api-key": ""},
    {"x-api-key": KEY[:-1]},
    {"x-api-key": KEY + "x"},
    {"x-api-key": KEY.upper()},
    {"authorization": "Bearer "},
    {"authorization": f"Basic {KEY}"},
    {"authorization": f"Bearer{KEY}"},
    {"authorization": f"xBearer {KEY}"},
    {"x-other": KEY},
    {"cookie": KEY},
    {"x-api-key": "é\xff"},
]


@pytest.mark.parametrize("headers", STRANGERS)
def test_whoever_has_another_key_or_none_is_refused_for_good(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="PROXY_API_KEY") as refusal:
        admit(headers, Settings(providers={}, proxy_api_key=KEY))
    failed = refusal.value.failed
    assert (failed.status, failed.type) == (401, "authentication_error")
    assert (b"x-should-retry", b"false") in failed.headers


def test_where_no_key_is_set_every_header_is_let_through() -> None:
    headers = {"x-api-key": "own", "authorization": "Bearer own", "accept": "a"}
    assert admit(headers, Settings(providers={})) == headers
