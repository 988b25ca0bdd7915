"""Claude Code as a person sees it: in a terminal, with keys."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from e2e.claude import Claude

ESCAPE = b"\x1b"


@asynccontextmanager
async def interactive(claude: Claude, url: str, prompt: str) -> AsyncIterator[Callable[[bytes], None]]:
    """Start it on a prompt, until the block ends. Gives what presses keys."""
    trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    seeds = {"hasCompletedOnboarding": True, "bypassPermissionsModeAccepted": True, "theme": "dark"}
    (claude.home / ".claude.json").write_text(json.dumps({**seeds, "projects": {str(claude.cwd): trusted}}))
    ours, theirs = pty.openpty()
    loop = asyncio.get_running_loop()
    process = await asyncio.create_subprocess_exec(
        claude.binary,
        *claude.permission,
        prompt,
        cwd=claude.cwd,
        env={**claude.env(url), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    loop.add_reader(ours, _drain, ours, loop)  # it waits for whoever does not look
    try:
        yield lambda keys: _press(ours, keys)
    finally:
        loop.remove_reader(ours)
        os.killpg(process.pid, signal.SIGKILL)  # its own session, so only what it started
        await process.wait()
        os.close(ours)


def _press(terminal: int, keys: bytes) -> None:
    os.write(terminal, keys)


def _drain(terminal: int, loop: asyncio.AbstractEventLoop) -> None:
    try:
        os.read(terminal, 1 << 16)
    except OSError:  # it is gone
        loop.remove_reader(terminal)
