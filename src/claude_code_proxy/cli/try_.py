"""`claude-code-proxy try`: a question, through the whole proxy, to a real model on this machine. No key needed.

The model runs in a child process, the proxy in this one, and what asks is an ordinary Anthropic client that
streams. Standard output gets the answer and nothing else; whatever there is to say goes to standard error.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.local_proxy import PROVIDER, NotStartedError, extra_is_missing, rows, running
from claude_code_proxy.cli.progress import shown
from claude_code_proxy.local import INSTALL, LocalModelError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

    from claude_code_proxy.local.fetch import Model

_SYSTEM: Final = "You are a helpful assistant."
"""Without a system prompt the tiny model falls back on one of its template's, and answers much worse."""

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


def command(arguments: Namespace) -> int:
    """Ask; the exit status."""
    return run(arguments.prompt, model=arguments.model, max_tokens=arguments.max_tokens)


def run(prompt: str, *, model: str = "smollm2-135m", max_tokens: int = 128) -> int:
    """Ask, and print the answer as it comes. Gives the exit code: 0 answered, 1 failed, 130 interrupted.

    The first time the model is fetched (93 MB) into the user's cache directory.
    """
    if extra_is_missing():
        return _fail(f'The local model needs the optional extra "local". Run: {INSTALL}')
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows few characters still gets an answer
    try:
        asyncio.run(_try(prompt, model, max_tokens))
    except (LocalModelError, NotStartedError, AnswerError) as error:
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
    from claude_code_proxy.settings import ENV_FILE, load_settings

    model = find_model(name)
    with shown(model) as (progress, finish):
        async with local_server(model, progress=progress) as upstream:
            settings = load_settings({ENV_FILE: ""}, providers=rows(upstream))
            with quiet():
                async with running(settings) as url:
                    finish()
                    answer = await _ask(f"{url}/{PROVIDER}:{model.name}", model.name, prompt, max_tokens)
    _tell(model, answer, max_tokens)


@contextmanager
def quiet(least: int = logging.WARNING) -> Iterator[None]:
    """Only warnings, or what is at `least` so grave, are logged: a line would land in the middle of what is told."""
    log = logging.getLogger("claude_code_proxy")
    level = log.level
    log.setLevel(least)
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
