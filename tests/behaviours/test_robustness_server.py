"""Behaviours 53 to 60: the server under load, its log, its door, its weight, and its start."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from packaging.requirements import Requirement

from claude_code_proxy.settings import ENV_FILE
from e2e.proxy import serving
from grammar import read
from upstreams import Chat, FakeChat, Http, Msg, Raw, failure, text

from .stage import BIG, CLIENT_KEY, JSON, KEYS, TIMEOUT, TOOL, hello, post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstreams import Recorded

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
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
    """On a connection of its own: one that was used before may prove to be closed, and is no attempt then."""
    url = await stage.serve(PING_INTERVAL=str(10 + list(FAILURES).index(case)), MAX_OUTPUT_TOKENS=str(1000 + stream))
    stage.upstreams[name].use(FAILURES[case])
    answer = await post(url, f"{BASES[name]}/v1/messages", hello(stream=stream))
    assert answer.status >= 400
    assert len(stage.upstreams[name].posts) == 1


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_55_nor_on_a_used_connection_that_breaks_late(stage: Stage, name: str) -> None:
    """An upstream that was at work is not asked again."""
    assert (await post(stage.url, f"{BASES[name]}/v1/messages", hello())).status == 200
    stage.upstreams[name].use(Raw([("sleep", 1.1), ("abort",)]))
    assert (await post(stage.url, f"{BASES[name]}/v1/messages", hello())).status >= 500
    assert len(stage.upstreams[name].posts) == 1


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


SECRET = "canary-of-the-proxy"
DOORS: list[tuple[dict[str, str], int]] = [
    ({}, 401),
    ({"x-api-key": "wrong"}, 401),
    ({"x-api-key": ""}, 401),
    ({"authorization": SECRET}, 200),
    ({"authorization": f"Basic {SECRET}"}, 401),
    ({"authorization": "Bearer "}, 401),
    ({"x-api-key": f"{SECRET}x"}, 401),
    ({"x-api-key": SECRET}, 200),
    ({"authorization": f"Bearer {SECRET}"}, 200),
    ({"authorization": f"bearer {SECRET}", "x-api-key": "wrong"}, 200),
]


async def test_57_a_secret_for_clients(stage: Stage) -> None:
    url = await stage.serve(PROXY_API_KEY=SECRET)
    for base in ("", *BASES.values()):
        for headers, status in DOORS:
            for stream in (False, True):
                answer = await post(url, f"{base}/v1/messages", hello(stream=stream), **headers)
                assert answer.status == status, (headers, answer.body)
                if status == 401:
                    assert answer.error()["type"] == "authentication_error"
                    assert answer.headers["x-should-retry"] == "false"
            assert (await post(url, f"{base}/v1/messages/count_tokens", hello(), **headers)).status == status
    sent = [f"{rec.headers} {rec.raw!r}" for upstream in stage.upstreams.values() for rec in upstream.requests]
    assert len(sent) == 6 * 8
    assert not any(SECRET in one for one in sent)
    assert (await post(url, "/v1/models", b"", method="GET")).status == 401
    assert (await post(url, "/anthropic:/v1/files", b"", method="GET")).status in {401, 404}
    assert not any(rec.path == "/v1/files" for rec in stage.anthropic.requests)
    assert (await post(url, "/", b"", method="GET")).status == 200
    assert (await post(url, "/", b"", method="HEAD")).status == 200


@pytest.mark.parametrize(
    ("host", "secret", "warned"),
    [("0.0.0.0", "", True), ("0.0.0.0", SECRET, False), ("127.0.0.1", "", False), ("localhost", "", False)],
)
async def test_57_a_warning_when_others_can_reach_it(tmp_path: Path, host: str, secret: str, *, warned: bool) -> None:
    """In the seed's own start command, too."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), ENV_FILE: "", "PROXY_API_KEY": secret}
    words = (sys.executable, "-m", "uvicorn", "server:app", "--host", host, "--port", "0")
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    lines = []
    try:
        async with asyncio.timeout(30):
            while line := (await process.stderr.readline()).decode():
                lines.append(line)
                if "Uvicorn running" in line:
                    break
    finally:
        process.terminate()
        await process.wait()
    assert any("PROXY_API_KEY" in line and "WARNING" in line for line in lines) == warned, lines
    assert SECRET not in "".join(lines)


NO_NETWORK = """
import json, sys
asked = []
def watch(event, args):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"}:
        asked.append([event, str(args)])
sys.addaudithook(watch)
import server
import asyncio
async def start():
    sent = []
    told = [{"type": "lifespan.startup"}]
    async def receive():
        if told:
            return told.pop()
        await asyncio.sleep(0.1)
        return {"type": "lifespan.shutdown"}
    async def send(message):
        sent.append(message["type"])
    await server.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent
sent = asyncio.run(start())
print(json.dumps({"asked": asked, "sent": sent, "modules": sorted(sys.modules)}))
"""
HEAVY = {
    "numpy",
    "litellm",
    "openai",
    "anthropic",
    "pydantic",
    "fastapi",
    "grpc",
    "google",
    "torch",
    "httpx",
    "tiktoken",
}


def weight() -> Iterator[tuple[str, int]]:
    """The packages that a plain installation has, and their bytes."""
    todo, seen = ["claude-code-proxy"], set[str]()
    while todo:
        name = todo.pop().lower()
        if name in seen:
            continue
        seen.add(name)
        for line in requires(name) or ():
            wanted = Requirement(line)
            if not wanted.marker or wanted.marker.evaluate({"extra": ""}):
                todo.append(wanted.name)
        files = (Path(str(file.locate())) for file in distribution(name).files or () if file.suffix != ".pyc")
        yield name, sum(file.stat().st_size for file in files if file.is_file())


async def test_58_no_network_at_the_start_and_little_weight(tmp_path: Path) -> None:
    """The seed: 100 packages, 320 MB, and a look-up of GitHub at import."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), ENV_FILE: ""}
    command = (sys.executable, "-c", NO_NETWORK)
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sent"] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert told["asked"] == []
    assert HEAVY & {name.partition(".")[0] for name in told["modules"]} == set()
    packages = dict(weight())
    assert len(packages) < 40
    assert sum(packages.values()) < 100 << 20


async def test_58_little_memory(stage: Stage, tmp_path: Path) -> None:
    """The seed: 152 MB after the start, 211 MB after some hundred requests."""
    if not _read(Path("/proc/self/status")):
        pytest.skip("this system does not tell in /proc")
    async with serving(tmp_path, **stage.env) as proxy:
        [process] = _processes(f"\0--port\0{proxy.url.rpartition(':')[2]}\0")
        for _ in range(20):
            await asyncio.gather(*(post(proxy.url, "/v1/messages", hello(stream=True)) for _ in range(10)))
        [line] = [line for line in _read(process / "status").splitlines() if line.startswith("VmRSS:")]
        assert int(line.split()[1]) < 100 << 10  # kB


def _processes(words: str) -> list[Path]:
    folders = (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return [folder for folder in folders if words in _read(folder / "cmdline")]


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""  # a process that has just ended


async def test_59_the_readmes_first_requests(stage: Stage) -> None:
    """With the real curl, from either README, in test_readme_curls.py."""
    env = {"PREFERRED_PROVIDER": "ollama", "BIG_MODEL": "gpt-oss:20b", "SMALL_MODEL": "gpt-oss:20b"}
    url = await stage.serve(**env)
    for base, model, provider, sent in (
        ("/openai:stepfun/step-3.5-flash:free", "stepfun/step-3.5-flash:free", "openrouter", None),
        ("/openai:nvidia/nemotron-3-nano-30b-a3b", "nvidia/nemotron-3-nano-30b-a3b", "nvidia", None),
        ("", "claude-sonnet-4", "ollama", "gpt-oss:20b"),
    ):
        for stream in (False, True):
            stage.answer()
            body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Say Hello"}]}
            answer = await post(url, f"{base}/v1/messages", body | {"stream": stream}, **{"x-api-key": "dummy"})
            assert answer.status == 200
            assert not stream or read(answer.body).text == "Hello"
            assert stage.asked() == {provider: [sent or model]}


async def test_60_python_and_uv() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "claude-code-proxy" in project["project"]["scripts"]
    lowest = re.fullmatch(r">=3\.(\d+)", project["project"]["requires-python"])
    assert lowest is not None
    assert int(lowest[1]) <= 11  # the seed says 3.10, which ended in October 2026
    uv = shutil.which("uv")
    if uv:
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "")}
        command = (uv, "lock", "--check", "--offline")
        done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


async def test_60_one_copy_of_the_example_away(stage: Stage, tmp_path: Path) -> None:
    """`cp .env.example .env`, the keys, and the start command."""
    example = (ROOT / ".env.example").read_text("utf-8")
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL")
    lines = [line for line in example.splitlines() if not any(line.startswith(f"#{name}=") for name in names)]
    assert len(lines) == len(example.splitlines()) - len(names)
    file = tmp_path / ".env"
    file.write_text(example)
    async with serving(tmp_path / "untouched", **{ENV_FILE: str(file)}) as proxy:
        answer = await post(proxy.url, "/v1/messages", hello())
        assert answer.status == 401
        assert "OPENAI_API_KEY" in answer.error()["message"]
    file.write_text("\n".join([*lines, *(f'{name}="{stage.env[name]}"' for name in names)]))
    async with serving(tmp_path / "filled", **{ENV_FILE: str(file)}) as proxy:
        assert (await post(proxy.url, "/v1/messages", hello())).status == 200
    assert stage.asked() == {"openai": ["gpt-4.1"]}
