"""Capture that is switched on while the proxy runs, and the report of what happened then."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from canaries import canary, told
from replay import Bundle
from upstreams import Chat, Http

from .http_client import HELLO, send
from .proxy import ROOT, Start

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORD = canary("what the client says")


async def command(*words: str, **env: str) -> tuple[int, str]:
    """A command of ours with these variables: its exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "claude_code_proxy", *words),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_a_bug_is_reported(world: World, proxy: Start, tmp_path: Path) -> None:
    settings, place, file = tmp_path / ".env", tmp_path / "ledger.db", tmp_path / "bug.zip"
    settings.write_text("MAX_OUTPUT_TOKENS=1000\n")
    env = {**world.env, "CLAUDE_CODE_PROXY_ENV_FILE": str(settings), "PROXY_LEDGER": str(place), "HOME": str(tmp_path)}
    ours = await proxy(**env)
    body = {**HELLO, "messages": [{"role": "user", "content": f"Say {WORD}."}]}

    world.chat.use(Http(503, {"error": {"message": f"No {WORD}", "type": "server_error", "code": "busy"}}))
    assert (await send(ours.url, "/v1/messages", body)).status == 529
    await ours.log.until(" 529 ")
    status, said = await reported("last", file, env)
    assert (status, "PROXY_CAPTURE=true" in said) == (0, True)
    assert set(Bundle.of(file).files) == {"README.md", "meta.json"}

    settings.write_text("MAX_OUTPUT_TOKENS=1000\nPROXY_CAPTURE=true\n")
    await ours.log.until("The settings were changed")
    world.chat.use(Chat(f"I say {WORD}."))
    answer = await send(ours.url, "/v1/messages", {**body, "stream": True})
    ident = answer.headers["request-id"]
    for content in (True, False):
        status, said = await reported(ident, file, env, *(["--with-content"] if content else []))
        assert status == 0, said
        bundle = Bundle.of(file)
        assert bundle.wrong() == ""
        assert (bundle.part("answer") == answer.body) is content
        assert bool(told(b"".join(bundle.files.values()).decode(), [WORD])) is content
        assert bundle.outgoing().body == bundle.part("outgoing") or not content
    status, said = await command("report", "req_unknown", **env)
    assert (status, "The ledger has no request 'req_unknown'" in said) == (1, True)


async def reported(ident: str, file: Path, env: dict[str, str], *more: str) -> tuple[int, str]:
    """A report, once the request is in the ledger: that takes half a second."""
    async with asyncio.timeout(20):
        while True:
            status, said = await command("report", ident, "-o", str(file), *more, **env)
            if status == 0 and (ident == "last" or "answer" in Bundle.of(file).meta):
                return status, said
            await asyncio.sleep(0.2)
