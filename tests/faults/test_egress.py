"""No byte of a client chooses a host: it may name one wherever it likes, and nobody goes there (S-04)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from e2e.http_client import HELLO, send

from .replies import PROVIDERS, reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Stage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.fault("S-04")]

NAME = "canary-host.invalid"
FIELDS = (
    *("api_base", "base_url", "baseURL", "endpoint", "url", "host", "proxy", "upstream", "custom_llm_provider"),
    *("callback_url", "webhook", "azure_endpoint", "provider", "extra_body", "extra_headers", "container"),
)
HEADERS = (
    *("x-forwarded-host", "x-host", "x-original-url", "x-rewrite-url", "x-base-url", "x-upstream", "x-api-base"),
    *("x-portkey-custom-host", "x-litellm-api-base", "helicone-target-url", "forwarded", "via", "referer", "proxy"),
)


def blocks(url: str) -> list[dict[str, Any]]:
    """Content that refers to something elsewhere."""
    source = {"type": "url", "url": url}
    inner = [{"type": "image", "source": source}, {"type": "document", "source": source}]
    return [
        {"type": "text", "text": f"Read {url}, ![image]({url}) and <img src='{url}'>."},
        *inner,
        {"type": "search_result", "source": url, "title": url, "content": [{"type": "text", "text": url}]},
    ]


def bodies(url: str) -> Iterator[dict[str, Any]]:
    """Requests that name the host in their fields."""
    yield HELLO | dict.fromkeys(FIELDS, url)
    yield HELLO | {"metadata": {"user_id": url, "base_url": url}, "system": [{"type": "text", "text": url}]}
    yield HELLO | {"messages": [{"role": "user", "content": blocks(url)}]}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"url": url}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": blocks(url)}
    turns = [*HELLO["messages"], {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    yield HELLO | {"messages": turns}
    yield HELLO | {"mcp_servers": [{"type": "url", "url": url, "name": "m"}]}
    schema = {"$schema": url, "$id": url, "type": "object", "properties": {"a": {"$ref": f"{url}#/a"}}}
    yield HELLO | {
        "tools": [{"name": "Read", "input_schema": schema}, {"type": "web_fetch_20250910", "name": "web_fetch"}]
    }


def models(url: str) -> Iterator[str]:
    """Names of models that look like places."""
    place = url.removeprefix("http://")
    yield from (url, f"@{place}", f"openai:{url}", f"openai@{place}", f"{place}/v1", f"claude-via-{place}:m")
    yield from (
        f"openai:m@{place}",
        f"openai:../../{place}",
        f"gemini:m?x=@{place}",
        f"gemini:m#@{place}/",
        f"//{place}",
    )


def pins(url: str) -> Iterator[str]:
    """Paths that name the host."""
    place = url.removeprefix("http://")
    for pinned in models(url):
        yield f"/{quote(pinned, safe='')}"
        yield f"/{quote(pinned, safe='/:@')}"
    yield f"//{place}"
    yield f"/openai:m/..//{place}"
    yield f"/anthropic:/v1/%2F%2F{place}"


async def reached(stage: Stage) -> set[str]:
    """Whom the server has turned to so far."""
    return set((await stage.probe())["reached"])


async def assert_stayed(stage: Stage, before: set[str]) -> None:
    canary = str(stage.upstream.ports["canary"])
    fresh = await reached(stage) - before
    assert not {one for one in fresh if NAME in one or one.endswith(f":{canary}")}
    assert fresh <= {f"127.0.0.1:{stage.upstream.ports['plain']}", "127.0.0.1"}


def canaries(stage: Stage) -> tuple[str, str]:
    """An address that could be reached, and a name that would have to be looked up."""
    return f"http://127.0.0.1:{stage.upstream.ports['canary']}", f"http://{NAME}"


async def prepared(stage: Stage, dialect: str) -> tuple[str, set[str]]:
    """The path by which a dialect is asked, whose upstream answers as it should; and whom the server knows by now."""
    case = len(stage.upstream.scripts) + 900_000
    stage.upstream.scripts[case] = [reply(dialect, stream=False).whole] * 200
    return f"/{PROVIDERS[dialect]}:case-{case}/v1/messages", await reached(stage)


@pytest.mark.parametrize("dialect", PROVIDERS)
async def test_nothing_in_a_body(stage: Stage, dialect: str) -> None:
    path, before = await prepared(stage, dialect)
    statuses = [
        (await send(stage.url, end, body)).status
        for url in canaries(stage)
        for body in bodies(url)
        for end in (path, f"{path}/count_tokens")
    ]
    assert 200 in statuses
    await assert_stayed(stage, before)


@pytest.mark.parametrize("dialect", PROVIDERS)
async def test_nothing_in_a_header_or_a_query(stage: Stage, dialect: str) -> None:
    path, before = await prepared(stage, dialect)
    for url in canaries(stage):
        place = url.removeprefix("http://")
        headers = {name: url if "url" in name or "base" in name else place for name in HEADERS}
        assert (await send(stage.url, path, HELLO, **headers)).status == 200
        query = "&".join(f"{name}={quote(url)}" for name in FIELDS)
        assert (await send(stage.url, f"{path}?{query}", HELLO)).status == 200
    await assert_stayed(stage, before)


async def test_nothing_in_a_model_or_a_path(stage: Stage) -> None:
    before = await reached(stage)
    for url in canaries(stage):
        for model in models(url):
            await send(stage.url, "/v1/messages", HELLO | {"model": model})
            await send(stage.url, f"/v1/models/{quote(model, safe='')}", method="GET")
        for pinned in pins(url):
            for method, end in (("POST", "/v1/messages"), ("GET", "/v1/models"), ("GET", "/v1/files")):
                await send(stage.url, pinned + end, HELLO if method == "POST" else None, method=method)
    await assert_stayed(stage, before)
