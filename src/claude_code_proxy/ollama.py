"""OLLAMA_NUM_CTX: a context window for models of Ollama, whose Messages endpoint takes none.

Without one, Ollama gives a model as little as 4096 tokens, depending on the memory of the graphics card, and
drops the oldest messages of a longer conversation without a word. The window can be set in a model only. So
before a model is asked for the first time, another is derived from it through Ollama's own API, which shares its
weights and differs in `num_ctx` alone, and the requests go to that one.

- The window is OLLAMA_NUM_CTX, but no more than the model was trained for. It is set whatever `num_ctx` the model
  has of its own; a model that has this very one needs nothing.
- Models that run elsewhere (Ollama's cloud), and those whose trained window is unknown, are left as they are.
- Never is a model derived from one that the server does not have: Ollama would begin to download it.
- It is made once for each model and window while the proxy runs, and anew after a restart, since the model may have
  been updated. What goes wrong never fails the request: then the model itself is asked, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct

from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.json_text import digits, fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

    Key = tuple[str, str, int]

LONGEST: Final = 10.0
"""Seconds that the first request to a model may wait for this."""

RETRY_AFTER: Final = 60.0
"""Seconds before it is tried again after it went wrong."""

NEEDED: Final = 32_768
"""Tokens below which a model cannot hold Claude Code's instructions, its tools and some work."""

_MOST_KEPT: Final = 1000
"""How many models are remembered: their names come from clients."""

_OWN: Final = re.compile(r"^\s*num_ctx\s+(\d+)\s*$", re.MULTILINE)
_UNKNOWN: Final = "Ollama does not tell for how many tokens it was trained"

_log = logging.getLogger(__name__)


class Shown(Struct, frozen=True):
    """What `/api/show` tells of a model: the window it was trained for and the one it sets, in tokens."""

    window: int | None = None
    num_ctx: int | None = None
    remote: bool = False


def shown(answer: dict[str, Any]) -> Shown:
    """Read an answer of `/api/show`; what is missing or of another shape is unknown."""
    info = fields(answer.get("model_info"))
    window = info.get(f"{info.get('general.architecture')}.context_length")
    own = _OWN.search(str(answer.get("parameters") or ""))
    return Shown(
        window if isinstance(window, int) and window > 0 else None,
        digits(own[1]) if own else None,
        bool(answer.get("remote_host") or answer.get("remote_model")),
    )


def derived_name(model: str, num_ctx: int) -> str:
    """The name of the model with this window: a tag beside the model's own, so that lists show them together."""
    tagged = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
    return f"{tagged}-ctx{num_ctx}"


class _Outcome(Struct, frozen=True):
    """The model to ask, until when (by the clock) that is settled, and its window: 0 where that is not known."""

    model: str
    until: float
    window: int = 0


class _RefusedError(Exception):
    """Ollama did not do what it was asked; the message says what."""


class Derived:
    """Models with the window that OLLAMA_NUM_CTX asks for.

    `clock` gives seconds that only grow.
    """

    def __init__(self, pool: Pool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = pool, clock
        self._kept: dict[Key, _Outcome] = {}
        self._making: dict[Key, asyncio.Task[str]] = {}
        self._warned: set[str] = set()

    async def model(self, provider: Provider, model: str, settings: Settings) -> str:
        """The model to ask in place of `model`: the derived one, or itself. Waits only before the first request."""
        num_ctx = settings.ollama_num_ctx
        if not num_ctx:
            return model
        key = (provider.base_url, model, num_ctx)
        if (kept := self._kept.get(key)) and self._clock() < kept.until:
            return kept.model
        if not (making := self._making.get(key)):
            making = self._making[key] = asyncio.ensure_future(self._settle(key, provider))
            making.add_done_callback(lambda _: self._making.pop(key))
        return await asyncio.shield(making)  # a client that leaves does not stop it for the others

    def window(self, provider: Provider, model: str, settings: Settings) -> int | None:
        """The window, in tokens, of what is asked in place of `model`: 0 if that is not known.

        None where OLLAMA_NUM_CTX is off, and nothing is done about windows.
        """
        if not (num_ctx := settings.ollama_num_ctx):
            return None
        kept = self._kept.get((provider.base_url, model, num_ctx))
        return kept.window if kept else 0

    def forget(self, provider: Provider, model: str) -> None:
        """The derived model is gone: the next request makes it anew."""
        for key in [key for key in self._kept if key[:2] == (provider.base_url, model)]:
            del self._kept[key]

    async def _settle(self, key: Key, provider: Provider) -> str:
        outcome = await self._made(provider, *key[1:])
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
            self._warned.clear()
        self._kept[key] = outcome
        return outcome.model

    async def _made(self, provider: Provider, model: str, num_ctx: int) -> _Outcome:
        try:
            async with asyncio.timeout(LONGEST):
                name, window = await self._derive(provider, model, num_ctx)
        except TimeoutError:
            why = f"Ollama did not answer within {LONGEST:.0f} s"
        except ApiError as cause:
            if cause.failed.status == 502:  # nobody is there, as the request itself will tell
                return _Outcome(model, self._clock())
            why = str(cause)
        except _RefusedError as cause:
            why = str(cause)
        else:
            return _Outcome(name or model, float("inf") if name else self._clock(), window)
        self._warn(f"OLLAMA_NUM_CTX has no effect on {model!r}: {why}")
        return _Outcome(model, self._clock() + RETRY_AFTER)

    async def _derive(self, provider: Provider, model: str, num_ctx: int) -> tuple[str, int]:
        """The model to ask, empty if there is none, and its window. Raises `_RefusedError` or `ApiError`."""
        status, answer = await self._post(provider, "show", {"model": model})
        if status in {400, 404} and "error" in answer:
            return "", 0
        if status != 200 or not answer:
            raise _RefusedError(f"/api/show answered {_said(status, answer)}")
        known = shown(answer)
        if known.remote:
            return model, known.window or 0
        if known.window is None:
            self._warn(f"OLLAMA_NUM_CTX has no effect on {model!r}: {_UNKNOWN}")
            return model, known.num_ctx or 0
        if known.window < NEEDED:
            self._warn(f"{model!r} was trained for {known.window} tokens; Claude Code needs {NEEDED} or more")
        num_ctx = min(num_ctx, known.window)
        if known.num_ctx == num_ctx:
            return model, num_ctx
        name = derived_name(model, num_ctx)
        wish = {"model": name, "from": model, "parameters": {"num_ctx": num_ctx}, "stream": False}
        status, answer = await self._post(provider, "create", wish)
        if status != 200 or "error" in answer:
            raise _RefusedError(f"/api/create answered {_said(status, answer)}")
        _log.info("%r is asked as %r, which has a context of %d tokens", model, name, num_ctx)
        return name, num_ctx

    async def _post(self, provider: Provider, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {**provider.headers, **provider.credentials()}
        async with self._pool.post(f"{provider.root}/api/{name}", orjson.dumps(body), headers) as upstream:
            data = b"".join([chunk async for chunk in upstream.chunks()])
            try:
                return upstream.answer.status, fields(orjson.loads(data))
            except orjson.JSONDecodeError:
                return upstream.answer.status, {}

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            _log.warning("%s", message)


def _said(status: int, answer: dict[str, Any]) -> str:
    error = answer.get("error")
    return f"{status} {error[:200]!r}" if isinstance(error, str) else str(status)
