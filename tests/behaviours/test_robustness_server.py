"""Behaviours 53 to 56: the server under load, and its log."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from claude_code_proxy.settings import CONFIG_FILE
from upstreams import Chat, FakeChat, Http, Msg, Raw, failure, text

from .stage import BIG, CLIENT_KEY, JSON, KEYS, TIMEOUT, TOOL, hello, post

if TYPE_CHECKING:
    from pathlib import Path

    from upstreams import Recorded

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

BASES = {
    "openai": "/openai:gpt-4.1",
    "openrouter": "/openrouter:qwen/qwen3",
    "nvidia": "/nvidia:meta/llama",
    "ollama": "/ollama:llama3:8b",
    "anthropic": "/anthropic:claude-sonnet-4",
}
EACH = pytest.mark.parametrize("name", BASES)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
SOON = 1.0  # seconds; the promise that is tested


def reply(stage: Stage, name: str) -> Any:
    return Chat("Hello") if isinstance(stage.upstreams[name], FakeChat) else Msg([text("Hello")])


@EACH
async def test_53_slow_calls_hold_up_nobody(stage: Stage, name: str) -> None:
    """Three calls are at the upstream at the same time, and pages and other calls are answered meanwhile."""
    go_on = asyncio.Event()
    upstream = stage.upstreams[name]

    async def slow(rec: Recorded) -> Any:
        if len(upstream.requests) <= 3:
            await go_on.wait()
        return reply(stage, name)

    upstream.use(by=slow)
    path = f"{BASES[name]}/v1/messages"
    calls = [asyncio.create_task(post(stage.url, path, hello())) for _ in range(3)]
    await upstream.arrival(3)
    began = time.monotonic()
    assert (await post(stage.url, "/", b"", method="GET")).status == 200
    assert time.monotonic() - began < SOON
    assert (await post(stage.url, f"{path}/count_tokens", hello())).status == 200
    assert (await post(stage.url, path, hello())).status == 200
    assert not any(call.done() for call in calls)
    go_on.set()
    assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200, 200]


@MODES
@EACH
@pytest.mark.fault("C-04", "C-06")
async def test_54_a_client_that_leaves_takes_the_upstream_with_it(stage: Stage, name: str, *, stream: bool) -> None:
    upstream = stage.upstreams[name]
    upstream.use(Raw([("silence",)]))
    leaving = asyncio.create_task(post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=stream)))
    rec = await upstream.arrival()
    await rec.until_silent()
    left = time.monotonic()
    leaving.cancel()
    assert await rec.until_left() - left < SOON


@EACH
@pytest.mark.fault("C-05")
async def test_54_also_in_the_middle_of_a_stream(stage: Stage, name: str) -> None:
    upstream = stage.upstreams[name]
    if isinstance(upstream, FakeChat):
        upstream.use(by=upstream.cut(Chat("Hello there", chunk=5), 4, ("silence",)))
    else:
        upstream.use(by=upstream.cut(Msg([text("Hello there")], chunk=5), 5, ("silence",)))
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT, headers=JSON) as session,
        session.post(f"{stage.url}{BASES[name]}/v1/messages", json=hello(stream=True)) as got,
    ):
        await got.content.readuntil(b"Hello")
        left = time.monotonic()
        got.close()
    assert await upstream.requests[0].until_left() - left < SOON


FAILURES: dict[str, Http | Raw] = {
    "429": failure(429, "rate_limit_error", "Slow down.", {"retry-after": "0"}),
    "500": failure(500, "api_error", "Broken."),
    "503": Http(503, {"error": {"message": "Busy."}}),
    "529": failure(529, "overloaded_error", "Busy."),
    "408": Http(408, {"error": {"message": "Late."}}),
    "a connection that breaks": Raw([("abort",)]),
    "a stream that breaks": Raw([("headers",), ("abort",)]),
}


@MODES
@pytest.mark.parametrize("case", FAILURES)
@EACH
async def test_55_one_attempt_for_one_request(stage: Stage, name: str, case: str, *, stream: bool) -> None:
    """As it is where nobody said otherwise: an upstream that broke off without an answer is asked once more.

    On a connection of its own: one that was used before may prove to be closed, and is no attempt then.
    """
    url = await stage.serve(
        UPSTREAM_RETRIES="", PING_INTERVAL=str(10 + list(FAILURES).index(case)), MAX_OUTPUT_TOKENS=str(1000 + stream)
    )
    stage.upstreams[name].use(FAILURES[case])
    answer = await post(url, f"{BASES[name]}/v1/messages", hello(stream=stream))
    assert answer.status >= 400
    assert len(stage.upstreams[name].posts) == 1 + isinstance(FAILURES[case], Raw)


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_55_nor_on_a_used_connection_that_breaks_late(stage: Stage, name: str) -> None:
    """An upstream that was at work is not asked again."""
    assert (await post(stage.url, f"{BASES[name]}/v1/messages", hello())).status == 200
    stage.upstreams[name].use(Raw([("sleep", 1.1), ("abort",)]))
    assert (await post(stage.url, f"{BASES[name]}/v1/messages", hello())).status >= 500
    assert len(stage.upstreams[name].posts) == 1


async def test_55_more_attempts_are_a_setting(stage: Stage, tmp_path: Path) -> None:
    """Each of the user's fallbacks is one, at another place."""
    config = tmp_path / "config.toml"
    config.write_text('[routing.fallbacks]\n"openai:gpt-4.1" = "openrouter:qwen/x"\n')
    url = await stage.serve(**{CONFIG_FILE: str(config)})
    stage.openai.use(failure(529, "overloaded_error", "Busy."))
    for stream in (False, True):
        assert (await post(url, "/v1/messages", hello("openai:gpt-4.1", stream=stream))).status == 200
    assert stage.asked() == {"openai": ["gpt-4.1"] * 2, "openrouter": ["qwen/x"] * 2}
    assert (await post(url, "/openai:gpt-4.1/v1/messages", hello())).status == 529


@MODES
@EACH
async def test_56_one_line_for_one_request(stage: Stage, name: str, *, stream: bool) -> None:
    """With its true status, which is known only afterwards."""
    mark = f"line-{name}-{stream}"
    path = f"{BASES[name]}-{mark}/v1/messages"
    messages = [
        {"role": "user", "content": "canary-of-the-prompt"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "canary-of-the-prompt"},
    ]
    body = hello(f"claude-{mark}", stream=stream, messages=messages, tools=[TOOL, {**TOOL, "name": "Write"}])
    assert (await post(stage.url, f"{path}?beta=true", body, **{"x-api-key": CLIENT_KEY})).status == 200
    stage.upstreams[name].use(failure(429, "rate_limit_error", "Slow down."))
    assert (await post(stage.url, path, body)).status == 429
    await stage.log.until(f"{mark} 429")
    lines = [line for line in stage.log.lines if f"claude-{mark}" in line]
    assert len(lines) == 2
    target = f"{name}:{BASES[name].partition(':')[2]}-{mark}"
    for line, status in zip(lines, ("200", "429"), strict=True):
        assert re.search(rf"POST {re.escape(path)} claude-{mark} → {re.escape(target)} {status} \d+\.\d+s ", line)
        assert "messages=3 tools=2 " in line
    log = "\n".join(stage.log.lines)
    for hidden in (*KEYS.values(), CLIENT_KEY, "canary-of-the-prompt"):
        assert hidden not in log


async def test_56_also_for_counting_and_for_what_is_refused(stage: Stage) -> None:
    body = hello("claude-line-other", tools=[TOOL])
    assert (await post(stage.url, "/v1/messages/count_tokens", body)).status == 200
    assert (await post(stage.url, "/nosuch:line-other/v1/messages", body)).status == 400
    assert (await post(stage.url, "/openai:line-other/v1/messages", b"{", method="POST")).status == 400
    await stage.log.until("POST /openai:line-other/v1/messages - → - 400")
    lines = [line.partition(" INFO ")[2] for line in stage.log.lines if "line-other" in line]
    assert len(lines) == 3
    assert lines[0].startswith(f"POST /v1/messages/count_tokens claude-line-other → openai:{BIG} 200 ")
    assert lines[1].startswith("POST /nosuch:line-other/v1/messages claude-line-other → - 400 ")
