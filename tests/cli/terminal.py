"""Our command line as a person has it: a program in a terminal, what it shows, keys, its end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LONGEST = 30.0
PROGRAM = (sys.executable, "-P", "-m", "claude_code_proxy")
ROWS, COLUMNS = 50, 160
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Session:
    """A program that runs in a terminal."""

    process: asyncio.subprocess.Process
    terminal: int
    raw: bytearray = field(default_factory=bytearray)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def screen(self) -> str:
        """All that it has shown, without colours."""
        return _CODES.sub("", self.raw.decode("utf-8", "replace")).replace("\r\n", "\n")

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait until it has shown this."""
        async with asyncio.timeout(LONGEST):
            while not (found := re.search(pattern, self.screen)):
                self.news.clear()
                await self.news.wait()
        return found

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.terminal, keys)

    async def give_up(self, key: bytes) -> None:
        """Press a key until it has ended: one that comes between a question and the read of its answer may be lost."""
        async with asyncio.timeout(LONGEST):
            while self.process.returncode is None:
                self.press(key)
                await asyncio.sleep(0.2)

    async def ended(self) -> tuple[int, str]:
        """Wait for its end: the exit status and all that it has shown."""
        status = await asyncio.wait_for(self.process.wait(), LONGEST)
        await asyncio.sleep(0.05)  # what is in the terminal is read by the loop
        return status, self.screen


def clean(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user who has set nothing else."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "CLAUDE_CODE_PROXY_ENV_FILE": "",  # a developer's own .env must not decide what is tested
        **more,
    }


@asynccontextmanager
async def session(
    *words: str, env: dict[str, str], cwd: Path, program: tuple[str, ...] = PROGRAM
) -> AsyncIterator[Session]:
    """Run a command line in a terminal of its own until the block ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def belong() -> None:  # as a shell does: keys become signals for this program
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *program, *words, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=belong
    )
    os.close(theirs)
    running = Session(process, ours)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            running.raw += os.read(ours, 1 << 16)
        except OSError:  # nobody has it open any more
            loop.remove_reader(ours)
        running.news.set()

    loop.add_reader(ours, read)
    try:
        yield running
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, so only what it started
            await process.wait()
        os.close(ours)


async def piped(*words: str, env: dict[str, str], cwd: Path, within: float = LONGEST) -> tuple[int, str, str]:
    """Run a command line without a terminal: its exit status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, *words),
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), within)
    return process.returncode or 0, out.decode(), err.decode()
