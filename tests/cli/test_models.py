"""`claude-code-proxy models`, `route` and `completion`."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.cli.commands import COMMANDS
from upstreams import FakeChat

from .terminal import clean, piped, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def chat() -> AsyncIterator[FakeChat]:
    async with FakeChat() as fake:
        yield fake


@pytest.fixture
def env(tmp_path: Path, chat: FakeChat) -> dict[str, str]:
    return clean(tmp_path, OPENAI_API_KEY="canary", OPENAI_BASE_URL=chat.api)


async def test_the_list_with_windows(env: dict[str, str], tmp_path: Path) -> None:
    status, out, err = await piped("models", env=env, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["MODEL", "WINDOW", "OUTPUT"],
        ["openai:gpt-4.1", "1,047,576", "32,768"],
        ["openai:gpt-4.1-mini", "1,047,576", "32,768"],
    ]


async def test_a_search_for_programs(env: dict[str, str], tmp_path: Path) -> None:
    status, out, _ = await piped("models", "openai", "--search", "MINI", "--json", env=env, cwd=tmp_path)
    [model] = json.loads(out)
    assert status == 0
    assert (model["model"], model["id"], model["context"]) == (
        "openai:gpt-4.1-mini",
        "claude-via-openai:gpt-4.1-mini",
        1_047_576,
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "There is no provider 'nowhere', but openai"),
        (["deepseek"], "set DEEPSEEK_API_KEY"),
        (["bedrock"], "bedrock:MODEL"),
        (["--search", "nothing"], "No model's name holds 'nothing'"),
        (["ollama"], "ollama: Cannot connect to 127.0.0.1:9"),
    ],
    ids=" ".join,
)
async def test_nothing_to_list(env: dict[str, str], tmp_path: Path, words: list[str], told: str) -> None:
    env |= {"OLLAMA_API_BASE": "http://127.0.0.1:9"}
    status, out, err = await piped("models", *words, env=env, cwd=tmp_path)
    assert (status, out) == (1, "")
    assert told in err


async def test_in_a_terminal(env: dict[str, str], tmp_path: Path) -> None:
    async with session("models", env=env, cwd=tmp_path) as shell:
        status, screen = await shell.ended()
        assert b"\x1b[2mMODEL" in shell.raw
    assert status == 0
    assert "openai:gpt-4.1-mini" in screen


async def test_whoever_reads_it_may_have_enough(env: dict[str, str], tmp_path: Path) -> None:
    words = 'set -o pipefail; "$@" | head -c 0'
    program = (shutil.which("bash") or "bash", "-c", words, "bash", "claude-code-proxy")
    async with session("completion", "fish", env=env, cwd=tmp_path, program=program) as shell:
        status, screen = await shell.ended()
    assert (status, screen) in [(141, ""), (0, "")]  # it may have been faster


async def test_a_route_tells_its_window_and_how_to_start(env: dict[str, str], tmp_path: Path) -> None:
    status, out, _ = await piped("route", "opus", "--explain", env=env | {"BIG_MODEL": "gpt-4o"}, cwd=tmp_path)
    assert status == 0
    assert "  window   128,000 tokens\n" in out
    assert "CLAUDE_CODE_MAX_CONTEXT_TOKENS=128000 ANTHROPIC_MODEL=openai:gpt-4o claude" in out
    assert "claude-code-proxy code --model openai:gpt-4o" in out


async def test_a_route_of_a_large_window_needs_no_advice(env: dict[str, str], tmp_path: Path) -> None:
    _, out, _ = await piped("route", "opus", "--explain", env=env, cwd=tmp_path)
    assert "  window   1,047,576 tokens\n" in out
    assert "CLAUDE_CODE_MAX_CONTEXT_TOKENS" not in out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["claude-code-proxy", "do"], ["doctor"]),
        (["claude-code-proxy", "--wor"], ["--workers"]),
        (["claude-code-proxy", "doctor", "--off"], ["--offline"]),
        (["claude-code-proxy", "completion", ""], ["--help", "bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
async def test_bash_completes(env: dict[str, str], tmp_path: Path, words: list[str], wanted: list[str]) -> None:
    _, script, _ = await piped("completion", "bash", env=env, cwd=tmp_path)
    line = " ".join(f"'{word}'" for word in words)
    asked = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _claude_code_proxy; echo "${{COMPREPLY[@]}}"'
    bash = await asyncio.create_subprocess_exec(
        "bash", "--norc", "-euc", f"{script}\n{asked}", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await bash.communicate()
    assert (bash.returncode, out.decode().split()) == (0, wanted)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_completion_knows_every_command_and_option(env: dict[str, str], tmp_path: Path, shell: str) -> None:
    status, out, _ = await piped("completion", shell, env=env, cwd=tmp_path)
    assert status == 0
    option = "-l {}" if shell == "fish" else "--{}"
    assert [name for name in COMMANDS if name not in out] == []
    assert [name for name in ("offline", "search", "log-format", "model") if option.format(name) not in out] == []
    assert "with-stdin" not in out
    if binary := shutil.which(shell):
        (tmp_path / "script").write_text(out)
        check = await asyncio.create_subprocess_exec(binary, "-n", str(tmp_path / "script"))
        assert await check.wait() == 0


async def test_the_command_line_itself_loads_nothing_heavy(tmp_path: Path) -> None:
    """Only a command that runs pays for what it needs."""
    code = (
        "import sys; from claude_code_proxy.cli.commands import made; made().format_help();"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'aiohttp', 'asyncio', 'msgspec', 'starlette', 'uvicorn'})"
    )
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    assert (await run.communicate())[0].split() == []


async def test_a_shell_that_is_not_known(env: dict[str, str], tmp_path: Path) -> None:
    status, _, err = await piped("completion", "tcsh", env=env, cwd=tmp_path)
    assert status == 2
    assert "bash" in err
