"""Behaviours 1 to 12: the server and its routes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from claude_code_proxy.cli.commands import made, split
from claude_code_proxy.settings import ENV_FILE, load_settings
from grammar import read

from .stage import BIG, CLIENT_KEY, TIMEOUT, Stage, hello, model_of, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
PROVIDERS = {
    "openai": "openai",
    "ollama": "ollama",
    "gemini": "gemini",
    "google": "gemini",
    "anthropic": "anthropic",
    "openrouter": "openrouter",
    "nvidia": "nvidia",
}


async def test_01_the_root_says_exactly_who_it_is(stage: Stage) -> None:
    answer = await post(stage.url, "/", b"", method="GET")
    assert (answer.status, answer.body) == (200, b'{"message":"Claude Code Proxy"}')
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    ["/", "", "/openai:gpt-4.1", "/openai:stepfun/step-3.5-flash:free", "/ollama:glm-4.7-flash:latest", "/gemini:g/"],
)
async def test_02_head_is_answered_without_a_body(stage: Stage, path: str) -> None:
    answer = await post(stage.url, path, b"", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert stage.asked() == {}


@pytest.mark.parametrize("base", ["", *(f"/{name}:some-model" for name in PROVIDERS)])
async def test_03_a_message_that_is_not_streamed(stage: Stage, base: str) -> None:
    for body in (hello(), hello(stream=False)):
        answer = await post(stage.url, f"{base}/v1/messages", body)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("application/json")
        message = answer.json
        assert (message["type"], message["role"]) == ("message", "assistant")
        assert [block["text"] for block in message["content"]] == ["Hello"]
        assert message["stop_reason"] == "end_turn"
        assert message["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("base", ["", *(f"/{name}:some-model" for name in PROVIDERS)])
async def test_04_a_message_that_is_streamed(stage: Stage, base: str) -> None:
    answer = await post(stage.url, f"{base}/v1/messages", hello(stream=True))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = read(answer.body)
    assert (told.text, told.stop_reason, told.ended) == ("Hello", "end_turn", True)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_05_a_provider_and_model_in_the_url(stage: Stage, name: str, *, stream: bool) -> None:
    answer = await post(stage.url, f"/{name}:some-model/v1/messages", hello("ignored", stream=stream))
    assert answer.status == 200
    assert stage.asked() == {PROVIDERS[name]: ["some-model"]}


async def test_05_google_is_gemini(stage: Stage) -> None:
    for name in ("gemini", "google"):
        assert (await post(stage.url, f"/{name}:gemini-2.5-pro/v1/messages", hello())).status == 200
    first, second = stage.gemini.posts
    assert (first.path, first.raw, first.query) == (second.path, second.raw, second.query)


SPELLINGS = [
    ("/openai:stepfun/step-3.5-flash:free", "openrouter", "stepfun/step-3.5-flash:free"),
    ("/openai%3Astepfun/step-3.5-flash%3Afree", "openrouter", "stepfun/step-3.5-flash:free"),
    ("/openai%3astepfun%2Fstep-3.5-flash%3afree", "openrouter", "stepfun/step-3.5-flash:free"),
    ("/OpenAI:stepfun/step-3.5-flash:free", "openrouter", "stepfun/step-3.5-flash:free"),
    ("/ollama:glm-4.7-flash:latest", "ollama", "glm-4.7-flash:latest"),
    ("/OLLAMA%3Aglm-4.7-flash%3Alatest", "ollama", "glm-4.7-flash:latest"),
    ("/ollama:hf.co/unsloth/Qwen3-GGUF:Q4_K_M", "ollama", "hf.co/unsloth/Qwen3-GGUF:Q4_K_M"),
    ("/openai:a:b:c", "openai", "a:b:c"),
    ("/openai:ft:gpt-4.1:org/x::id", "openai", "ft:gpt-4.1:org/x::id"),
    ("/GeMiNi:gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    ("/Google:gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
    ("/ANTHROPIC:claude-sonnet-4", "anthropic", "claude-sonnet-4"),
    ("/openrouter:openai/gpt-4.1:floor", "openrouter", "openai/gpt-4.1:floor"),
    ("/nvidia:z-ai/glm5", "nvidia", "z-ai/glm5"),
    ("/ollama:v1/messages-model", "ollama", "v1/messages-model"),
    ("/ollama:caf%C3%A9%20model", "ollama", "café model"),
]


@pytest.mark.parametrize(("base", "provider", "model"), SPELLINGS, ids=[base for base, *_ in SPELLINGS])
async def test_06_the_url_splits_at_its_first_colon(stage: Stage, base: str, provider: str, model: str) -> None:
    assert (await post(stage.url, f"{base}/v1/messages", hello())).status == 200
    assert stage.asked() == {provider: [model]}


@pytest.mark.parametrize("tail", ["", "/count_tokens"])
@pytest.mark.parametrize("base", ["/nosuch:model", "/gpt-4.1", "/openai", "/:model", "/a/b/c", "/no%20such:model"])
async def test_07_an_unknown_provider_is_told_the_valid_ones(stage: Stage, base: str, tail: str) -> None:
    answer = await post(stage.url, f"{base}/v1/messages{tail}", hello())
    assert answer.status == 400
    error = answer.error()
    assert error["type"] == "invalid_request_error"
    assert [name for name in PROVIDERS if name != "google" and name not in error["message"]] == []
    assert stage.asked() == {}


@pytest.mark.parametrize("tail", ["", "/count_tokens"])
@pytest.mark.parametrize("base", ["/openai:", "/ollama:%20", "/gemini%3A", "/openrouter://"])
async def test_07_an_empty_model_is_refused(stage: Stage, base: str, tail: str) -> None:
    """Under /anthropic: alone, where every path of Anthropic's passes, the model is the body's."""
    for stream in (False, True):
        answer = await post(stage.url, f"{base}/v1/messages{tail}", hello(stream=stream))
        assert (answer.status, answer.error()["type"]) == (400, "invalid_request_error")
    assert stage.asked() == {}


@pytest.mark.parametrize("base", ["", "/openai:gpt-4.1", "/anthropic:claude-sonnet-4", "/ollama:m:latest"])
@pytest.mark.parametrize(
    "path", ["/v1/messages", "//v1/messages", "///v1/messages", "/v1/messages/", "/v1/v1/messages"]
)
@pytest.mark.parametrize("query", ["", "?beta=true", "?beta=true&x=%20y"])
async def test_08_queries_and_doubled_slashes_mean_nothing(stage: Stage, base: str, path: str, query: str) -> None:
    assert (await post(stage.url, base + path + query, hello())).status == 200
    expected = {"": ("openai", BIG), "/ollama:m:latest": ("ollama", "m:latest")}
    provider, model = expected.get(base, (base[1:].partition(":")[0], base.partition(":")[2]))
    assert stage.asked() == {provider: [model]}


@pytest.mark.parametrize("base", ["", *(f"/{name}:some/model:x" for name in PROVIDERS)])
async def test_09_counting(stage: Stage, base: str) -> None:
    body = {"model": "claude-sonnet-4", "messages": [{"role": "user", "content": "Hello"}]}
    for query in ("", "?beta=true"):
        answer = await post(stage.url, f"{base}/v1/messages/count_tokens{query}", body)
        assert (answer.status, list(answer.json)) == (200, ["input_tokens"])
        assert type(answer.json["input_tokens"]) is int
        assert answer.json["input_tokens"] > 0


CREDENTIALS: dict[str, dict[str, str]] = {
    "none": {},
    "x-api-key": {"x-api-key": CLIENT_KEY},
    "bearer": {"authorization": f"Bearer {CLIENT_KEY}"},
    "both": {"x-api-key": CLIENT_KEY, "authorization": f"bearer {CLIENT_KEY}"},
    "basic": {"authorization": f"Basic {CLIENT_KEY}"},
    "others": {
        "x-goog-api-key": CLIENT_KEY,
        "api-key": CLIENT_KEY,
        "cookie": CLIENT_KEY,
        "proxy-authorization": CLIENT_KEY,
    },
}


@pytest.mark.parametrize("headers", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("name", PROVIDERS)
async def test_10_any_credential_will_do_and_stays_here(stage: Stage, name: str, headers: Mapping[str, str]) -> None:
    for stream in (False, True):
        assert (await post(stage.url, f"/{name}:m/v1/messages", hello(stream=stream), **headers)).status == 200
    assert (await post(stage.url, f"/{name}:m/v1/messages/count_tokens", hello(), **headers)).status == 200
    seen = [f"{rec.path} {rec.query} {rec.headers} {rec.raw!r}" for rec in stage.upstreams[PROVIDERS[name]].posts]
    assert len(seen) == (3 if name in {"anthropic", "gemini", "google"} else 2)  # which count themselves
    assert not any(CLIENT_KEY in one for one in seen)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@asynccontextmanager
async def started(*command: str, cwd: Path, port: int, **env: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a command until it answers on this port; yields a session with it as the base."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=TIMEOUT) as session, asyncio.timeout(30):
            while True:
                assert process.returncode is None
                try:
                    async with session.get("/readyz") as got:
                        assert got.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)  # nobody listens yet, and nothing tells when
            yield session
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 10)


async def test_11_the_port_is_4000() -> None:
    for argv in ([], ["serve"]):
        assert made().parse_args(split(argv)[0]).port == 4000


async def test_11_the_seeds_start_command(stage: Stage, tmp_path: Path) -> None:
    command = "uv run uvicorn server:app --host 0.0.0.0 --port 4000"
    port, uv = free_port(), shutil.which("uv")
    words = command.replace("4000", str(port)).split()
    words = [uv, "run", "--locked", "--no-sync", *words[2:]] if uv else [sys.executable, "-m", *words[2:]]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), ENV_FILE: "", **stage.env}
    async with started(*words, cwd=ROOT, port=port, **env) as session:
        async with session.get("/") as got:
            assert await got.read() == b'{"message":"Claude Code Proxy"}'
        async with session.post("/v1/messages", json=hello()) as got:
            assert got.status == 200
    assert stage.asked() == {"openai": [BIG]}


def compose_file() -> Path | None:
    names = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
    return next((ROOT / name for name in names if (ROOT / name).is_file()), None)


async def test_11_the_composition() -> None:
    """What can be seen in the file; it comes with the packaging."""
    file = compose_file()
    assert file is not None
    said = file.read_text("utf-8")
    assert "4000" in said
    assert ".env" in said
    assert "host.docker.internal:host-gateway" in said


def copied(to: Path) -> Path:
    """The program as a user has it, without this checkout's own .env."""
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("server.py", ".env.example", "pyproject.toml"):
        shutil.copy(ROOT / name, to)
    return to


async def test_12_the_env_file_is_read_and_the_environment_wins(stage: Stage, tmp_path: Path) -> None:
    home = copied(tmp_path)
    lines = [f'{name}="{value}"' for name, value in stage.env.items() if name not in {"BIG_MODEL", "SMALL_MODEL"}]
    (home / ".env").write_text("\n".join([*lines, "BIG_MODEL=of-the-file", "SMALL_MODEL='small-of-the-file'"]))
    port = free_port()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(home / "src"), "BIG_MODEL": "of-the-shell"}
    words = (sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port))
    async with started(*words, cwd=home, port=port, **env) as session:
        for model in ("claude-opus-4", "claude-haiku-4"):
            async with session.post("/v1/messages", json=hello(model)) as got:
                assert got.status == 200
    assert stage.asked() == {"openai": ["of-the-shell", "small-of-the-file"]}


DEFAULTS: list[tuple[str, Any]] = [
    ("preferred_provider", "openai"),
    ("big_model", "gpt-4.1"),
    ("small_model", "gpt-4.1-mini"),
    ("max_output_tokens", 0),
    ("ollama_num_ctx", 128_000),
]
ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "ollama": "http://localhost:11434",
    "anthropic": "https://api.anthropic.com",
}


@pytest.mark.parametrize("empty", [False, True], ids=["unset", "empty"])
async def test_12_defaults(*, empty: bool) -> None:
    names = [*(name.upper() for name, _ in DEFAULTS), "OPENAI_BASE_URL", "OPENROUTER_BASE_URL", "NVIDIA_BASE_URL"]
    settings = load_settings({ENV_FILE: "", **(dict.fromkeys(names, "") if empty else {})})
    assert [getattr(settings, name) for name, _ in DEFAULTS] == [value for _, value in DEFAULTS]
    assert {name: settings.providers[name].base_url for name in ADDRESSES} == ADDRESSES
    assert settings.providers["nvidia"].body_for("nvidia/nemotron-3") == {
        "reasoning_budget": 16384,
        "chat_template_kwargs": {"enable_thinking": True},
    }


async def test_12_it_starts_without_any_key(stage: Stage) -> None:
    bare = await stage.serve(**dict.fromkeys([name for name in stage.env if name.endswith("_API_KEY")], ""))
    assert (await post(bare, "/", b"", method="GET")).status == 200
    assert (await post(bare, "/v1/messages/count_tokens", hello())).status == 200
    assert (await post(bare, "/ollama:m/v1/messages", hello())).status == 200
    answer = await post(bare, "/v1/messages", hello())
    assert (answer.status, answer.error()["type"]) == (401, "authentication_error")
    assert "OPENAI_API_KEY" in answer.error()["message"]
    assert [model_of(rec) for rec in stage.ollama.posts] == ["m"]
    assert set(stage.asked()) == {"ollama"}
