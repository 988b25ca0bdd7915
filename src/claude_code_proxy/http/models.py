"""`GET [/{provider}:{model}]/v1/models[/{id}]`: what can be reached, in Anthropic's shape.

A URL that pins a model reaches that one only, so it is the only one listed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson

from claude_code_proxy.catalogue import MARK, described
from claude_code_proxy.http.access import Record
from claude_code_proxy.http.asgi import merged, of_json, send_whole
from claude_code_proxy.http.edge import answered
from claude_code_proxy.http.guard import admit
from claude_code_proxy.http.surface import MODELS
from claude_code_proxy.routing import route
from claude_code_proxy.wire.failure import error
from claude_code_proxy.wire.json_text import digits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.catalogue import Catalogue, Model
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.settings import Settings

_PAGE: Final = 20
_LARGEST_PAGE: Final = 1000


class Models:
    """The endpoint. `pinned` is what the URL names before it: `provider:model`, or empty."""

    def __init__(self, settings: Settings, catalogue: Catalogue, metrics: Metrics | None = None) -> None:
        self._settings, self._catalogue, self._metrics = settings, catalogue, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        del receive  # nothing in a body could matter
        record = Record(scope, self._metrics, "models")
        await answered(self._answer(scope, send, pinned, record), send, record)

    async def _answer(self, scope: Scope, send: Send, pinned: str, record: Record) -> None:
        ident = scope["path"].partition(MODELS)[2].strip("/")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        record.model, record.target = ident or "-", pinned or "-"
        headers = admit(of_json(record.headers), self._settings)
        if headers.get(MARK) == self._catalogue.mark:
            raise error("not_found_error", "This is the proxy itself, which is no provider of its own.")
        if ident:
            content = shown(await self._named(ident, pinned))
        else:
            content = page([await self._pinned(pinned)] if pinned else await self._catalogue.models(), query)
        record.status = 200
        await send_whole(send, 200, orjson.dumps(content), merged((), (), record.request_id))

    async def _pinned(self, pinned: str) -> Model:
        """The model of a URL, whether or not its provider lists it."""
        target = route(pinned, "", self._settings)
        target.provider.check()  # a provider that is not set up is told, as it is to a message
        known = await self._catalogue.of(target.provider)
        model = next((model for model in known if model.name == target.model), None)
        if model := model or described(target.model, {}, target.provider, self._settings):
            return model
        raise _unknown(pinned)

    async def _named(self, ident: str, pinned: str) -> Model:
        """The model that a request with this name would reach, Claude's names and the user's among them."""
        if pinned:
            model = await self._pinned(pinned)
            if ident in {model.id, model.name}:
                return model
            raise _unknown(ident)
        target = route("", ident, self._settings)
        for model in await self._catalogue.of(target.provider):
            if model.name == target.model:
                return model
        raise _unknown(ident)


def page(models: Sequence[Model], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the list: `limit` models after `after_id`, or the last `limit` before `before_id`.

    Raises `ApiError` (400) for a limit or an id that cannot be.
    """
    limit = digits((query.get("limit") or str(_PAGE)).encode())  # of bytes only ASCII's digits are digits
    if limit is None or not 1 <= limit <= _LARGEST_PAGE:
        raise error("invalid_request_error", f"limit: must be a whole number from 1 to {_LARGEST_PAGE}.")
    first, end = 0, len(models)
    if after := query.get("after_id"):
        first = _place(models, "after_id", after) + 1
    if before := query.get("before_id"):
        end = max(first, _place(models, "before_id", before))
    part = models[first:end]
    data = [shown(model) for model in (part[-limit:] if before else part[:limit])]
    return {
        "data": data,
        "has_more": len(part) > limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def shown(model: Model) -> dict[str, Any]:
    """A model as Anthropic's API shows one. The windows are there where they are known."""
    about = f"{model.name} at {model.provider}"
    content: dict[str, Any] = {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "description": f"{about}, {model.context:,} tokens" if model.context else about,
        "created_at": model.created_at,
        "lifecycle": model.lifecycle,
    }
    limits = {"max_input_tokens": model.context, "max_tokens": model.max_output}
    return content | {name: tokens for name, tokens in limits.items() if tokens}


def _place(models: Sequence[Model], name: str, ident: str) -> int:
    for place, model in enumerate(models):
        if model.id == ident:
            return place
    raise error("invalid_request_error", f"{name}: there is no model {ident[:200]!r}.")


def _unknown(ident: str) -> Exception:
    return error("not_found_error", f"There is no model {ident[:200]!r} in the lists of the providers that are set up.")
