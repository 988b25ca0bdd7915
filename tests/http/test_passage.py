"""What the passage of other paths holds in memory, and which paths it takes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from asgi import Exchange
from claude_code_proxy.app import create_app
from claude_code_proxy.http.passage import Passage, Upload, leaves
from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, MutableMapping

SETTINGS = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "ANTHROPIC_API_KEY": "k"})


class Parts:
    """A server's `receive` that counts how far it was read."""

    def __init__(self, number: int) -> None:
        self.number, self.read = number, 0

    async def receive(self) -> MutableMapping[str, Any]:
        self.read += 1
        if self.read > self.number:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"%d" % self.read, "more_body": self.read < self.number}


async def read(upload: Upload) -> None:
    while (await upload.receive())["type"] != "http.disconnect":
        pass


async def test_a_body_is_read_no_faster_than_it_is_taken() -> None:
    server = Parts(50)
    upload = Upload(server.receive, 20)
    reading = asyncio.create_task(read(upload))
    taken = 0
    async for part in upload.parts():
        taken += 1
        assert part == b"%d" % taken
        await asyncio.sleep(0)
        assert server.read <= taken + 3
    await reading
    assert (taken, upload.stalled) == (50, False)


async def test_a_body_that_nobody_takes() -> None:
    upload = Upload(Parts(50).receive, 0.01)
    await read(upload)
    assert upload.stalled


WAYS: list[tuple[str, str | None]] = [
    ("/anthropic:/v1/files", "/v1/files"),
    ("/anthropic:m/v1/files", "/v1/files"),
    ("/Anthropic%3am/v1/files", "/v1/files"),
    ("/anthropic:/v1/models", "/v1/models"),
    ("/anthropic:m/v1/models", None),
    ("/anthropic:m/v1/models/m", None),
    ("/anthropic:m/v1/models-of-mine", "/v1/models-of-mine"),
    ("/anthropic:/v1/", None),
    ("/anthropic:/v2/files", None),
    ("/anthropic/v1/files", None),
    ("/openai:m/v1/files", None),
    ("/nosuch:m/v1/files", None),
    ("/v1/files", None),
    ("/", None),
    ("http://evil.test/anthropic:/v1/files", None),
]


@pytest.mark.parametrize(("path", "there"), WAYS)
def test_which_paths_it_takes(path: str, there: str | None) -> None:
    way = Passage(SETTINGS, Pool(SETTINGS)).way({"path": path, "raw_path": path.encode()})
    assert (way.path if way else None) == there
    assert way is None or way.provider.name == "anthropic"


@pytest.mark.parametrize(
    ("path", "said"),
    [("/v1/a..b/...", False), ("/v1/%41", False), ("/v1/x/..", True), ("/v1/%2E%2E%2Fx", True), ("/v1/ .. /x", True)],
)
def test_what_leaves(path: str, said: bool) -> None:  # noqa: FBT001
    assert leaves(path) is said


async def test_a_host_s_probe_is_answered_here() -> None:
    exchange = Exchange(b"", "/anthropic:/v1/files")
    exchange.scope |= {"method": "HEAD"}
    await exchange.run(create_app(SETTINGS))
    assert exchange.status == 200


class Stuck(Pool):
    """A pool whose upstream takes nothing and says nothing."""

    @asynccontextmanager
    async def passed(self, *_: object) -> AsyncGenerator[Upstream]:
        await asyncio.Event().wait()
        yield Upstream.__new__(Upstream)


async def test_an_upstream_that_takes_nothing_is_told() -> None:
    settings = replace(SETTINGS, idle_timeout=0.01)
    exchange = Exchange(b"first", "/anthropic:/v1/files", {"content-length": "99"})
    exchange._coming.put_nowait({"type": "http.request", "body": b"more", "more_body": True})
    passage = Passage(settings, Stuck(settings))
    way = passage.way(exchange.scope)
    assert way
    await passage(exchange.scope, exchange.receive, exchange.send, way)
    assert (exchange.status, b"took nothing" in exchange.body) == (504, True)
