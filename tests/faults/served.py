"""The server under test, with a window: `/__probe` tells what it holds. For tests only."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from claude_code_proxy.app import create_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

logging.getLogger("claude_code_proxy").setLevel(logging.DEBUG)
logging.getLogger("asyncio").setLevel(logging.DEBUG)

_reached: set[str] = set()


def _note(event: str, args: tuple[Any, ...]) -> None:
    """Keep whom the process turns to, by whatever library."""
    if event == "socket.connect":
        _reached.add(":".join(map(str, args[1][:2])) if isinstance(args[1], tuple) else str(args[1]))
    elif event == "socket.getaddrinfo":
        _reached.add(str(args[0]))


sys.addaudithook(_note)
_app = create_app()


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Serve as ever."""
    if scope["type"] != "http" or scope["path"] != "/__probe":
        await _app(scope, receive, send)
        return
    gc.collect()  # what was never awaited or retrieved says so now
    tasks = sorted(str(task.get_coro()) for task in asyncio.all_tasks())
    told = {"pid": os.getpid(), "tasks": tasks, "threads": threading.active_count(), "reached": sorted(_reached)}
    body = json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
