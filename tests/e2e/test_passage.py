"""Other paths of Anthropic's API, and the client's own credential."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never

import aiohttp
import pytest
import pytest_asyncio

from upstreams import FakeMessages, Http, Msg, Raw, Recorded, failure, text
from upstreams.server import Fake

from .http_client import HELLO, send, told_text
from .proxy import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY, OWN = "canary-anthropic-key", "canary-own-credential"
LONGEST_WAIT = 10.0
OAUTH = {"authorization": f"Bearer {OWN}", "anthropic-beta": "oauth-2025-04-20"}


class Api(Fake[Never]):
    """Anthropic's other paths: it takes whatever comes with a credential."""

    def front(self, rec: Recorded) -> Http | None:
        if rec.headers.get("x-api-key") or rec.headers.get("authorization"):
            return None
        return failure(401, "authentication_error", "x-api-key header is required")

    def render(self, reply: Never, rec: Recorded) -> Never:
        raise NotImplementedError


@dataclass
class Stage:
    """The upstream, a server with its key, and one that has none but lets the client's own pass."""

    api: Api
    messages: FakeMessages
    keyed: Proxy
    open: Proxy


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    home = tmp_path_factory.mktemp("server")
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api())
        messages = await stack.enter_async_context(FakeMessages())
        env = {"ANTHROPIC_API_BASE": api.url, "ANTHROPIC_CLIENT_CREDENTIALS": "true", "OPENAI_API_KEY": "k"}
        yield Stage(
            api,
            messages,
            await stack.enter_async_context(serving(home, **env, ANTHROPIC_API_KEY=KEY)),
            await stack.enter_async_context(
                serving(home, **env, OPENAI_BASE_URL=messages.url, DEEPSEEK_BASE_URL=messages.url, IDLE_TIMEOUT="5")
            ),
        )


@pytest.fixture
def stage(_stage: Stage) -> Stage:
    _stage.api.use()
    _stage.messages.use()
    return _stage


PATHS: list[tuple[str, str, str]] = [
    ("GET", "/anthropic:/v1/files", "/v1/files"),
    ("GET", "/anthropic:any/v1/messages/batches/msgbatch_1/results", "/v1/messages/batches/msgbatch_1/results"),
    ("POST", "/ANTHROPIC%3A/v1/messages/batches", "/v1/messages/batches"),
    ("DELETE", "/anthropic:a/b:c/v1/files/file_1", "/v1/files/file_1"),
    ("GET", "/anthropic:/v1/models", "/v1/models"),
    ("GET", "/anthropic:/v1/models/claude-sonnet-5-5", "/v1/models/claude-sonnet-5-5"),
    ("GET", "/anthropic://v1/v1/files", "/v1/files"),
    ("PUT", "/anthropic:/v1/x/a%2Fb%20c;d=1,2@3", "/v1/x/a%2Fb%20c;d=1,2@3"),
]


@pytest.mark.parametrize(("method", "path", "there"), PATHS)
async def test_a_path_passes(stage: Stage, method: str, path: str, there: str) -> None:
    stage.api.use(Http(200, {"data": []}, {"request-id": "req_theirs", "anthropic-organization-id": "o"}))
    got = await send(stage.keyed.url, f"{path}?beta=true&limit=%2B1+2", method=method)
    assert (got.status, got.json, got.headers["request-id"]) == (200, {"data": []}, "req_theirs")
    assert got.headers["anthropic-organization-id"] == "o"
    [asked] = stage.api.requests
    assert (asked.method, asked.path, asked.query) == (method, there, "beta=true&limit=%2B1 2")  # as aiohttp reads it
    assert asked.headers["x-api-key"] == KEY


async def test_what_goes_with_a_request(stage: Stage) -> None:
    stage.api.use(Http(200))
    sent = {
        "anthropic-beta": "files-api-2025-04-14",
        "content-type": "multipart/form-data; boundary=x",
        "range": "bytes=0-9",
        "authorization": f"Bearer {OWN}",
        "cookie": f"a={OWN}",
        "x-forwarded-for": "10.0.0.1",
        "te": "trailers",
    }
    body = bytes(range(256)) * 9
    await send(stage.keyed.url, "/anthropic:/v1/files", body, **sent)
    [asked] = stage.api.requests
    assert asked.raw == body
    assert {name: asked.headers.get(name) for name in ("anthropic-beta", "content-type", "range")} == {
        name: sent[name] for name in ("anthropic-beta", "content-type", "range")
    }
    assert not {"cookie", "authorization", "x-forwarded-for", "te"} & asked.headers.keys()
    assert asked.headers["host"] == stage.api.url.removeprefix("http://")
    assert OWN not in f"{asked.headers}"


async def test_a_body_larger_than_any_message(stage: Stage) -> None:
    size = 48 << 20
    stage.api.use(by=lambda rec: Http(200, rec.raw, {"content-type": "application/octet-stream"}))

    async def parts() -> AsyncIterator[bytes]:
        for n in range(48):
            yield bytes([n]) * (1 << 20)

    async with aiohttp.ClientSession() as session:
        url = f"{stage.keyed.url}/anthropic:/v1/files"
        async with session.post(url, data=parts()) as got:
            said = await got.read()
    assert (got.status, got.headers["content-length"], len(said)) == (200, str(size), size)
    assert said[:: 1 << 20] == bytes(range(48))
    assert stage.api.requests[0].headers["transfer-encoding"] == "chunked"


async def test_a_body_goes_up_while_it_comes(stage: Stage, tmp_path: Any) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.put_nowait(await reader.readexactly(5))
        arrived.put_nowait(await reader.readexactly(5))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=b\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, serving(tmp_path, ANTHROPIC_API_BASE=base, ANTHROPIC_API_KEY=KEY) as proxy:
        reader, writer = await opened(proxy)
        writer.write(b"POST /anthropic:/v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nfirst")
        assert await asyncio.wait_for(arrived.get(), LONGEST_WAIT) == b"first"
        writer.write(b"other")
        assert await asyncio.wait_for(arrived.get(), LONGEST_WAIT) == b"other"
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LONGEST_WAIT)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"set-cookie" not in head.lower()
        writer.close()


async def opened(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = proxy.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize("part", [b"", b"first"], ids=["before the answer", "in the middle"])
async def test_a_client_that_leaves(stage: Stage, part: bytes) -> None:
    stage.api.use(Raw([("raw", part), ("silence",)] if part else [("silence",)]))
    reader, writer = await opened(stage.keyed)
    writer.write(b"GET /anthropic:/v1/files/f/content HTTP/1.1\r\nhost: localhost\r\n\r\n")
    rec = await stage.api.arrival()
    await rec.until_silent()
    if part:
        await asyncio.wait_for(reader.readuntil(part), LONGEST_WAIT)
    writer.close()
    assert await rec.until_left()


async def test_a_client_that_leaves_while_it_sends(stage: Stage) -> None:
    stage.api.use(Http(200))
    _, writer = await opened(stage.keyed)
    writer.write(b"POST /anthropic:/v1/gone HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nfirst")
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    [line] = await stage.keyed.log.until("POST /anthropic:/v1/gone")
    assert " 499 " in line
    stage.keyed.log.check()


async def test_an_answer_that_is_cut_is_not_whole(stage: Stage) -> None:
    stage.api.use(Raw([("raw", b"half"), ("abort",)], headers={"content-type": "application/jsonl"}))
    with pytest.raises(aiohttp.ClientPayloadError):
        await send(stage.keyed.url, "/anthropic:/v1/cut", method="GET")


async def test_an_answer_in_an_encoding(stage: Stage) -> None:
    packed = gzip.compress(b"line\n" * 1000)
    stage.api.use(by=lambda _: Http(200, packed, {"content-encoding": "gzip", "content-type": "application/jsonl"}))
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"{stage.keyed.url}/anthropic:/v1/x", headers={"accept-encoding": "gzip"}) as got,
    ):
        assert (await got.read(), got.headers["content-encoding"]) == (packed, "gzip")
    assert stage.api.requests[0].headers["accept-encoding"] == "gzip"


async def test_a_redirect_is_passed_and_not_followed(stage: Stage) -> None:
    stage.api.use(Http(307, b"", {"location": f"{stage.messages.url}/v1/x"}), Http(307, b"", {"location": f"/?{KEY}"}))
    async with aiohttp.ClientSession() as session:
        for held in (f"{stage.messages.url}/v1/x", None):
            url = f"{stage.keyed.url}/anthropic:/v1/x"
            async with session.get(url, allow_redirects=False) as got:
                assert (got.status, got.headers.get("location")) == (307, held)
    assert stage.messages.requests == []


async def test_errors_pass_as_they_are(stage: Stage) -> None:
    stage.api.use(failure(429, "rate_limit_error", "Slow down.", {"retry-after": "7", "x-should-retry": "true"}))
    got = await send(stage.keyed.url, "/anthropic:/v1/files", method="GET")
    assert (got.status, got.error()["message"], got.headers["retry-after"]) == (429, "Slow down.", "7")
    assert got.headers["x-should-retry"] == "true"


LEAVING = [
    "/v1/../secret",
    "/v1/files/../../x",
    "/v1/%2e%2e/x",
    "/v1/.%2E/x",
    "/v1/%252e%252e/x",
    "/v1/a%2f..%2f..%2fx",
    "/v1/..%5cx",
    "/v1/..;a=b/x",
    "/v1/./x",
    "/v1/%25252525252e/x",
]


@pytest.mark.parametrize("path", LEAVING)
async def test_a_path_cannot_leave_its_base(stage: Stage, path: str) -> None:
    got = await send(stage.keyed.url, f"/anthropic:{path}", method="GET")
    assert got.status in {400, 404}
    assert got.error()
    assert stage.api.requests == []


async def test_a_path_that_looks_like_a_host_is_a_path(stage: Stage) -> None:
    stage.api.use(Http(200))
    await send(stage.keyed.url, "/anthropic:/v1//evil.test/x", method="GET")
    assert [rec.path for rec in stage.api.requests] == ["/v1//evil.test/x"]


async def test_other_providers_pass_messages_only(stage: Stage) -> None:
    got = await send(stage.keyed.url, "/openai:gpt/v1/files", method="GET")
    assert (got.status, got.error()["type"]) == (404, "not_found_error")


async def test_an_upstream_that_is_not_there(tmp_path: Any) -> None:
    async with serving(tmp_path, ANTHROPIC_API_BASE="http://127.0.0.1:9", ANTHROPIC_API_KEY=KEY) as proxy:
        got = await send(proxy.url, "/anthropic:/v1/files", b"body")
        assert (got.status, got.error()["type"]) == (502, "api_error")


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", ""])
async def test_the_client_s_own_credential(stage: Stage, model: str) -> None:
    stage.api.use(by=lambda rec: Http(200, Msg([text("Hi.")]).message(rec.json["model"])))
    async with aiohttp.ClientSession() as session:
        url = f"{stage.open.url}/anthropic:{model}/v1/messages"
        async with session.post(url, json=HELLO, headers=OAUTH) as got:
            assert (got.status, (await got.json())["model"]) == (200, HELLO["model"])
    [asked] = stage.api.requests
    assert {name: asked.headers.get(name) for name in (*OAUTH, "x-api-key")} == {**OAUTH, "x-api-key": None}
    assert OWN not in "\n".join(stage.open.log.lines)


async def test_the_client_s_own_credential_on_other_paths(stage: Stage) -> None:
    stage.api.use(Http(200))
    await send(stage.open.url, "/anthropic:/v1/files", method="GET", **{"x-api-key": OWN})
    assert stage.api.requests[0].headers["x-api-key"] == OWN


@pytest.mark.parametrize("path", ["/anthropic:m/v1/messages", "/anthropic:/v1/files"])
async def test_a_client_without_a_credential_is_told(stage: Stage, path: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(stage.open.url + path, json=HELLO) as got,
    ):
        told = await got.json()
        assert (got.status, got.headers["x-should-retry"]) == (401, "false")
    assert "ANTHROPIC_API_KEY" in told["error"]["message"]
    assert "x-api-key" in told["error"]["message"]
    assert stage.api.requests == []


async def test_it_goes_nowhere_else(stage: Stage) -> None:
    for path in ("/openai:gpt-4.1/v1/messages", "/deepseek:deepseek-flash/v1/messages"):
        await send(stage.open.url, path, HELLO, **OAUTH, **{"x-api-key": OWN})
    assert OWN not in "".join(f"{rec.headers} {rec.raw!r}" for rec in stage.messages.requests)
    assert stage.api.requests == []


async def test_a_key_wins(stage: Stage) -> None:
    stage.api.use(Http(200, Msg([text("Hi.")]).message("m")))
    got = await send(stage.keyed.url, "/anthropic:m/v1/messages", HELLO, **OAUTH, **{"x-api-key": OWN})
    assert told_text(got) == "Hi."
    [asked] = stage.api.requests
    assert asked.headers["x-api-key"] == KEY
    assert OWN not in f"{asked.headers}"
