from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from asgi import Exchange
from claude_code_proxy.app import create_app
from claude_code_proxy.catalogue import MARK, Catalogue
from claude_code_proxy.http.models import Models
from claude_code_proxy.http.surface import MODELS, Surface, split
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings
from claude_code_proxy.tables import Tables
from claude_code_proxy.upstream import Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV = {
    "CLAUDE_CODE_PROXY_ENV_FILE": "",
    "OPENAI_API_KEY": "k",
    "OPENROUTER_API_KEY": "k",
    "OPENAI_BASE_URL": "http://openai.test/v1",
    "OPENROUTER_BASE_URL": "http://openrouter.test/v1",
}
EVERY = load_settings(ENV)
SETTINGS = replace(EVERY, providers={name: EVERY.providers[name] for name in ("openai", "openrouter", "nvidia")})
LISTS: dict[str, Any] = {
    "http://openai.test/v1/models": {"data": [{"id": "gpt-4.1"}, {"id": "gpt-4.1-mini"}, {"id": "whisper-1"}]},
    "http://openrouter.test/v1/models": {
        "data": [{"id": f"qwen/m{n}:free", "name": f"M{n}", "created": 1_790_000_000} for n in range(30)]
    },
}
QWEN = "claude-via-openrouter:qwen/m{}:free"


class Lists(Pool):
    """A pool whose upstreams answer from a table."""

    async def get(self, url: str, headers: Mapping[str, str], *, within: float) -> tuple[int, bytes]:
        return 200, json.dumps(LISTS[url]).encode()


async def ask(path: str, query: str = "", *, method: str = "GET", **headers: str) -> Exchange:
    """The answer to a request."""
    catalogue = Catalogue(SETTINGS, Lists(SETTINGS))
    app = create_app(SETTINGS)
    exchange = Exchange(b"", path, {name.replace("_", "-"): value for name, value in headers.items()})
    exchange.scope |= {"method": method, "query_string": query.encode()}
    await exchange.run(Surface(SETTINGS, {MODELS: Models(SETTINGS, catalogue)}, app._passage, app._pages))
    await catalogue.close()
    assert exchange.whole
    assert exchange.headers["request-id"].startswith("req_")
    return exchange


async def told(path: str, query: str = "") -> Any:
    """The content of an answer that went well."""
    exchange = await ask(path, query)
    assert (exchange.status, exchange.headers["content-type"]) == (200, "application/json"), exchange.body
    return json.loads(exchange.body)


async def refused(path: str, query: str = "", **how: Any) -> tuple[int, str, str]:
    """Status, type and message of an error."""
    exchange = await ask(path, query, **how)
    error = json.loads(exchange.body)
    assert error["type"] == "error"
    assert error["request_id"] == exchange.headers["request-id"]
    return exchange.status, error["error"]["type"], error["error"]["message"]


async def test_the_list_is_anthropics() -> None:
    listed = await told("/v1/models", "limit=1000")
    assert len(listed["data"]) == 32
    assert (listed["has_more"], listed["first_id"]) == (False, "claude-via-openai:gpt-4.1")
    assert listed["last_id"] == QWEN.format(29)
    assert listed["data"][0] == {
        "type": "model",
        "id": "claude-via-openai:gpt-4.1",
        "display_name": "gpt-4.1 (openai)",
        "description": "gpt-4.1 at openai, 1,047,576 tokens",
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 1_047_576,
        "max_tokens": 32_768,
    }
    assert listed["data"][2] == {
        "type": "model",
        "id": QWEN.format(0),
        "display_name": "M0 (openrouter)",
        "description": "qwen/m0:free at openrouter",
        "created_at": "2026-09-21T14:13:20Z",
        "lifecycle": "active",
    }


async def test_pages_follow_each_other_in_both_directions() -> None:
    everything = [model["id"] for model in (await told("/v1/models", "limit=1000"))["data"]]
    first = await told("/v1/models")
    assert [model["id"] for model in first["data"]] == everything[:20]
    assert first["has_more"]
    second = await told("/v1/models", f"after_id={first['last_id']}")
    assert [model["id"] for model in second["data"]] == everything[20:]
    assert not second["has_more"]
    back = await told("/v1/models", f"limit=5&before_id={second['first_id']}")
    assert [model["id"] for model in back["data"]] == everything[15:20]
    assert back["has_more"]
    start = await told("/v1/models", f"before_id={everything[3]}")
    assert ([model["id"] for model in start["data"]], start["has_more"]) == (everything[:3], False)
    end = await told("/v1/models", f"after_id={everything[-1]}")
    assert end == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    between = await told("/v1/models", f"after_id={everything[0]}&before_id={everything[2]}")
    assert [model["id"] for model in between["data"]] == everything[1:2]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "1000"),
        ("limit=lots", "limit"),
        ("limit=-1", "limit"),
        ("limit=%C2%B2", "limit"),
        ("after_id=nobody", "after_id"),
        ("before_id=nobody", "before_id"),
    ],
)
async def test_what_cannot_be_is_a_bad_request(query: str, word: str) -> None:
    status, kind, message = await refused("/v1/models", query)
    assert (status, kind) == (400, "invalid_request_error")
    assert word in message


@pytest.mark.parametrize("query", ["limit=", "beta=true", "lifecycle=active&workspace_id=x", "%%%", "limit=20"])
async def test_what_is_not_known_does_not_matter(query: str) -> None:
    assert len((await told("/v1/models", query))["data"]) == 20


ONE: list[tuple[str, str]] = [
    # what is asked for, the id of the model that a request with it would reach
    ("claude-via-openai:gpt-4.1", "claude-via-openai:gpt-4.1"),
    (QWEN.format(7), QWEN.format(7)),
    ("gpt-4.1-mini", "claude-via-openai:gpt-4.1-mini"),
    ("openrouter:qwen/m7:free", QWEN.format(7)),
    ("qwen/m7:free", QWEN.format(7)),
    ("claude-opus-5-5", "claude-via-openai:gpt-4.1"),
    ("claude-haiku-5-5", "claude-via-openai:gpt-4.1-mini"),
]


@pytest.mark.parametrize(("asked", "ident"), ONE)
@pytest.mark.parametrize("base", ["", "/v1", "/"])
async def test_one_model(base: str, asked: str, ident: str) -> None:
    assert (await told(f"{base}/v1/models/{asked}"))["id"] == ident


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/nonsense",
        "/v1/models/claude-via-nobody:x",
        "/v1/models/claude-via-openai:whisper-1",
        "/v1/models/nvidia:not-set-up",
        "/openai:gpt-4.1/v1/models/gpt-4.1-mini",
    ],
)
async def test_an_unknown_model_is_not_found(path: str) -> None:
    assert (await refused(path))[:2] == (404, "not_found_error")


PINNED: list[tuple[str, dict[str, Any]]] = [
    ("/openai:gpt-4.1", {"id": "claude-via-openai:gpt-4.1", "max_tokens": 32_768}),
    ("/OpenRouter:qwen/m7:free", {"id": QWEN.format(7), "display_name": "M7 (openrouter)"}),
    ("/openai:qwen/m7:free", {"id": QWEN.format(7)}),  # where a message would go, too
    ("/openai:not-listed", {"id": "claude-via-openai:not-listed", "display_name": "not-listed (openai)"}),
]


@pytest.mark.parametrize(("base", "expected"), PINNED)
async def test_a_url_that_pins_a_model_reaches_no_other(base: str, expected: dict[str, Any]) -> None:
    listed = await told(f"{base}/v1/models")
    [model] = listed["data"]
    assert model | expected == model
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (model["id"], model["id"], False)
    assert await told(f"{base}/v1/models/{model['id']}") == model


async def test_a_url_that_pins_what_cannot_be_is_refused_as_it_is_for_messages() -> None:
    assert (await refused("/nobody:x/v1/models"))[:2] == (400, "invalid_request_error")
    status, kind, message = await refused("/nvidia:x/v1/models")
    assert (status, kind) == (401, "authentication_error")
    assert "NVIDIA_API_KEY" in message


async def test_the_proxy_is_no_provider_of_its_own() -> None:
    catalogue = Catalogue(SETTINGS, Lists(SETTINGS))
    exchange = Exchange(b"", "/v1/models", {MARK: catalogue.mark})
    await asyncio.wait_for(Models(SETTINGS, catalogue)(exchange.scope, exchange.receive, exchange.send, ""), 20)
    assert exchange.status == 404
    assert len((await told("/v1/models"))["data"]) == 20
    assert (await ask("/v1/models", **{MARK: "another-proxy"})).status == 200


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_other_methods_are_refused(method: str) -> None:
    exchange = await ask("/v1/models", method=method)
    assert (exchange.status, exchange.headers["allow"]) == (405, "GET")


async def test_head_stays_what_it_was() -> None:
    exchange = await ask("/v1/models", method="HEAD")
    assert (exchange.status, exchange.body) == (200, b"")


SPLITS: list[tuple[str, tuple[str, str] | None]] = [
    ("/v1/models", ("", MODELS)),
    ("//v1/models//", ("", MODELS)),
    ("/v1/v1/models/x", ("", MODELS)),
    ("/openai:org/m:free/v1/models/a/b:c", ("openai:org/m:free", MODELS)),
    ("/v1/modelsx", None),
    ("/models", None),
    ("/openai:x/v1/models/y/v1/messages", ("openai:x/v1/models/y", "/v1/messages")),
]


@pytest.mark.parametrize(("path", "place"), SPLITS)
def test_paths(path: str, place: tuple[str, str] | None) -> None:
    assert split(path) == place


async def test_the_users_aliases_are_listed_first_and_lead_back() -> None:
    tables = Tables(
        aliases={
            "strong": ("openrouter:qwen/m3:free", "openai:gpt-4.1"),
            "my-claude": "openai:gpt-4.1",
            "none": "nvidia:x",
        }
    )
    settings = replace(SETTINGS, tables=tables)
    catalogue = Catalogue(settings, Lists(settings))
    first, second, *_ = await catalogue.models()
    await catalogue.close()
    assert (first.id, first.display_name) == ("claude-via-strong", "strong (openrouter:qwen/m3:free)")
    assert (second.id, second.display_name) == ("my-claude", "my-claude (openai:gpt-4.1)")
    assert second.context == 1_047_576
    assert [str(route("", model.id, settings)) for model in (first, second)] == [
        "openrouter:qwen/m3:free",
        "openai:gpt-4.1",
    ]
