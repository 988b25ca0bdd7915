"""Behaviours 57 to 60: the server's door, its weight, and its start."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from claude_code_proxy.settings import ENV_FILE
from e2e.proxy import serving
from grammar import read

from .stage import hello, post

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.mark.fault("S-10")
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
    assert len(sent) == 6 * 8 + 4  # Anthropic counts itself
    assert not any(SECRET in one for one in sent)
    assert (await post(url, "/v1/models", b"", method="GET")).status == 401
    assert (await post(url, "/anthropic:/v1/files", b"", method="GET")).status in {401, 404}
    assert not any(rec.path == "/v1/files" for rec in stage.anthropic.requests)
    assert (await post(url, "/", b"", method="GET")).status == 200
    assert (await post(url, "/", b"", method="HEAD")).status == 200


async def test_57_the_secret_is_not_the_clients_own_key(stage: Stage) -> None:
    """Where the user lets a client's own key go to Anthropic, that alone goes."""
    url = await stage.serve(PROXY_API_KEY=SECRET, ANTHROPIC_API_KEY="", ANTHROPIC_CLIENT_CREDENTIALS="true")
    own = {"authorization": "Bearer sk-ant-own", "x-api-key": SECRET}
    assert (await post(url, "/anthropic:claude-sonnet-4/v1/messages", hello(), **own)).status == 200
    headers = stage.only("anthropic").headers
    assert headers["authorization"] == "Bearer sk-ant-own"
    assert SECRET not in f"{headers}"
    refused = await post(url, "/anthropic:claude-sonnet-4/v1/messages", hello(), **{"x-api-key": SECRET})
    assert refused.status == 401
    assert len(stage.anthropic.posts) == 1


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


@pytest.mark.fault("L-12", "S-20")
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


@pytest.mark.fault("L-12")
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
