"""Settings that follow their files: what is changed in config.toml and .env holds a moment later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from claude_code_proxy.settings import SettingsError, sources

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from claude_code_proxy.settings import Settings

    Stamp = tuple[tuple[int, int, int] | None, ...]

INTERVAL: Final = 0.5
"""Seconds between two looks at the files. A change is taken once they were the same at two looks: an editor may
write a file in pieces."""

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def following(load: Callable[[], Settings], use: Callable[[Settings], Awaitable[None]]) -> AsyncGenerator[None]:
    """Load the settings whenever their files change, and have them used, until the block ends."""
    task = asyncio.create_task(follow(load, use))
    try:
        yield
    finally:
        task.cancel()


async def follow(
    load: Callable[[], Settings],
    use: Callable[[Settings], Awaitable[None]],
    *,
    interval: float = INTERVAL,
) -> None:
    """The same until it is cancelled.

    Settings that cannot be used are told in the log, and those before them stay.
    """
    used = seen = _stamp()
    while True:
        await asyncio.sleep(interval)
        before, seen = seen, _stamp()
        if seen == used or seen != before:
            continue
        used = seen
        try:
            settings = await asyncio.to_thread(load)
        except SettingsError as cause:
            _log.error("The settings were changed and cannot be used; those before stay: %s", cause)
            continue
        await use(settings)
        _log.info("The settings were changed, and hold from now on.")


def _stamp() -> Stamp:
    """What tells that the files are the same: when they were written, how long they are, and which they are."""
    marks: list[tuple[int, int, int] | None] = []
    for path in sources():
        try:
            status = path.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)
