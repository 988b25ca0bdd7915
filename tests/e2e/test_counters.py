"""Counts of tokens by upstreams that have a counter of their own: they are asked what they would be asked to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from upstreams import FakeGemini, FakeResponses, Http, Raw

from .http_client import HELLO, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .proxy import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOOLS = [{"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}]  # fmt: skip
FULL: dict[str, Any] = {
    "model": "m",
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
    "tools": TOOLS,
    "tool_choice": {"type": "any"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "metadata": {"user_id": "canary-user"},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "stream": True,
    "messages": [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {"at": "x"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "Nothing."}]},
    ],
}
SHORT = {name: value for name, value in HELLO.items() if name != "max_tokens"}

RESPONSES = (
    '[providers.openai]\nbase_url = "{}"\nbase_url_env = ""\ndialect = "openai_responses"\ncounts_tokens = true\n'
)


async def told(url: str, path: str, body: dict[str, Any]) -> int:
    answer = await send(url, f"{path}/v1/messages/count_tokens", body)
    assert (answer.status, list(answer.json)) == (200, ["input_tokens"])
    count: int = answer.json["input_tokens"]
    return count


class Counter:
    """A server of ours before one upstream that counts."""

    def __init__(self, fake: FakeGemini | FakeResponses, url: str, path: str, place: str) -> None:
        self.fake, self.url, self.path, self.place = fake, url, path, place

    async def told(self, body: dict[str, Any]) -> int:
        return await told(self.url, self.path, body)


@pytest_asyncio.fixture(loop_scope="session", params=["gemini", "openai_responses"])
async def counter(request: pytest.FixtureRequest, proxy: Start, tmp_path: Path) -> AsyncIterator[Counter]:
    if request.param == "gemini":
        async with FakeGemini() as gemini:
            ours = await proxy(GEMINI_API_BASE=gemini.api, GEMINI_API_KEY="canary-gemini-key")
            place = "/v1beta/models/gemini-3-pro-preview:countTokens"
            yield Counter(gemini, ours.url, "/gemini:gemini-3-pro-preview", place)
        return
    async with FakeResponses() as responses:
        config = tmp_path / "config.toml"
        config.write_text(RESPONSES.format(responses.api))
        ours = await proxy(CLAUDE_CODE_PROXY_CONFIG=str(config), OPENAI_API_KEY="canary-openai-key")
        yield Counter(responses, ours.url, "/openai:gpt-5.4", "/v1/responses/input_tokens")


async def test_the_upstream_counts(counter: Counter) -> None:
    counts = [await counter.told(body) for body in (SHORT, FULL, HELLO)]
    assert counts == [len(rec.raw) // 4 for rec in counter.fake.requests]
    assert counts[1] > counts[0] == counts[2]
    assert {rec.path for rec in counter.fake.requests} == {counter.place}
    assert counter.fake.refusals == []
    sent = counter.fake.requests[1].raw.decode()
    assert all(word in sent for word in ("Be kind.", "look", "Nothing."))
    assert "canary" not in sent


ODD: list[tuple[str, Http | Raw, int]] = [
    ("none", Http(404, "404 page not found"), 1),
    ("broken", Http(500, {"error": {"message": "no"}}), 1),
    ("nonsense", Http(200, "<html>"), 1),
    ("another field", Http(200, {"tokens": 5}), 1),
    ("silence", Raw([("silence",)]), 1),
    ("it finds fault with the request", Http(400, {"error": {"message": "no"}}), 3),
]


@pytest.mark.parametrize(("answer", "times"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
async def test_one_that_fails_leaves_the_estimate(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, answer: Http | Raw, times: int
) -> None:
    estimate = await told(counter.url, "/ollama:nobody", FULL)
    monkeypatch.setattr(counter.fake, "front", lambda _: answer)
    assert [await counter.told(FULL) for _ in range(3)] == [estimate] * 3
    assert len(counter.fake.requests) == times


async def test_a_malformed_request_is_told_before_anyone_is_asked(counter: Counter) -> None:
    answer = await send(counter.url, f"{counter.path}/v1/messages/count_tokens", {"model": "m", "messages": "x"})
    assert (answer.status, answer.error()["type"]) == (400, "invalid_request_error")
    assert counter.fake.requests == []


async def test_one_that_is_asked_through_chat_has_no_counter(proxy: Start) -> None:
    async with FakeResponses() as elsewhere:
        ours = await proxy(OPENAI_BASE_URL=elsewhere.api, OPENAI_API_KEY="k")
        assert await told(ours.url, "/openai:gpt-5.4", FULL) > 0
        assert elsewhere.requests == []
