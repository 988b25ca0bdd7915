"""What the server tells of itself: who asked for what, and what of it was new to it, by name only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from claude_code_proxy import __version__
from upstreams import Chat, Http, Msg, text

from .claude import CLIENT_TOKEN
from .http_client import CHAT, HELLO, NATIVE, send
from .world import SECRETS

if TYPE_CHECKING:
    from .claude import Claude
    from .proxy import Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = "canary-prompt-plover"
NEW: dict[str, Any] = HELLO | {
    "mood": {PROMPT: PROMPT},
    "messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT}, {"type": "smell", "smell": PROMPT}]}],
    "tools": [{"name": PROMPT, "description": PROMPT, "input_schema": {"type": "object"}}],
}


async def status(url: str, **headers: str) -> dict[str, Any]:
    answer = await send(url, "/status", method="GET", **headers)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, Any] = answer.json
    return told


async def metrics(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Every metric by its labels' values, as Prometheus's own parser reads them."""
    answer = await send(url, "/metrics", method="GET")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    read: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            read.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return read


@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["translated", "native"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_is_new_is_counted_by_name(world: World, proxy: Start, path: str, *, stream: bool) -> None:
    ours = await proxy(**world.env)
    world.chat.use(Chat("Hello"))
    world.native.use(Http(400, {"type": "error", "error": {"type": "invalid_request_error", "message": PROMPT}}))
    headers = {"anthropic-beta": "effort-2025-11-24,new-beta-2027-01-01", "x-new": PROMPT, "cookie": CLIENT_TOKEN}
    await send(ours.url, path, NEW | {"stream": stream}, **headers)
    assert (await send(ours.url, "/openai:gpt-4.1/v1/rewind/x1", {"a": PROMPT})).status == 404
    told = await status(ours.url)
    found = {kind: {name: seen["count"] for name, seen in names.items()} for kind, names in told["drift"].items()}
    assert found == {
        "field": {"mood": 1},
        "block": {"smell": 1},
        "beta": {"new-beta-2027-01-01": 1},
        "header": {"x-new": 1},
        "endpoint": {"POST /v1/rewind/{id}": 1},
    }
    drift = (await metrics(ours.url))["claude_code_proxy_drift_total"]
    assert drift == {(kind, name): count for kind, names in found.items() for name, count in names.items()}
    shown = str(told) + str(await metrics(ours.url))
    assert [hidden for hidden in (*SECRETS, CLIENT_TOKEN, PROMPT) if hidden in shown] == []
    world.native.use()  # what the strict fake thought of the new things is beside the point


async def test_what_an_upstream_says_that_is_new(world: World, proxy: Start) -> None:
    ours = await proxy(**world.env)
    sse = (
        b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\n\n'
        b'event: message_hum\ndata: {"type":"message_hum","tune":"canary-tune"}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    world.native.use(Http(200, sse, {"content-type": "text/event-stream"}))
    assert b"canary-tune" in (await send(ours.url, NATIVE, HELLO | {"stream": True})).body
    told = (await status(ours.url))["drift"]
    assert list(told) == ["event"]
    assert list(told["event"]) == ["message_hum"]


async def test_requests_tokens_and_errors(world: World, proxy: Start) -> None:
    ours = await proxy(**world.env)
    world.chat.use(
        Chat("Hello", usage={"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}),
        Http(429, {"error": {"message": "Slow down.", "type": "x"}}),
    )
    world.native.use(Msg([text("Hello")]))
    assert (await send(ours.url, CHAT, HELLO)).status == 200
    assert (await send(ours.url, CHAT, HELLO | {"stream": True})).status == 429
    assert (await send(ours.url, NATIVE, HELLO | {"stream": True})).status == 200
    assert (await send(ours.url, "/nosuch:x/v1/messages", HELLO)).status >= 400
    read = await metrics(ours.url)
    requests = read["claude_code_proxy_requests_total"]
    assert requests["messages", "openai", "200", ""] == 1
    assert requests["messages", "openai", "429", "rate_limit_error"] == 1
    assert requests["messages", "anthropic", "200", ""] == 1
    assert sum(requests.values()) == 4
    tokens = read["claude_code_proxy_tokens_total"]
    assert tokens["openai", "gpt-4.1", "input"] == 50
    assert tokens["openai", "gpt-4.1", "output"] == 7
    told = await status(ours.url)
    assert (told["version"], told["requests"], told["running"], told["drift"]) == (__version__, 4, 0, {})
    assert read["claude_code_proxy_requests_running"][("messages",)] == 0
    assert told["limits"]["openai:gpt-4.1"]["context"] > 100_000


async def test_calibration_is_told(world: World, proxy: Start) -> None:
    ours = await proxy(**world.env)
    world.chat.use(*[Chat("Hi", usage={"prompt_tokens": 4000, "completion_tokens": 1, "total_tokens": 4001})] * 3)
    body = HELLO | {"messages": [{"role": "user", "content": "some words of a prompt " * 500}]}
    for _ in range(3):
        await send(ours.url, CHAT, body)
    factor = (await status(ours.url))["calibration"]["openai:gpt-4.1"]
    assert factor["replies"] == 3
    assert 0.3 < factor["ratio"] < 3
    assert factor["spread"] == 0


@pytest.mark.parametrize("path", ["/status", "/metrics"])
async def test_the_same_doors_as_for_messages(world: World, proxy: Start, path: str) -> None:
    ours = await proxy(**world.env, PROXY_API_KEY="canary-proxy-key")
    assert (await send(ours.url, path, method="GET")).error()["type"] == "authentication_error"
    assert (await send(ours.url, path, method="GET", **{"x-api-key": "canary-proxy-key"})).status == 200
    page = await send(
        ours.url, path, method="GET", **{"x-api-key": "canary-proxy-key", "origin": "http://evil.example"}
    )
    assert page.error()["type"] == "permission_error"
    wrong = await send(ours.url, path, {}, **{"x-api-key": "canary-proxy-key"})
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET")


async def test_a_client_that_is_known_brings_no_drift(claude: Claude, world: World, proxy: Start) -> None:
    ours = await proxy(**world.env)
    world.native.use(Msg([text("Hello")]))
    assert (await claude.run(f"{ours.url}/anthropic:claude-sonnet-5-5")).answer == "Hello"
    told = await status(ours.url)
    assert told["drift"] == {}
    assert [client for client in told["clients"] if client.startswith("claude-cli/")]
