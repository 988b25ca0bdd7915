"""A real browser shows pages of other sites, which try all they can: they neither read nor spend (S-01b, S-02)."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest
from aiohttp import web

from e2e.proxy import serving

from .line import provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstreams import FakeChat

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).with_name("attacks.html").read_text("utf-8")
LONGEST_SHOW = 90.0
NAMES = ("evil.test", "rebound.test")


def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is here; .ci/run installs Debian's")


class Site:
    """The server of the page. It also stands for one that does not defend itself, to show what the attacks can do.

    One that is to be `left` keeps its page waiting until another answers in its place.
    """

    def __init__(self, *, left: bool) -> None:
        self.left = left
        self.url = ""
        self.hits: list[str] = []
        self.ready = asyncio.Event()
        self.report: asyncio.Future[list[dict[str, str]]] = asyncio.get_running_loop().create_future()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        match request.path:
            case "/page":
                return web.Response(text=PAGE, content_type="text/html")
            case "/ready":
                self.ready.set()
                if self.left:
                    raise web.HTTPNotFound
            case "/report" if not self.report.done():
                self.report.set_result(json.loads(body))
            case "/v1/messages" if request.headers.get("upgrade", "").lower() == "websocket":
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                self.hits.append("WebSocket")
                return socket
            case "/v1/messages" | "/v1/models" | "/":
                self.hits.append(f"{request.method} {body}")
        answer = web.Response(text="data: secret\n\n" if request.method == "GET" else "secret")
        if "event-stream" in request.headers.get("accept", ""):
            answer.content_type = "text/event-stream"
        answer.headers["access-control-allow-origin"] = request.headers.get("origin", "*")
        answer.headers["access-control-allow-headers"] = "content-type"
        answer.headers["access-control-allow-credentials"] = "true"
        return answer


@asynccontextmanager
async def site(*, left: bool = False) -> AsyncIterator[Site]:
    app, own = web.Application(), Site(left=left)
    app.router.add_route("*", "/{path:.*}", own.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        own.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield own
    finally:
        await runner.cleanup()


class Way:
    """Leads connections to one server and then to another, as a name does that is rebound."""

    def __init__(self, to: str) -> None:
        self.to = to
        self._open: set[asyncio.StreamWriter] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.to)
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        self._open |= {writer, back}
        with suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        self._open -= {writer, back}

    def turn(self, to: str) -> None:
        """Lead there from now on, and drop what is open."""
        self.to = to
        for writer in self._open:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def way(to: str, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[tuple[Way, int]]:
    own = Way(to)
    server = await asyncio.start_server(own.handle, host, port)
    try:
        yield own, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        own.turn("")


@asynccontextmanager
async def shown(url: str, folder: Path) -> AsyncIterator[None]:
    """A browser that shows this page. All names of the tests are this machine."""
    rules = ", ".join(f"MAP {name} 127.0.0.1" for name in NAMES)
    process = await asyncio.create_subprocess_exec(
        *(browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-popup-blocking"),
        *(f"--user-data-dir={folder}", f"--host-resolver-rules={rules}", "--no-proxy-server", url),
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        if process.returncode is None:
            process.kill()
            await process.wait()


def address(page: str, home: str, *targets: str) -> str:
    return f"{page}/page?" + urlencode([("home", home), *(("target", target) for target in targets)])


async def test_what_the_attacks_can_do(tmp_path: Path) -> None:
    """To a server that does not defend itself: or the other tests would show nothing."""
    async with site() as own, site() as victim:
        page = own.url.replace("127.0.0.1", "evil.test")
        async with shown(address(page, own.url, victim.url), tmp_path):
            report = await asyncio.wait_for(own.report, LONGEST_SHOW)
    reads = {row["name"] for row in report if row["outcome"].startswith("read")}
    assert reads >= {"fetch, CORS", "fetch with credentials", "JSON", "JSON as a text, CORS", "a WebSocket", "events"}
    spent = [hit for hit in victim.hits if hit.startswith("POST") and "spend" in hit]
    assert len(spent) >= 7
    assert len(victim.hits) - len(spent) >= 6


@pytest.mark.parametrize("key", ["", "canary-of-the-proxy"])
@pytest.mark.fault("S-01")
async def test_a_page_of_another_site_can_do_nothing(chat: FakeChat, tmp_path: Path, key: str) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        own = await enter(site())
        proxy = await enter(serving(tmp_path / "server", PROXY_API_KEY=key, **provider(chat)))
        port = proxy.url.rpartition(":")[2]
        names = ["127.0.0.1", "localhost", "0.0.0.0", *NAMES]
        with suppress(OSError):  # a machine without IPv6
            await enter(way(proxy.url, "::1", int(port)))
            names.append("[::1]")
        page = own.url.replace("127.0.0.1", "evil.test")
        await enter(shown(address(page, own.url, *(f"http://{name}:{port}" for name in names)), tmp_path / "browser"))
        report = await asyncio.wait_for(own.report, LONGEST_SHOW)
    assert {row["target"] for row in report} == {f"http://{name}:{port}" for name in names}
    assert [row for row in report if row["outcome"].startswith("read")] == []
    assert chat.requests == []
    tried = [line for line in proxy.log.lines if "INFO" in line and " 403 " in line]
    assert len([line for line in tried if "POST /v1/messages" in line]) >= 7  # the browser did send them
    assert len([line for line in tried if "GET /" in line]) >= 6


@pytest.mark.fault("S-02")
async def test_a_name_that_is_rebound_leads_nowhere(chat: FakeChat, tmp_path: Path) -> None:
    """The page is of the very origin that it asks, so that nothing but the Host tells them apart."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        own = await enter(site(left=True))
        proxy = await enter(serving(tmp_path / "server", **provider(chat)))
        turning, port = await enter(way(own.url))
        page = f"http://rebound.test:{port}"
        await enter(shown(address(page, own.url, page), tmp_path / "browser"))
        await asyncio.wait_for(own.ready.wait(), LONGEST_SHOW)
        turning.turn(proxy.url)
        report = await asyncio.wait_for(own.report, LONGEST_SHOW)
    reads = [row["outcome"] for row in report if row["outcome"].startswith("read")]
    assert reads  # a page may read what its own origin answers
    assert all(one.startswith("read 403: ") and "PROXY_HOSTS" in one for one in reads), reads
    assert chat.requests == []
    assert any("POST /v1/messages" in line and " 403 " in line for line in proxy.log.lines)
