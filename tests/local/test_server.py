"""The server's life: it answers, and it never outlives whoever started it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from claude_code_proxy.local import ServerError, Stage
from claude_code_proxy.local import server as module
from claude_code_proxy.local.fetch import Model, fetch
from claude_code_proxy.local.server import LocalModel, local_server

if TYPE_CHECKING:
    from pathlib import Path

WAIT = 60


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def get(url: str) -> Any:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT)) as session, session.get(url) as reply:
        return await reply.json(content_type=None)


@pytest.mark.usefixtures("stub")
async def test_serves_while_the_block_runs(tiny: Model, tmp_path: Path) -> None:
    stages: list[Stage] = []

    async with local_server(tiny, cache_dir=tmp_path, progress=lambda stage, *_: stages.append(stage)) as local:
        seen = await get(local.base_url)
        assert seen["api_keys"] == [local.api_key]
        assert len(local.api_key) >= 32
        assert local.api_key not in repr(local)
        assert (local.name, local.context) == ("tiny", 512)

    assert not alive(local.pid)
    assert list(dict.fromkeys(stages)) == ["download", "check", "load"]


@pytest.mark.usefixtures("stub")
async def test_every_run_has_its_own_key(tiny: Model, tmp_path: Path) -> None:
    async with local_server(tiny, cache_dir=tmp_path) as one, local_server(tiny, cache_dir=tmp_path) as two:
        assert one.api_key != two.api_key
        assert one.base_url != two.base_url


@pytest.mark.usefixtures("stub")
async def test_ends_when_the_block_fails(tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with local_server(tiny, cache_dir=tmp_path) as local:
            raise ZeroDivisionError

    assert not alive(local.pid)


@pytest.mark.usefixtures("stub")
async def test_ends_when_cancelled(tiny: Model, tmp_path: Path) -> None:
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def serve() -> None:
        async with local_server(tiny, cache_dir=tmp_path) as local:
            pids.put_nowait(local.pid)
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    async with asyncio.timeout(WAIT):
        pid = await pids.get()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert not alive(pid)


@pytest.mark.usefixtures("stub")
async def test_model_that_cannot_be_loaded(tiny: Model, tmp_path: Path) -> None:
    path = await fetch(tiny, tmp_path)
    path.write_bytes(b"x" * tiny.size)

    with pytest.raises(ServerError, match=f"cannot load the model.*Delete {path}"):
        async with local_server(tiny, cache_dir=tmp_path):
            pytest.fail("it started")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit('no such processor')", "with exit code 1. no such processor"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "by SIGILL"),
    ],
)
async def test_child_that_dies_at_once(
    code: str, words: str, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetch(tiny, tmp_path)
    (tmp_path / "xllamacpp.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(ServerError, match=words):
        async with local_server(tiny, cache_dir=tmp_path):
            pytest.fail("it started")


async def test_child_that_hangs(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fetch(tiny, tmp_path)
    (tmp_path / "xllamacpp.py").write_text("import threading; threading.Event().wait()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(module, "_START", 1.0)

    with pytest.raises(ServerError, match="did not answer within 1 s"):
        async with local_server(tiny, cache_dir=tmp_path):
            pytest.fail("it started")


@pytest.mark.usefixtures("stub")
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs a way to wait for a process that is not ours")
def test_child_goes_when_its_parent_is_killed(tiny: Model, tmp_path: Path) -> None:
    script = """
import asyncio, pathlib, sys, msgspec
from claude_code_proxy.local.fetch import Model
from claude_code_proxy.local.server import local_server
async def main():
    async with local_server(msgspec.json.decode(sys.argv[1], type=Model), cache_dir=pathlib.Path(sys.argv[2])) as local:
        print(local.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    command = [sys.executable, "-c", script, msgspec.json.encode(tiny).decode(), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert not select.select([child], [], [], 0)[0]
            parent.send_signal(signal.SIGKILL)
            assert parent.wait(timeout=WAIT) == -signal.SIGKILL
            assert select.select([child], [], [], 5)[0], "the child is still there after 5 s"
        finally:
            os.close(child)


# What follows asks the real model. It is tiny and often wrong, so only shapes are compared.

QUESTION: dict[str, Any] = {
    "model": "any",
    "max_tokens": 24,
    "temperature": 0,
    "system": "You are a helpful assistant.",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


async def post(local: LocalModel, path: str, body: dict[str, Any], *, key: str | None = None) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {local.api_key if key is None else key}"}
    limits = aiohttp.ClientTimeout(total=WAIT)
    async with (
        aiohttp.ClientSession(timeout=limits, headers=headers) as session,
        session.post(f"{local.base_url}/{path}", json=body) as reply,
    ):
        return reply.status, await reply.read()


async def test_real_model_speaks_openai(local_model: LocalModel) -> None:
    body = {name: value for name, value in QUESTION.items() if name != "system"}
    status, reply = await post(local_model, "chat/completions", body)

    assert status == 200
    told = json.loads(reply)
    assert told["model"] == local_model.name
    assert told["choices"][0]["message"]["content"].strip()
    assert 0 < told["usage"]["completion_tokens"] <= 24


async def test_real_model_speaks_anthropic(local_model: LocalModel) -> None:
    status, reply = await post(local_model, "messages", QUESTION)

    assert status == 200
    told = json.loads(reply)
    assert told["type"] == "message"
    assert told["content"][0]["text"].strip()
    assert told["stop_reason"] in {"end_turn", "max_tokens"}


async def test_real_model_streams_anthropic(local_model: LocalModel) -> None:
    status, reply = await post(local_model, "messages", {**QUESTION, "stream": True})

    assert status == 200
    events = [json.loads(line[5:]) for line in reply.splitlines() if line.startswith(b"data:")]
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    assert "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta").strip()


async def test_real_model_wants_the_key(local_model: LocalModel) -> None:
    status, reply = await post(local_model, "messages", QUESTION, key="guess")

    assert status == 401
    assert b"Invalid API Key" in reply


async def test_real_model_has_the_context_that_the_table_tells(local_model: LocalModel) -> None:
    headers = {"authorization": f"Bearer {local_model.api_key}"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT), headers=headers) as session,
        session.get(f"{local_model.base_url}/models") as reply,
    ):
        told = await reply.json()

    assert told["data"][0]["meta"]["n_ctx"] == local_model.context == 8192
