"""A request in the words of OpenTelemetry's semantic conventions for generative AI. Never a prompt, never a key.

Pure, and without OpenTelemetry itself. The span of a request is that of a client which asks a model: the provider and
`gen_ai.request.model` are those that were asked last, and gave the answer if there is one. What the conventions have
no name for is called `claude_code_proxy.…`.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from claude_code_proxy.exposition import OTHER, label

if TYPE_CHECKING:
    from claude_code_proxy.metrics import Outcome

_TABLE: Final = tomllib.loads(files(__package__).joinpath("genai.toml").read_text("utf-8"))
_PROVIDERS: Final[dict[str, str]] = _TABLE["providers"]

METRICS: Final[dict[str, dict[str, Any]]] = _TABLE["metrics"]
"""The histograms by name: `unit`, `tells`, `bounds`."""

ENDPOINT: Final = "messages"
"""The endpoint whose requests are those that the conventions are about."""

GONE: Final = "client_closed_request"
"""`error.type` of a request whose client left, which is nobody's error."""

_ANOTHER: Final = "_OTHER"
_OPERATION: Final = "chat"
_CLIENT_GONE: Final = 499
_LARGEST: Final = (1 << 63) - 1
_PORTS: Final = {"http": 80, "https": 443}


def name(outcome: Outcome) -> str:
    """The name of its span."""
    return f"{_OPERATION} {label(outcome.model)}".rstrip()


def alike(outcome: Outcome) -> tuple[Any, ...]:
    """What its name, `shared` and being a failure follow from: the same for outcomes that differ in `own` only."""
    return (
        *(outcome.provider, outcome.model, outcome.base_url, outcome.client_model, outcome.routed),
        *(outcome.status, outcome.error, outcome.stop, outcome.stream, outcome.first is None),
        outcome.tried if len(outcome.tried) > 1 else (),
    )


def shared(outcome: Outcome) -> dict[str, Any]:
    """What its span says as those of many others do. Each attribute costs, so what is as usual is not said."""
    place = urlsplit(outcome.base_url)
    answered = outcome.model if outcome.stop or outcome.first is not None else ""
    asked = f"{outcome.provider}:{outcome.model}"
    told = {
        "gen_ai.operation.name": _OPERATION,
        "gen_ai.provider.name": provider(outcome),
        "gen_ai.request.model": label(outcome.model),
        "gen_ai.response.model": label(answered),
        "gen_ai.request.stream": outcome.stream or None,
        "gen_ai.response.finish_reasons": [label(outcome.stop)] if outcome.stop else None,
        "server.address": place.hostname,
        "server.port": (place.port or _PORTS.get(place.scheme)) if place.hostname else None,
        "http.response.status_code": outcome.status or None,
        "error.type": error(outcome),
        "claude_code_proxy.request.model": label(outcome.client_model) if outcome.client_model != outcome.model else "",
        "claude_code_proxy.route": label(outcome.routed) if outcome.routed != asked else "",
        "claude_code_proxy.attempts": [label(one) for one in outcome.tried] if len(outcome.tried) > 1 else None,
    }
    return _said(told)


def own(outcome: Outcome) -> dict[str, Any]:
    """What its span says of it alone. The type of a value follows from its name."""
    usage = outcome.usage
    told: dict[str, Any] = {"claude_code_proxy.request.id": outcome.request_id}
    if outcome.session:
        told["gen_ai.conversation.id"] = label(outcome.session)
    if outcome.stream and outcome.first is not None:
        told["gen_ai.response.time_to_first_chunk"] = float(outcome.first)
    for name, tokens in (
        ("gen_ai.usage.input_tokens", prompt(outcome)),
        ("gen_ai.usage.output_tokens", usage.output),
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read),
        ("gen_ai.usage.cache_creation.input_tokens", usage.cache_write),
        ("gen_ai.usage.reasoning.output_tokens", usage.thinking),
    ):
        if tokens is not None:
            told[name] = _count(tokens)
    if outcome.cost is not None:
        told["claude_code_proxy.cost_usd"] = float(outcome.cost)  # also where it is whole: its type is always the same
    return told


def series(outcome: Outcome) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The metrics that its `values` belong to, and what is said of each."""
    said = {"gen_ai.operation.name": _OPERATION}
    if outcome.provider:
        said |= {"gen_ai.provider.name": provider(outcome), "gen_ai.request.model": label(outcome.model)}
    failure = error(outcome)
    return (
        ("gen_ai.client.operation.duration", said | {"error.type": failure} if failure else said),
        ("gen_ai.server.time_to_first_token", said),
        ("gen_ai.client.token.usage", said | {"gen_ai.token.type": "input"}),
        ("gen_ai.client.token.usage", said | {"gen_ai.token.type": "output"}),
    )


def values(outcome: Outcome) -> tuple[float | None, ...]:
    """Its points, in the order of its `series`. None: there is none."""
    return outcome.seconds, outcome.first, prompt(outcome), _count(outcome.usage.output)


def provider(outcome: Outcome) -> str:
    """The provider, by the conventions' name."""
    return _PROVIDERS.get(outcome.provider, label(outcome.provider))


def error(outcome: Outcome) -> str:
    """Its `error.type`; empty if there is none."""
    if not outcome.error and outcome.status == _CLIENT_GONE:
        return GONE
    return _ANOTHER if outcome.kind == OTHER else outcome.kind


def prompt(outcome: Outcome) -> int | None:
    """The tokens of the whole prompt: the conventions count what a cache held among them."""
    usage = outcome.usage
    known = [count for count in (usage.input, usage.cache_read, usage.cache_write) if count is not None]
    return _count(sum(known)) if known else None


def _count(tokens: int | None) -> int | None:
    """What an upstream counted, as OpenTelemetry can hold it: one value too large would cost the whole batch."""
    return tokens if tokens is None or 0 <= tokens <= _LARGEST else max(0, min(tokens, _LARGEST))


def _said(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None and value != ""}
