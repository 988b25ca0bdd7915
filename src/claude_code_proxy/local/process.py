"""Ending a process that we started: by its own id, politely first, and never waiting for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process


async def end(process: Process, *, patience: float) -> None:
    """Close its standard input, then terminate, then kill it; each is given `patience` seconds to work.

    Its standard output is read to the end, because the event loop frees a process's pipes only then.
    """
    steps = [process.terminate, process.kill]
    if process.stdin is not None:
        steps.insert(0, process.stdin.close)
    for step in steps:
        if process.returncode is not None:
            break
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            step()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
    if process.stdin is not None:
        process.stdin.close()
        with suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.wait_closed()
    if process.stdout is not None:
        with suppress(TimeoutError):  # a process that it started may hold the pipe
            await asyncio.wait_for(process.stdout.read(), patience)
