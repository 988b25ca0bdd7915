"""A local model as an upstream: fetched if need be, served by a child process, gone when the block ends."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

import orjson

from claude_code_proxy.local import INSTALL, LocalModelError, ServerError, silent
from claude_code_proxy.local.child import KEY_VARIABLE
from claude_code_proxy.local.fetch import fetch
from claude_code_proxy.local.process import end

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from claude_code_proxy.local import Progress
    from claude_code_proxy.local.fetch import Model

_START: Final = 120.0
"""Seconds for the child to load the model (about 0.5 s from a warm disk) and to answer."""

_END: Final = 5.0
"""Seconds that each way of ending the child is given."""

_POLL: Final = 0.1


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that answers on loopback until its block ends."""

    base_url: str
    """Ends in /v1: OpenAI's chat completions and responses, and Anthropic's messages, are below it."""
    api_key: str = field(repr=False)
    """Goes as `Authorization: Bearer` or `x-api-key`; made for this one run."""
    name: str
    """What the server calls the model. It accepts any other name, too."""
    context: int
    """Tokens that prompt and answer may have together."""
    pid: int
    """The child's process id."""


@asynccontextmanager
async def local_server(
    model: Model, *, cache_dir: Path | None = None, progress: Progress = silent
) -> AsyncIterator[LocalModel]:
    """Serve `model` while the block runs. Raises a `LocalModelError` if it cannot be fetched or started."""
    weights = await fetch(model, cache_dir, progress)
    progress("load", 0, None)
    api_key = secrets.token_urlsafe(24)
    # A file, because a pipe that nobody reads would stop the child once it is full.
    with tempfile.TemporaryFile() as log:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "claude_code_proxy.local.child"),
            *(str(weights), model.name, str(model.context)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, KEY_VARIABLE: api_key},
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        try:
            try:
                async with asyncio.timeout(_START):
                    base_url = await _address(child, log)
                    await _healthy(base_url)
            except TimeoutError:
                raise ServerError(
                    f"The model server did not answer within {_START:.0f} s.", "Run the command again."
                ) from None
            progress("load", 1, 1)
            yield LocalModel(base_url, api_key, model.name, model.context, child.pid)
        finally:
            await end(child, patience=_END)


async def _address(child: Process, log: IO[bytes]) -> str:
    """The base URL that the child prints; raises what it reports instead."""
    assert child.stdout is not None  # noqa: S101  it was started with a pipe
    line = await child.stdout.readline()
    if not line:
        raise _died(await child.wait(), log)
    told: dict[str, str] = orjson.loads(line)
    if "base_url" not in told:
        raise ServerError(told["error"], told["fix"])
    return told["base_url"]


def _died(code: int, log: IO[bytes]) -> LocalModelError:
    # An illegal instruction means a processor without AVX2, which the wheel is built for.
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()[-1:]
    return ServerError(" ".join([f"The model server ended {how}.", *said]), f"Reinstall it and try again: {INSTALL}")


async def _healthy(base_url: str) -> None:
    """Returns once the model is loaded: until then the server answers 503, or does not listen yet."""
    import aiohttp  # noqa: PLC0415  a tenth of a second that `--help` should not pay

    url = base_url.removesuffix("/v1") + "/health"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # the limit on all of this is the caller's
            await asyncio.sleep(_POLL)
