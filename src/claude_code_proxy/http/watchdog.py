"""Says where the event loop stands when it stands still: nothing else can, as everything waits for it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 2.0
"""Seconds for which the loop may do one thing."""

_log = logging.getLogger(__name__)


@contextmanager
def watched(longest: float = LONGEST) -> Iterator[None]:
    """Log the running event loop's stack, once each time, when nothing else was done for `longest` seconds."""
    loop, thread, over = asyncio.get_running_loop(), threading.get_ident(), threading.Event()
    beat = 0.0
    timer: asyncio.Handle | None = None

    def alive() -> None:
        nonlocal beat, timer
        beat, timer = time.monotonic(), loop.call_later(longest / 4, alive)

    def watch() -> None:
        told = 0.0
        while not over.wait(longest / 4):
            last = beat
            if time.monotonic() - last > longest and last != told:
                told = last
                frame = sys._current_frames().get(thread)  # noqa: SLF001 -- the documented way, despite its name
                stack = "".join(traceback.format_stack(frame)) if frame else ""
                _log.error("The event loop has been busy for more than %g s with:\n%s", longest, stack)

    alive()
    watcher = threading.Thread(target=watch, name="watchdog", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()
        over.set()
        watcher.join()
