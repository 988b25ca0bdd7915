"""What an upstream may do to us: how long it may take, and how much it may send."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import tracemalloc
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from claude_code_proxy import upstream as upstream_module
from claude_code_proxy.hosts import is_near
from claude_code_proxy.settings import SettingsError, load_settings
from claude_code_proxy.upstream import WHOLE, Ends, Pool
from claude_code_proxy.wire.failure import ApiError
from matrix.https_page import page

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from claude_code_proxy.settings import Settings

    Write = Callable[[asyncio.StreamWriter], Awaitable[None]]

SETTINGS = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""})
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
LATER = 100.0
MIB = 1 << 20


@asynccontextmanager
async def server(write: Write, *, end: bytes = b"\r\n\r\n") -> AsyncGenerator[str]:
    """An upstream that reads a request up to its end and then does this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(end)
            await write(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = running.sockets[0].getsockname()[:2]
    async with running:
        yield f"http://{host}:{port}/x"


def sends(*parts: bytes) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return write


async def silence(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(LATER)


@asynccontextmanager
async def pool(settings: Settings = SETTINGS) -> AsyncGenerator[Pool]:
    made = Pool(settings)
    try:
        yield made
    finally:
        await made.close()


async def failure(url: str, *, by: float = LATER, ends: Ends | None = None, said: bool = False) -> str:
    """What is told of a request to this address; `by` and the times in `ends` count from now."""
    now = asyncio.get_running_loop().time()

    async def read(of: Pool) -> None:
        upstream = await of.send(url, b"", {}, by=now + by)
        with closing(upstream):
            if ends:
                upstream.limit(replace(ends, content=now + ends.content, end=now + ends.end), lambda: said)
            while await upstream.read():
                pass

    async with pool() as of:
        with pytest.raises(ApiError) as raised:
            await read(of)
    return f"{raised.value.failed.type}: {raised.value.failed.message}"


@pytest.mark.fault("U-08")
async def test_an_answer_that_does_not_begin() -> None:
    async with server(silence) as url:
        assert "timeout_error" in await failure(url, by=0.1)


@pytest.mark.fault("U-11")
async def test_interim_answers_are_no_answer() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
            await writer.drain()

    async with server(flood) as url:
        assert "timeout_error" in await failure(url, by=0.3)


@pytest.mark.parametrize(
    ("said", "content", "end", "words"),
    [(False, 0.1, LATER, "said nothing"), (True, 0.05, 0.2, "too long for its answer"), (True, 0.1, 0.1, "too long")],
)
async def test_an_answer_that_does_not_end(said: bool, content: float, end: float, words: str) -> None:  # noqa: FBT001
    async def pings(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b": ping\n\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(pings) as url:
        assert words in await failure(url, ends=Ends(content, end, WHOLE), said=said)


async def test_an_answer_that_is_too_large() -> None:
    async with server(sends(OK + b"\r\n", *[b"x" * MIB] * 8)) as url:
        assert "sent too much" in await failure(url, ends=Ends(LATER, LATER, 4 * MIB))


async def test_only_answers_of_models_are_bounded() -> None:
    async with server(sends(OK + b"\r\n", *[b"x" * MIB] * 300)) as url, pool() as of, of.post(url, b"", {}) as file:
        assert sum([len(chunk) async for chunk in file.chunks()]) == 300 * MIB


async def test_an_errors_body_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "_ERROR_WAIT", 0.1)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(drip) as url, pool() as of, of.post(url, b"", {}) as answer:
        assert set(await answer.error_body()) == set(b"x")


@pytest.mark.fault("U-19")
async def test_a_compressed_answer_that_nobody_asked_for_is_unpacked_within_bounds() -> None:
    bomb = gzip.compress(bytes(100 * MIB))
    tracemalloc.start()
    try:
        async with server(sends(OK + b"content-encoding: gzip\r\n\r\n", bomb)) as url:
            assert "sent too much" in await failure(url, ends=Ends(LATER, LATER, 32 * MIB))
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (OK + b"x-large: " + b"y" * 5 * MIB + b"\r\n\r\n", "not HTTP"),
        (OK + b"x-many: y\r\n" * 1000 + b"\r\n", "not HTTP"),
        (OK + b"transfer-encoding: chunked\r\n\r\nZZ\r\nhello", "api_error"),
        (OK + b"content-encoding: gzip\r\n\r\nnot gzip", "api_error"),
        (OK + b"content-length: 10\r\n\r\nhello", "broke the connection"),
        (b"", "broke the connection"),
    ],
)
async def test_answers_that_are_none(answer: bytes, words: str) -> None:
    async with server(sends(answer)) as url:
        assert words in await failure(url)


@pytest.mark.fault("U-02", "U-03")
async def test_what_is_wrong_with_the_connection_is_told() -> None:
    async with server(sends(b"HTTP/1.1 400 Bad Request\r\n\r\n"), end=b"\x01") as url:
        assert "does not speak TLS" in await failure(url.replace("http:", "https:"))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert "Is it running" in await failure(f"http://127.0.0.1:{held.getsockname()[1]}/")
    assert "unknown host" in await failure("http://nobody.invalid/")


NEAR = [
    *("http://localhost:11434/v1", "http://127.0.0.1", "http://[::1]:8080/", "http://192.168.1.7", "http://10.0.0.1:1"),
    *("http://ollama:11434", "http://host.docker.internal:11434", "http://box.local", "http://100.64.1.2/v1"),
    *("http://[fe80::1%25eth0]/", "http://[fd00::1]", "http://BOX.LAN.:80"),
]
FAR = ["https://api.openai.com/v1", "http://8.8.8.8", "https://local.example", "https://[2606:4700::1]", ""]


@pytest.mark.parametrize(("url", "near"), [*((url, True) for url in NEAR), *((url, False) for url in FAR[:-1])])
def test_a_host_is_near_by_its_name(url: str, near: bool) -> None:  # noqa: FBT001
    assert is_near(url) is near


def test_a_model_nearby_may_take_longer_to_begin() -> None:
    providers = SETTINGS.providers
    assert (SETTINGS.patience(providers["openai"]), SETTINGS.patience(providers["ollama"])) == (120, 600)


async def test_the_users_proxy_is_asked_for_what_is_far_and_for_nothing_else() -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy")
        writer.close()

    running = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = running.sockets[0].getsockname()[1]
    settings = replace(SETTINGS, upstream_proxy=f"http://127.0.0.1:{port}")
    async with (
        running,
        server(sends(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnear")) as near,
        pool(settings) as of,
    ):
        assert (await of.get(near, {}, within=5))[1] == b"near"
        assert (await of.get("http://far.example/path", {}, within=5))[1] == b"proxy"
    assert seen == [b"GET http://far.example/path HTTP/1.1\r\n"]


def test_a_proxy_that_cannot_be_used_is_not_repeated_since_it_may_hold_a_password() -> None:
    with pytest.raises(SettingsError, match="UPSTREAM_PROXY must be") as raised:
        load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "UPSTREAM_PROXY": "socks5://me:canary@proxy"})
    assert "canary" not in str(raised.value)


@pytest.mark.fault("U-03")
async def test_certificates_are_verified_also_by_the_users_own_authority(tmp_path: Path) -> None:
    async with page(tmp_path) as url:
        assert "could not be verified: self" in await failure(url)
        settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "SSL_CERT_FILE": str(tmp_path / "ca.pem")})
        async with pool(settings) as of:
            assert (await of.get(url, {}, within=5))[0] == 200


def test_certificates_must_be_certificates(tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    none.write_text("nothing")
    for path in (none, tmp_path / "missing.pem"):
        with pytest.raises(SettingsError, match="SSL_CERT_FILE must be"):
            load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "SSL_CERT_FILE": str(path)})
    usual = ssl.get_default_verify_paths().cafile
    if usual is None:
        pytest.skip("this system has no file of certificates")
    assert load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "SSL_CERT_FILE": usual}).ssl_cert_file == usual
