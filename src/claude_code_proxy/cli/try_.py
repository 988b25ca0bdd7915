"""`claude-code-proxy try`: a question, through the whole proxy, to a real model on this machine. No key needed.

The model runs in a child process, the proxy in this one, and what asks is an ordinary Anthropic client that
streams. Standard output gets the answer and nothing else; whatever there is to say goes to standard error.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import logging
import os
import socket
import sys
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.local import INSTALL, LocalModelError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator

    from claude_code_proxy.local import Progress, Stage
    from claude_code_proxy.local.fetch import Model
    from claude_code_proxy.local.server import LocalModel

PROVIDER: Final = "local"
"""The name of the provider row that leads to the child."""

_EXTRA: Final = ("xllamacpp", "rich", "pip")
"""What the extra `local` installs."""

_SYSTEM: Final = "You are a helpful assistant."
"""Without a system prompt the tiny model falls back on one of its template's, and answers much worse."""

_TITLES: Final[dict[Stage, str]] = {
    "download": "Downloading {}",
    "check": "Checking {}",
    "load": "Starting {}",
}

_PARTS: Final[dict[Stage, int]] = {"download": 4}
"""Lines that a stage is told in where no bar can be drawn, beside the one at its start."""

_START: Final = 30.0
"""Seconds for the proxy to start."""

_SILENCE: Final = 120.0
"""Seconds without a byte after which an answer is given up. The proxy pings a quiet line sooner."""

_CONTROLS: Final = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")})
"""Characters of the model's that could move the cursor or change the terminal: left out."""


class AnswerError(Exception):
    """The proxy did not start, answered with an error, or its stream broke off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer once it is complete."""

    tokens: int
    """Output tokens as the proxy reports them, its end mark included."""
    seconds: float
    """From the first text to the end."""
    cut: bool
    """Whether it ended for want of tokens."""


def run(prompt: str, *, model: str = "smollm2-135m", max_tokens: int = 128) -> int:
    """Ask, and print the answer as it comes. Gives the exit code: 0 answered, 1 failed, 130 interrupted.

    The first time the model is fetched (93 MB) into the user's cache directory.
    """
    if any(importlib.util.find_spec(name) is None for name in _EXTRA):
        return _fail(f'The local model needs the optional extra "local". Run: {INSTALL}')
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows few characters still gets an answer
    try:
        asyncio.run(_try(prompt, model, max_tokens))
    except (LocalModelError, AnswerError) as error:
        return _fail(str(error))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


async def _try(prompt: str, name: str, max_tokens: int) -> None:
    from claude_code_proxy.local.fetch import find_model
    from claude_code_proxy.local.server import local_server

    model = find_model(name)
    with _shown(model) as (progress, finish):
        async with local_server(model, progress=progress) as upstream, _proxy(upstream) as url:
            finish()
            answer = await _ask(f"{url}/{PROVIDER}:{model.name}", model.name, prompt, max_tokens)
    _tell(model, answer, max_tokens)


@asynccontextmanager
async def _proxy(upstream: LocalModel) -> AsyncIterator[str]:
    """The proxy's own address while it runs in this event loop, with the local model as a provider."""
    import uvicorn

    from claude_code_proxy.app import create_app
    from claude_code_proxy.settings import ENV_FILE, load_settings

    row = {"base_url": upstream.base_url, "api_key": upstream.api_key, "dialect": "openai_chat"}
    settings = load_settings({ENV_FILE: ""}, providers={PROVIDER: row})  # nothing of the user's: it may be half-done

    class Server(uvicorn.Server):
        """Leaves signals to the event loop, and says when it has started."""

        ready = asyncio.Event()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await super().startup(sockets)
            except SystemExit:  # the application failed to start, which ends uvicorn's own program
                self.should_exit = True
            finally:
                self.ready.set()

    app = create_app(settings)
    config = uvicorn.Config(app, log_level="warning", log_config=None, lifespan="on", timeout_graceful_shutdown=5)
    server = Server(config)
    with _quiet(), socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(server.ready.wait(), _START)
            if not server.started:
                raise AnswerError("The proxy did not start.")
            host, port = listener.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await serving


@contextmanager
def _quiet() -> Iterator[None]:
    """Only warnings are logged: a line about the request would land in the middle of the answer."""
    log = logging.getLogger("claude_code_proxy")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


async def _ask(base_url: str, model: str, prompt: str, max_tokens: int) -> Answer:
    """Streams one message from the proxy at `base_url` to standard output."""
    import aiohttp

    from claude_code_proxy.wire.failure import from_error

    body = {
        "model": model,
        "max_tokens": max_tokens,
        "temperature": 0,
        "system": _SYSTEM,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
    }
    limits = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits, headers={"anthropic-version": "2023-06-01"}) as session,
            session.post(f"{base_url}/v1/messages", json=body) as reply,
        ):
            if not reply.ok:
                raise AnswerError(from_error(await reply.json(content_type=None), reply.status).message)
            return await read_answer(reply.content.iter_any())
    except (aiohttp.ClientError, ValueError, TimeoutError) as error:
        raise AnswerError(f"The proxy gave no answer: {error or type(error).__name__}.") from error


async def read_answer(chunks: AsyncIterable[bytes]) -> Answer:
    """Prints the text of Anthropic's event stream as it comes; raises `AnswerError` unless the stream is whole."""
    from claude_code_proxy.wire.failure import from_error

    tokens, reason = 0, ""
    begun: float | None = None
    try:
        async for event in _events(chunks):
            match event:
                case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
                    begun = begun or time.perf_counter()
                    sys.stdout.write(text.translate(_CONTROLS))
                    sys.stdout.flush()
                case {"type": "message_delta", "delta": delta, "usage": usage}:
                    tokens, reason = usage["output_tokens"], delta["stop_reason"]
                case {"type": "error"}:
                    raise AnswerError(from_error(event).message)
                case {"type": "message_stop"}:
                    end = time.perf_counter()
                    return Answer(tokens, end - (begun or end), reason == "max_tokens")
    finally:
        if begun:
            sys.stdout.write("\n")
            sys.stdout.flush()
    raise AnswerError("The answer broke off: the stream ended before the message did.")


async def _events(chunks: AsyncIterable[bytes]) -> AsyncIterator[Any]:
    import orjson

    from claude_code_proxy.wire.framing import SSE

    events = SSE()
    async for chunk in chunks:
        for data in events.feed(chunk):
            yield orjson.loads(data)


def _tell(model: Model, answer: Answer, max_tokens: int) -> None:
    """The last words, dim: what that was, and what comes next."""
    from rich.console import Console

    speed = f", {answer.tokens / answer.seconds:.0f} tokens/s" if answer.seconds and answer.tokens > 1 else ""
    limit = f" (stopped at the limit of {max_tokens})" if answer.cut else ""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{model.name}: {answer.tokens} tokens{limit}{speed}. A demo model of {model.parameters / 1e6:.0f} million "
        "parameters on this machine: it shows that the proxy works, and it is often wrong.",
        style="dim",
    )
    console.print(
        "For real work: set a provider's key (README.md names them), start claude-code-proxy, run the line it shows.",
        style="dim",
    )


@contextmanager
def _shown(model: Model) -> Iterator[tuple[Progress, Callable[[], None]]]:
    """A `Progress` for standard error, and what clears it away: bars on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(model), lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[Stage, Any] = {}

    def draw(stage: Stage, done: int, total: int | None) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(_TITLES[stage].format(model.name), amount="", total=total)
        amount = "" if stage == "load" else _amount(done, total)
        bars.update(tasks[stage], completed=done, total=total, amount=amount)

    with bars:
        yield draw, bars.stop


def _lines(model: Model) -> Progress:
    told: dict[Stage, int] = {}

    def tell(stage: Stage, done: int, total: int | None) -> None:
        part = done * _PARTS.get(stage, 0) // total if total else 0
        if told.get(stage, -1) < part:
            told[stage] = part
            amount = f": {_amount(done, total)}" if part else " ..."
            sys.stderr.write(f"{_TITLES[stage].format(model.name)}{amount}\n")
            sys.stderr.flush()

    return tell


def _amount(done: int, total: int | None) -> str:
    return f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
