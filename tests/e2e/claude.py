"""Running the real Claude Code, headless, in a clean world of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PINNED = "2.1.330"
VERSION = os.environ.get("CLAUDE_CLI_VERSION", PINNED)
"""What the tests run; scripts/newest_cli.py names another."""
PACKAGE = f"@anthropic-ai/claude-code@{VERSION}"
CLIENT_TOKEN = "canary-client-token"
LONGEST_RUN = 60.0
LONGEST_INSTALL = 300.0
LONGEST_LINE = 64 << 20

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".cli"

# What keeps the CLI from anything but the conversation, and from waiting minutes on an error.
QUIET: Mapping[str, str] = {
    "LANG": "C.UTF-8",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "IS_SANDBOX": "1",
    "CLAUDE_CODE_MAX_RETRIES": "1",
}


@dataclass(frozen=True)
class Run:
    """What one run of the CLI printed, and how it ended."""

    lines: list[dict[str, Any]]
    code: int
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The last line of type `result`."""
        results = [line for line in self.lines if line["type"] == "result"]
        assert results, (self.code, self.stderr, self.lines)
        return results[-1]

    @property
    def answer(self) -> str:
        """The final answer of a run that went well."""
        assert (self.code, self.result["is_error"]) == (0, False), (self.result, self.stderr)
        return str(self.result["result"])

    def blocks(self, kind: str) -> list[dict[str, Any]]:
        """Every content block of this type, in order, from either side."""
        return [block for block in self._all_blocks() if block["type"] == kind]

    def _all_blocks(self) -> Iterator[dict[str, Any]]:
        for line in self.lines:
            if line["type"] in {"assistant", "user"} and isinstance(line["message"]["content"], list):
                yield from line["message"]["content"]


@dataclass(frozen=True)
class Claude:
    """The CLI with a fresh home and working directory; `more` variables, and what it may do unasked."""

    binary: Path
    home: Path
    cwd: Path
    more: Mapping[str, str] = field(default_factory=dict)
    permission: Sequence[str] = ("--dangerously-skip-permissions",)

    def env(self, url: str) -> dict[str, str]:
        """The whole environment of a run."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_AUTH_TOKEN": CLIENT_TOKEN,
            **QUIET,
            **self.more,
        }

    async def run(self, url: str, *args: str, prompt: str = "Hello") -> Run:
        """Let it answer a prompt, with `url` as its API."""
        return await ended(await self.start(url, *args, prompt=prompt))

    async def start(self, url: str, *args: str, prompt: str = "Hello") -> asyncio.subprocess.Process:
        """Start it on a prompt; `ended` waits for the rest."""
        return await asyncio.create_subprocess_exec(
            self.binary,
            *("-p", prompt, "--output-format", "stream-json", "--verbose", *self.permission, *args),
            cwd=self.cwd,
            env=self.env(url),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,
        )


async def ended(process: asyncio.subprocess.Process) -> Run:
    """Wait for a run to end by itself."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), LONGEST_RUN)
    except BaseException:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, so only what it started
            await process.wait()
        raise
    lines = [json.loads(line) for line in out.splitlines() if line.startswith(b"{")]
    return Run(lines, process.returncode or 0, err.decode(errors="replace"))


class NoCliError(Exception):
    """The CLI is not here and cannot be had; says why."""


def find_cli() -> Path:
    """Find the pinned CLI: the one that is named, or below the repository, or from npm, or in the agent SDK."""
    given = os.environ.get("CLAUDE_CLI")
    if given:
        found = version_of(Path(given))
        assert found == VERSION, f"CLAUDE_CLI={given} is {found}, not {VERSION}"
        return Path(given)
    why = ""
    if (binary := _installed()) is None:
        why = _install()
        binary = _installed() or _bundled()
    if binary is None:
        msg = f"no Claude Code {VERSION}: {why}, and the agent SDK bundles none"
        raise NoCliError(msg)
    return binary


def version_of(binary: Path) -> str:
    """Ask a binary which Claude Code it is; nothing if it does not run."""
    if not binary.is_file():
        return ""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=LONGEST_RUN, check=False)
    return said.stdout.partition(" ")[0]


def _installed() -> Path | None:
    modules = INSTALLED / "node_modules"
    # Without its postinstall script the package has no working .bin/claude, but the platform's package is there.
    places = [modules / ".bin" / "claude", *modules.glob("@anthropic-ai/claude-code-*/claude")]
    return next((place for place in places if version_of(place) == VERSION), None)


def _bundled() -> Path | None:
    spec = find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "_bundled" / "claude"
    return binary if version_of(binary) == VERSION else None


def _install() -> str:
    """Install it from npm, and say why if that was impossible."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not on PATH"
    INSTALLED.mkdir(exist_ok=True)
    with (INSTALLED / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel test runs install once
        if _installed():
            return ""
        done = subprocess.run(
            [npm, "install", "--prefix", INSTALLED, PACKAGE, "--no-audit", "--no-fund"],
            capture_output=True,
            text=True,
            timeout=LONGEST_INSTALL,
            check=False,
        )
    return f"npm install {PACKAGE} failed: {done.stderr.strip()[-500:]}" if done.returncode else ""
