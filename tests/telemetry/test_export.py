"""What a collector is told of requests: a real one as far as the server can tell, and faulty ones, which nobody notices."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from e2e.http_client import CHAT, HEADERS, HELLO, NATIVE, send, told_text
from e2e.proxy import serving
from upstreams import Chat, FakeChat, FakeMessages, Http, Msg, text

from .collector import Collector, collecting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from e2e.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY, HEADER, PROMPT, ANSWER, CLIENT = (
    "canary-openai-key",
    "canary-collector-key",
    "canary-prompt-plover",
    "canary answer dotterel",
    "canary-client-token",
)
TRACE, PARENT = "ab" * 16, "cd" * 8
ASKED = HELLO | {"messages": [{"role": "user", "content": PROMPT}]}
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}


@asynccontextmanager
async def observed(home: Path, endpoint: str, upstream: FakeChat, **env: str) -> AsyncIterator[Proxy]:
    """A server before this upstream that tells this collector."""
    own = {"OPENAI_BASE_URL": upstream.api, "OPENAI_API_KEY": KEY, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    secret = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization={HEADER}"}
    async with serving(home, **FAST, **own, **secret, **env) as proxy:
        yield proxy
    assert not any(secret in line for line in proxy.log.lines for secret in (KEY, HEADER, PROMPT, ANSWER))


@pytest_asyncio.fixture(loop_scope="session")
async def upstream() -> AsyncIterator[FakeChat]:
    async with FakeChat() as fake:
        yield fake


async def span_of(collector: Collector, of: int = 1) -> tuple[Any, dict[str, Any]]:
    """The newest span, of so many."""
    await asyncio.to_thread(collector.until, lambda: len(collector.spans) >= of)
    assert len(collector.spans) == of
    return collector.spans[-1]


async def metrics_of(collector: Collector, metric: str) -> dict[tuple[Any, ...], tuple[int, float]]:
    """The sums of a metric, after two more exports: the first may have begun before the request ended."""
    seen = collector.paths.count("/v1/metrics")
    await asyncio.to_thread(collector.until, lambda: collector.paths.count("/v1/metrics") >= seen + 2)
    return collector.sums(metric)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer(tmp_path: Path, upstream: FakeChat, *, stream: bool) -> None:
    upstream.use(Chat(ANSWER, chunk=5))
    with collecting() as collector:
        async with observed(tmp_path, collector.url, upstream) as proxy:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-claude-code-session-id": "session-1"}
            answer = await send(proxy.url, CHAT, ASKED | {"stream": stream}, **headers)
            span, said = await span_of(collector)
            durations = await metrics_of(collector, "gen_ai.client.operation.duration")
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert (span.name, span.kind, span.status.code) == ("chat gpt-4.1", span.SPAN_KIND_CLIENT, 0)
        first = said.pop("gen_ai.response.time_to_first_chunk", None)
        assert (first is not None) == stream
        assert said == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4.1",
            "gen_ai.response.model": "gpt-4.1",
            "gen_ai.conversation.id": "session-1",
            "gen_ai.response.finish_reasons": ["end_turn"],
            "gen_ai.usage.input_tokens": 120,
            "gen_ai.usage.output_tokens": 34,
            "gen_ai.usage.cache_read.input_tokens": 20,
            "gen_ai.usage.reasoning.output_tokens": 7,
            "http.response.status_code": 200,
            "server.address": "127.0.0.1",
            "server.port": int(upstream.api.rpartition(":")[2].partition("/")[0]),
            "claude_code_proxy.request.id": answer.headers["request-id"],
            "claude_code_proxy.request.model": HELLO["model"],
        } | ({"gen_ai.request.stream": True} if stream else {})
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        [(labels, (count, total))] = durations.items()
        assert (labels, count) == (("openai", "gpt-4.1"), 1)
        assert total == pytest.approx(seconds, abs=1e-6)
        assert collector.sums("gen_ai.client.token.usage") == {
            ("openai", "gpt-4.1", "input"): (1, 120),
            ("openai", "gpt-4.1", "output"): (1, 34),
        }
        assert collector.sums("gen_ai.server.time_to_first_token").keys() == {("openai", "gpt-4.1")}
        names = [(resource["service.name"], "service.version" in resource) for resource in collector.resources]
        assert set(names) == {("claude-code-proxy", True)}
        assert f"authorization: {HEADER}" in collector.headers
        assert not [secret for secret in (KEY, PROMPT, ANSWER, CLIENT) if secret.encode() in collector.raw]


async def test_a_failure(tmp_path: Path, upstream: FakeChat) -> None:
    upstream.use(Http(503, {"error": {"message": ANSWER, "type": "server_error"}}))
    with collecting() as collector:
        async with observed(tmp_path, collector.url, upstream) as proxy:
            assert (await send(proxy.url, CHAT, ASKED | {"stream": True})).status == 529
            span, said = await span_of(collector)
            durations = await metrics_of(collector, "gen_ai.client.operation.duration")
        assert span.status.code == span.status.STATUS_CODE_ERROR
        assert said["http.response.status_code"] == 529
        assert "gen_ai.response.model" not in said
        assert said["error.type"] == "overloaded_error"
        assert durations.keys() == {("openai", "gpt-4.1", "overloaded_error")}
        assert collector.sums("gen_ai.client.token.usage") == {}
        assert ANSWER.encode() not in collector.raw


async def test_a_request_that_is_refused_before_anyone_is_asked(tmp_path: Path, upstream: FakeChat) -> None:
    with collecting() as collector:
        async with observed(tmp_path, collector.url, upstream) as proxy:
            assert (await send(proxy.url, "/v1/messages", b"{")).status == 400
            assert (await send(proxy.url, "/v1/messages/count_tokens", HELLO)).status == 200  # no chat
            span, said = await span_of(collector)
        assert span.name == "chat"
        assert said.keys() == {
            *("gen_ai.operation.name", "error.type", "http.response.status_code", "claude_code_proxy.request.id"),
        }
        assert said["error.type"] == "invalid_request_error"
        assert len(collector.spans) == 1


async def test_a_client_that_leaves(tmp_path: Path, upstream: FakeChat) -> None:
    upstream.use(by=upstream.cut(Chat(ANSWER, chunk=5), 4, ("silence",)))
    with collecting() as collector:
        async with observed(tmp_path, collector.url, upstream) as proxy:
            async with (
                aiohttp.ClientSession(headers=HEADERS) as session,
                session.post(proxy.url + CHAT, json=ASKED | {"stream": True}) as answer,
            ):
                await answer.content.readany()
                answer.close()
            span, said = await span_of(collector)
            durations = await metrics_of(collector, "gen_ai.client.operation.duration")
        assert (span.status.code, said["http.response.status_code"]) == (0, 499)
        assert said["error.type"] == "client_closed_request"
        assert "gen_ai.response.time_to_first_chunk" in said
        assert "gen_ai.response.finish_reasons" not in said
        assert durations.keys() == {("openai", "gpt-4.1", "client_closed_request")}


async def test_what_is_left_is_sent_when_it_stops(tmp_path: Path, upstream: FakeChat) -> None:
    upstream.use(Chat("Hello"))
    with collecting() as collector:
        own = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OPENAI_BASE_URL": upstream.api, "OPENAI_API_KEY": KEY}
        async with serving(tmp_path, **own) as proxy:  # which would send in five seconds, and in sixty
            assert told_text(await send(proxy.url, CHAT, HELLO)) == "Hello"
        assert len(collector.spans) == 1
        assert collector.sums("gen_ai.client.operation.duration").keys() == {("openai", "gpt-4.1")}


async def test_a_native_answer_and_one_of_the_signals(tmp_path: Path) -> None:
    with collecting() as collector:
        async with FakeMessages() as native:
            native.use(Msg([text("Hello")]))
            own = {"ANTHROPIC_API_BASE": native.url, "ANTHROPIC_API_KEY": KEY}
            place = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/of/mine/v1/traces"}
            async with serving(tmp_path, **FAST, **own, **place, OTEL_SERVICE_NAME="mine") as proxy:
                assert (await send(proxy.url, NATIVE, HELLO | {"stream": True})).status == 200
                await asyncio.to_thread(collector.until, lambda: collector.spans)
        assert set(collector.paths) == {"/of/mine/v1/traces"}
        assert [resource["service.name"] for resource in collector.resources] == ["mine"]


FAULTS: dict[str, dict[str, Any]] = {"hangs": {"hangs": True}, "fails": {"status": 500}, "is busy": {"status": 503}}


@pytest.mark.parametrize("fault", [*FAULTS, "refuses"])
async def test_a_faulty_collector_is_nobody_elses_trouble(tmp_path: Path, upstream: FakeChat, fault: str) -> None:
    """Requests are answered, it is told once, and the server stops (`serving` waits ten seconds) with status 0."""
    upstream.use(*[Chat("Hello")] * 20)
    with collecting(**FAULTS.get(fault, {})) as collector, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        place = collector.url if fault in FAULTS else f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with observed(tmp_path, place, upstream, OTEL_EXPORTER_OTLP_TIMEOUT="60") as proxy:
            for _ in range(20):
                assert told_text(await send(proxy.url, CHAT, HELLO)) == "Hello"
            if fault in FAULTS:
                await asyncio.to_thread(collector.until, lambda: {"/v1/traces", "/v1/metrics"} <= {*collector.paths})
        assert proxy.process.returncode == 0
        told = [line for line in proxy.log.lines if "OpenTelemetry" in line]
        assert len(told) <= 4, told


async def test_a_collector_that_comes_back(tmp_path: Path, upstream: FakeChat) -> None:
    upstream.use(*[Chat("Hello")] * 2)
    with collecting(status=401) as collector:
        async with observed(tmp_path, collector.url, upstream) as proxy:
            await send(proxy.url, CHAT, HELLO)
            [first] = await proxy.log.until("does not take traces")
            assert "(HTTP 401)" in first
            await proxy.log.until("does not take metrics")
            collector.status = 200
            await send(proxy.url, CHAT, HELLO)
            await proxy.log.until("takes traces again")
            await proxy.log.until("takes metrics again")
        assert len(collector.spans) == 1  # the first one is lost


WRONG: list[tuple[str, dict[str, str], str]] = [
    ("one that the SDK refuses", {"OTEL_SPAN_LINK_COUNT_LIMIT": "canary-number"}, "one of its variables is wrong"),
    ("one that it passes over", {"OTEL_EXPORTER_OTLP_TIMEOUT": "canary-number"}, "Invalid timeout value"),
    ("another protocol", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "only the protocol http/protobuf is spoken"),
    ("a header that is none", {"OTEL_EXPORTER_OTLP_HEADERS": "canary-number"}, "Header format invalid"),
]


@pytest.mark.parametrize(("env", "told"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_a_wrong_variable(tmp_path: Path, upstream: FakeChat, env: dict[str, str], told: str) -> None:
    """It is told, without its value, and the server serves."""
    upstream.use(Chat("Hello"))
    own = {"OPENAI_BASE_URL": upstream.api, "OPENAI_API_KEY": KEY, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with serving(tmp_path, **own, **env) as proxy:
        assert told_text(await send(proxy.url, CHAT, HELLO)) == "Hello"
    assert [line for line in proxy.log.lines if told in line]
    assert not any("canary-number" in line for line in proxy.log.lines)


async def test_a_variable_of_an_env_file(tmp_path: Path, upstream: FakeChat) -> None:
    """The SDK reads the environment only."""
    upstream.use(Chat("Hello"))
    with collecting() as collector:
        file = tmp_path / "settings.env"
        file.write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.url}\nOTEL_SERVICE_NAME=from-a-file\n")
        own = {"OPENAI_BASE_URL": upstream.api, "OPENAI_API_KEY": KEY, "CLAUDE_CODE_PROXY_ENV_FILE": str(file)}
        async with serving(tmp_path, **FAST, **own) as proxy:
            await send(proxy.url, CHAT, HELLO)
            await span_of(collector)
        assert {resource["service.name"] for resource in collector.resources} == {"from-a-file"}
