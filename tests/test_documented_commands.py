"""Every command of README.md and docs/ is run as it stands there, by bash; what is not says why."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import platformdirs
import pytest
from dotenv import dotenv_values

from claude_code_proxy.cli.commands import made, split
from claude_code_proxy.cli.ports import free_port
from cli.terminal import LONGEST, clean
from cli.test_import import LITELLM, ROUTER, SEED
from documented import ROOT, all_commands, spans
from upstreams import Call, Chat, FakeChat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from claude_code_proxy.local.server import LocalModel

ENDS, SERVES, ASKS = "runs to its end", "serves until it is told to stop", "is Claude Code on a proxy that runs"

# How a command is run. The first pattern that matches a whole command counts; one that matches none fails.
ROWS = (
    (r".*claude-code-proxy (serve )?--local", SERVES),
    (r".*claude-code-proxy try .*", ENDS),
    (r"(uv run )?claude-code-proxy( serve)?( --(?!local)\S+( \w+)?)*", SERVES),
    (r"(OTEL_\S+=\S+ )?uv run (--extra \w+ )?uvicorn server:app .*", SERVES),
    (
        r"(uv run (--extra \w+ )?)?claude-code-proxy (code|doctor|models|route|usage|completion|init --yes|import)\b.*",
        ENDS,
    ),
    (r"ANTHROPIC_BASE_URL=\S+ ANTHROPIC_(AUTH_TOKEN|API_KEY)=any (npx -y @anthropic-ai/claude-code|claude)\b.*", ASKS),
    (r"cp \.env\.example \.env", ENDS),
)

# Commands that are not run here, and why.
ELSEWHERE = (
    (r"python3 -m venv .* pytest", "it is what .ci/run does: tests/test_docs.py"),
    (r"curl .*", "with the real curl: tests/behaviours/test_readme_curls.py"),
    (r"claude-code-proxy certify .*", "takes minutes; against fakes and the small model: tests/cli/test_certify*.py"),
    (r"(uv run )?claude-code-proxy init", "asks a person: tests/cli/test_init.py"),
    (r"claude-code-proxy report .*", "needs a request that was made: tests/ledger/test_report.py"),
    (r"docker .*", "needs an engine; the build and the service are replayed: tests/test_docker.py"),
    (r"(llama-server|vllm|python -m sglang\.\S+) .*", "another project's server, with a graphics card"),
)

COMMANDS = all_commands()
RUN = [command for command in COMMANDS if not any(re.fullmatch(row, command) for row, _ in ELSEWHERE)]

PROXY = f'#!/bin/sh\nexec {sys.executable} -P -m claude_code_proxy "$@"\n'
UV = f"""#!/bin/sh
test "$1" = run || exit 9
shift
while [ "${{1#--}}" != "$1" ]; do test "$1" = --extra && shift; shift; done
test "$1" = uvicorn && shift && cd {ROOT} && exec {sys.executable} -m uvicorn "$@"
exec "$@"
"""
VENV = """#!/bin/sh
test "$*" = "-m venv .uv" || exit 9
mkdir -p .uv/bin && ln -sf "$SHIMS/uv" .uv/bin/uv && printf '#!/bin/sh\\ntest "$*" = "install -q uv"\\n' > .uv/bin/pip && chmod +x .uv/bin/pip
"""
CLAUDE = f"""#!{sys.executable}
import http.client, os, sys, urllib.parse
if "--version" in sys.argv:
    sys.exit(print("2.1.330 (Claude Code)"))
url = urllib.parse.urlsplit(os.environ["ANTHROPIC_BASE_URL"])
line = http.client.HTTPConnection(url.hostname, url.port)
line.request("HEAD", url.path or "/")
print("HEAD", url.path or "/", line.getresponse().status)
"""
SHIMS = {
    "claude-code-proxy": PROXY,
    "uv": UV,
    "python3": VENV,
    "claude": CLAUDE,
    "npx": '#!/bin/sh\ntest "$1 $2" = "-y @anthropic-ai/claude-code" && shift 2 && exec claude "$@"\n',
}


@dataclass
class Shell:
    """A user's shell in a clone of the repository, on a port that is free."""

    home: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)

    def words(self, command: str) -> str:
        """The command with the port of this test; the default one is said."""
        if how(command) == SERVES and "--port" not in command:
            command += " --port 4000"
        return re.sub(r"\b400[01]\b", str(self.port), command)

    async def start(self, command: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *("bash", "-ec", self.words(command)),
            cwd=self.home / "clone",
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def ended(self, command: str) -> str:
        """Run a command to its end, which must be a good one: what it said."""
        process = await self.start(command)
        async with asyncio.timeout(LONGEST):
            out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        assert b"Traceback" not in out
        return out.decode()

    async def serve(self, command: str) -> asyncio.subprocess.Process:
        """Start a command that serves, and wait until it does."""
        process = await self.start(command)
        async with asyncio.timeout(LONGEST):
            while not await self._answers():
                assert process.returncode is None, await process.stdout.read() if process.stdout else b""
                await asyncio.sleep(0.05)
        return process

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        told = await reader.read()
        writer.close()
        return b'{"message":"Claude Code Proxy"}' in told


async def stop(process: asyncio.subprocess.Process) -> bytes:
    """Ctrl-C, and what it had said."""
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(LONGEST):
        out, _ = await process.communicate()
    return out


def how(command: str) -> str:
    return next((way for row, way in ROWS if re.fullmatch(row, command)), "")


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """A user with keys, models of a fake OpenAI and OpenRouter, and Claude Code."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in SHIMS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (tmp_path / "clone" / ".uv" / "bin").mkdir(parents=True)  # as the first command of README.md leaves it
    (tmp_path / "clone" / ".uv" / "bin" / "uv").symlink_to(folder / "uv")
    (tmp_path / "clone" / ".env.example").write_bytes((ROOT / ".env.example").read_bytes())
    for place in (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"):
        (tmp_path / place).mkdir(parents=True)
    for name, text in {"config.json": ROUTER, "config.yaml": LITELLM, "old/.env": SEED}.items():
        for other in (tmp_path / "clone", tmp_path / ".claude-code-router"):
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            (other / name).write_text(text)
    call = Chat("", [Call("time", '{"zone":"UTC"}')])
    async with FakeChat([call] * 3) as openai, FakeChat(base="/api/v1", extras=True) as router:
        router.listed = ["qwen/qwen3-coder", "openai/gpt-4.1"]
        keys = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": openai.api, "OPENROUTER_API_KEY": "y"}
        made = clean(tmp_path, **keys, OPENROUTER_BASE_URL=router.api, OLLAMA_API_BASE="http://127.0.0.1:9")
        yield Shell(tmp_path, {**made, "PATH": f"{folder}:{made['PATH']}", "SHIMS": str(folder)})


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_known_how_a_command_is_run(command: str) -> None:
    reasons = [why for row, why in ELSEWHERE if re.fullmatch(row, command)]
    assert bool(how(command)) != bool(reasons), f"{command}: on {COMMANDS[command]}; say in ROWS how it is run"


@pytest.mark.parametrize("row", [row for row, _ in (*ROWS, *ELSEWHERE)])
def test_no_row_is_for_nothing(row: str) -> None:
    assert any(re.fullmatch(row, command) for command in COMMANDS)


@pytest.mark.parametrize("words", sorted(spans()))
def test_a_command_in_the_text_is_one_that_there_is(words: str) -> None:
    ours, _ = split(shlex.split(words))
    if "--help" not in ours:
        assert made().parse_args(ours).command == ours[0]


def test_every_curl_is_one_of_those_that_are_run() -> None:
    assert {page for command, pages in COMMANDS.items() if command.startswith("curl ") for page in pages} == {
        "README.md"
    }


@pytest.fixture
def model(request: pytest.FixtureRequest, shell: Shell, command: str) -> None:
    """The small model, where the user's machine finds it, for the commands that need it."""
    if re.search(r"--local\b|\btry\b", command):
        local: LocalModel = request.getfixturevalue("local_model")
        assert local.base_url
        shell.env["XDG_CACHE_HOME"] = str(platformdirs.user_cache_path())


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("command", [command for command in RUN if how(command) == ENDS])
async def test_a_command_that_ends(shell: Shell, command: str) -> None:
    said = await shell.ended(command)
    target = re.search(r"> ~/(\S+)$", command)
    assert (shell.home / target[1]).read_text() if target else said or command.startswith("cp ")


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("command", [command for command in RUN if how(command) == SERVES])
async def test_a_command_that_serves(shell: Shell, command: str) -> None:
    process = await shell.serve(command)
    assert b"Traceback" not in await stop(process)


async def test_the_lines_that_start_claude_code(shell: Shell) -> None:
    """Each against one proxy, which is set up as all the pages say."""
    for page in sorted((ROOT / "docs" / "providers").glob("*.md")):
        block = re.search(r"```dotenv\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        if block:
            (shell.home / "page.env").write_text(block[1])
            shell.env |= {key: value or "" for key, value in dotenv_values(shell.home / "page.env").items()}
    lines = [command for command in RUN if how(command) == ASKS]
    assert len(lines) > 30
    config = shell.home / ".config" / "claude-code-proxy" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[providers.local]\ndialect = "openai_chat"\nbase_url = "http://127.0.0.1:9/v1"\n')
    async with AsyncExitStack() as stack:
        process = await shell.serve("claude-code-proxy")
        stack.push_async_callback(stop, process)
        told = {line: await shell.ended(line) for line in lines}
    assert {line: said for line, said in told.items() if not said.endswith(" 200\n")} == {}
