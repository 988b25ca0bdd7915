"""PROXY_API_KEY: how it is compared, and what is behind it."""

from __future__ import annotations

import ast
import hmac
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi import Exchange
from claude_code_proxy import app as composition
from claude_code_proxy.app import create_app
from claude_code_proxy.http.pages import ROUTES
from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool
from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "canary-of-the-proxy"
SETTINGS = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "PROXY_API_KEY": KEY, "OPENAI_API_KEY": "k"})
FILES = sorted(Path(composition.__file__).parent.rglob("*.py"))

WRONG = {
    "the first letter": f"x{KEY[1:]}",
    "the last letter": f"{KEY[:-1]}x",
    "shorter": KEY[:-1],
    "longer": f"{KEY}x",
    "nothing": "",
    "another alphabet": "ключ",
    "latin": "clé",
    "nul": f"{KEY}\0",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider is asked for its models."""

    async def nothing(*_: object, **__: object) -> None:
        raise error("api_error", "Nobody is asked here.")

    monkeypatch.setattr(Pool, "get", nothing)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """What is compared, and how: by the library's own function for secrets."""
    seen: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(given: Any, wanted: Any) -> bool:
        seen.append((given, wanted))
        return original(given, wanted)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return seen


async def asked(path: str, method: str = "POST", **headers: str) -> Exchange:
    exchange = Exchange(b"{}", path)
    named = {"host": "localhost", "content-type": "application/json", **headers}
    exchange.scope |= {
        "method": method,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
    }
    await exchange.run(create_app(SETTINGS))
    return exchange


@pytest.mark.fault("S-15")
@pytest.mark.parametrize("header", ["x_api_key", "authorization"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_key_is_compared_whole(compared: list[tuple[bytes, bytes]], wrong: str, header: str) -> None:
    """In bytes, since that function takes no other letters in text; both places, whichever was filled."""
    given = WRONG[wrong] if header == "x_api_key" else f"Bearer {WRONG[wrong]}"
    answer = await asked("/v1/messages", **{header: given})
    assert (answer.status, answer.headers["x-should-retry"]) == (401, "false")
    assert json.loads(answer.body)["error"]["type"] == "authentication_error"
    assert len(compared) == 2
    assert {type(one) for pair in compared for one in pair} == {bytes}
    assert [wanted for _, wanted in compared] == [KEY.encode()] * 2
    assert WRONG[wrong].strip().encode() in [given for given, _ in compared]


@pytest.mark.fault("S-15")
async def test_the_right_key_is_compared_no_otherwise(compared: list[tuple[bytes, bytes]]) -> None:
    for header, given in (("x_api_key", KEY), ("authorization", f"Bearer {KEY}")):
        compared.clear()
        assert (await asked("/v1/messages", **{header: given})).status == 400
        assert len(compared) == 2


def comparisons(file: Path) -> Iterator[str]:
    """What is compared with operators in a file, in words."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Compare) and not any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            yield from map(ast.unparse, (node.left, *node.comparators))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"startswith", "endswith", "index"}:
            yield ast.unparse(node.func)


@pytest.mark.fault("S-15")
def test_no_operator_compares_the_key() -> None:
    """They end at the first letter that differs."""
    told = {f"{file.name}: {said}" for file in FILES for said in comparisons(file)}
    assert told
    assert [one for one in told if re.search(r"proxy_api_key|client_key|password", one.partition(": ")[2])] == []
    uses = [file.name for file in FILES if "proxy_api_key" in file.read_text("utf-8")]
    assert "guard.py" in uses


MODEL = "/openai:gpt-4.1"
TABLE: dict[tuple[str, str], tuple[int, int]] = {
    ("POST", "/v1/messages"): (401, 400),
    ("POST", f"{MODEL}/v1/messages"): (401, 400),
    ("POST", "/v1/messages/count_tokens"): (401, 400),
    ("GET", "/v1/models"): (401, 200),
    ("GET", "/status"): (401, 200),
    ("GET", "/metrics"): (401, 200),
    ("GET", "/dashboard"): (401, 401),
    ("GET", "/"): (200, 200),
    ("GET", "/healthz"): (200, 200),
    ("GET", "/readyz"): (503, 503),  # it has not started here
    ("GET", "/anything/else"): (404, 404),
    ("POST", "/anthropic:/v1/files"): (401, 401),  # that provider has no key here
}
"""What a request gets without the key, and with it. Everything else is refused as no such place or method."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND")
PLACES = sorted({path for _, path in TABLE if not path.startswith("/anthropic:")})
OTHERS = [(method, path) for path in PLACES for method in METHODS if (method, path) not in TABLE]


@pytest.mark.fault("S-06")
@pytest.mark.parametrize(("method", "path"), TABLE, ids=str)
async def test_who_may_use_a_route(method: str, path: str) -> None:
    without, with_key = TABLE[method, path]
    assert (await asked(path, method)).status == without
    assert (await asked(path, method, x_api_key=KEY)).status == with_key


@pytest.mark.fault("S-06")
@pytest.mark.parametrize(("method", "path"), OTHERS, ids=str)
async def test_no_other_method_does_anything(method: str, path: str) -> None:
    for headers in ({}, {"x_api_key": KEY}):
        answer = await asked(path, method, **headers)
        if method == "HEAD":  # which clients send to whatever is their base URL
            assert answer.status in {200, 405, 503}
        else:
            assert answer.status in {404, 405}


@pytest.mark.fault("S-06")
def test_every_route_is_in_the_table() -> None:
    surface = create_app(SETTINGS)
    listed = {path for _, path in TABLE}
    assert set(surface._endpoints) <= listed
    assert {route.path for route in ROUTES} - {"/{path:path}"} <= listed
    assert ROUTES[-1].path == "/{path:path}", "what is nowhere else"
    assert [name for name, row in SETTINGS.providers.items() if row.passes_paths] == ["anthropic"]
