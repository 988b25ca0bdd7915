"""Behaviour 59: the commands of either README work as they stand, with the real curl; only the port is another."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from claude_code_proxy.settings import ENV_FILE
from e2e.proxy import serving
from upstreams import Chat, FakeChat, FakeOllama, Model, Msg, text

from .stage import FakeNvidia

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstreams import Recorded

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH"),
]

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
OURS = re.findall(r"^curl (?:.*\\\n)*.*$", README, re.MULTILINE)

# The seed's README, section "Testing".
GREETING = "curl http://localhost:4000/"
OPENROUTER = """curl -X POST http://localhost:4000/openai:stepfun/step-3.5-flash:free/v1/messages \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: dummy" \\
  -d '{"model":"stepfun/step-3.5-flash:free","max_tokens":100,"messages":[{"role":"user","content":"Say Hello"}]}'"""
NVIDIA = """curl -X POST http://localhost:4000/openai:nvidia/nemotron-3-nano-30b-a3b/v1/messages \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: dummy" \\
  -d '{"model":"nvidia/nemotron-3-nano-30b-a3b","max_tokens":100,"messages":[{"role":"user","content":"Say Hello"}]}'"""
OLLAMA = """curl -X POST http://localhost:4000/v1/messages \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: dummy" \\
  -d '{"model":"claude-sonnet-4","max_tokens":100,"messages":[{"role":"user","content":"Say Hello"}]}'"""

# The seed's README, section "All Providers Simultaneously"; the addresses are the fakes', and OpenAI is ours.
ENV = """
# =============================================================================
# Provider 1: Ollama (Native Anthropic Format)
# =============================================================================
PREFERRED_PROVIDER="ollama"
OLLAMA_API_BASE="{ollama}"  # or http://host.docker.internal:11434 for Docker
OLLAMA_NUM_CTX=60000
BIG_MODEL="gpt-oss:20b"
SMALL_MODEL="gpt-oss:20b"

# =============================================================================
# Provider 2: OpenRouter (400+ models)
# =============================================================================
OPENROUTER_API_KEY="sk-or-v1-..."
OPENROUTER_BASE_URL="{openrouter}"

# =============================================================================
# Provider 3: NVIDIA NIM API
# =============================================================================
NVIDIA_API_KEY="nvapi-..."
NVIDIA_BASE_URL="{nvidia}"
NVIDIA_REASONING_BUDGET=16384
NVIDIA_ENABLE_THINKING=true

OPENAI_API_KEY="sk-..."
OPENAI_BASE_URL="{openai}"
"""


class Fakes:
    """The upstreams and the port of the server before them."""

    def __init__(self) -> None:
        self.openai, self.openrouter, self.nvidia = FakeChat(), FakeChat(base="/api/v1", extras=True), FakeNvidia()
        self.ollama = FakeOllama()
        self.ollama.models["gpt-oss:20b"] = Model(window=131_072)
        self.port = ""

    def say(self, words: str) -> None:
        for chat in (self.openai, self.openrouter, self.nvidia):
            chat.use(Chat(words))
        self.ollama.use(Msg([text(words)]))

    def asked(self) -> dict[str, Recorded]:
        """The one message that each provider was asked for, of those that were."""
        names = ("openai", "openrouter", "nvidia", "ollama")
        own = {"/api/show", "/api/create"}  # how Ollama's window is set
        posts = {name: [rec for rec in getattr(self, name).posts if rec.path not in own] for name in names}
        assert all(len(recs) <= 1 for recs in posts.values())
        return {name: recs[0] for name, recs in posts.items() if recs}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _fakes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fakes]:
    fakes = Fakes()
    async with fakes.openai, fakes.openrouter, fakes.nvidia, fakes.ollama:
        home = tmp_path_factory.mktemp("readme")
        bases = {"openai": fakes.openai.api, "openrouter": fakes.openrouter.api, "nvidia": fakes.nvidia.api}
        file = home / ".env"
        file.write_text(ENV.format(ollama=fakes.ollama.url, **bases))
        async with serving(home, **{ENV_FILE: str(file)}) as proxy:
            fakes.port = proxy.url.rpartition(":")[2]
            yield fakes


@pytest.fixture
def fakes(_fakes: Fakes) -> Fakes:
    _fakes.say("Hello")
    return _fakes


async def run(command: str, port: str) -> str:
    """What a command prints, with this port in place of 4000."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command.replace("localhost:4000", f"localhost:{port}")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err
    return out.decode()


async def test_59_the_greeting(fakes: Fakes) -> None:
    assert await run(GREETING, fakes.port) == '{"message":"Claude Code Proxy"}'
    assert fakes.asked() == {}


CURLS: list[tuple[str, str, dict[str, Any]]] = [
    (
        OPENROUTER,
        "openrouter",
        {"path": "/api/v1/chat/completions", "key": "Bearer sk-or-v1-...", "model": "stepfun/step-3.5-flash:free"},
    ),
    (
        NVIDIA,
        "nvidia",
        {"path": "/v1/chat/completions", "key": "Bearer nvapi-...", "model": "nvidia/nemotron-3-nano-30b-a3b"},
    ),
    (OLLAMA, "ollama", {"path": "/v1/messages", "key": None, "model": "gpt-oss:20b-ctx60000"}),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("command", "name", "sent"), CURLS, ids=[name for _, name, _ in CURLS])
async def test_59_the_seeds_commands(
    fakes: Fakes, command: str, name: str, sent: dict[str, Any], *, stream: bool
) -> None:
    if stream:
        command = command.replace('"max_tokens":100', '"max_tokens":100,"stream":true')
    said = await run(command, fakes.port)
    if stream:
        assert said.startswith("event: message_start")
        assert "message_stop" in said
    else:
        message = json.loads(said)
        assert (message["type"], message["content"][0]["text"]) == ("message", "Hello")
    [(asked_name, asked)] = fakes.asked().items()
    assert asked_name == name
    assert {"path": asked.path, "key": asked.headers.get("authorization"), "model": asked.json["model"]} == sent
    assert "dummy" not in f"{asked.headers}"
    thinks = {"reasoning_budget", "chat_template_kwargs"} & asked.json.keys()
    assert len(thinks) == (2 if name == "nvidia" else 0)


async def test_59_there_are_commands_in_our_own_readme() -> None:
    assert any("/v1/messages" in command for command in OURS)
    assert GREETING in OURS


@pytest.mark.parametrize("command", OURS, ids=[str(n) for n in range(len(OURS))])
async def test_59_our_own_commands(fakes: Fakes, command: str) -> None:
    said = await run(command, fakes.port)
    if "/v1/messages" not in command:
        follows = README.partition(f"{command}\n# ")[2].partition("\n")[0]
        assert follows in {"", said}
        assert isinstance(json.loads(said), dict)
        return
    message = json.loads(said)
    assert (message["type"], message["content"][0]["text"]) == ("message", "Hello")
    assert len(fakes.asked()) == 1
