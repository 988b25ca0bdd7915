"""Anthropic's own wire format: passed through, not translated.

The raw body goes on with only `model` replaced, the answer's bytes come back untouched. Newer Claude models
bind their thinking to the whole prompt before it, so any edit would make later turns fail. What other models left
in the conversation is taken out, the same way on every turn. Other servers that speak the format are not sent what
is for Anthropic alone.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
import orjson
from msgspec import Raw, Struct

from claude_code_proxy.dialects import errors
from claude_code_proxy.dialects.base import Counting, Dialect, Outgoing, told
from claude_code_proxy.dialects.event_stream import MEDIA_TYPE, EventStream
from claude_code_proxy.dialects.foreign import own_messages
from claude_code_proxy.dialects.native import NativeDecoder, quirks_of
from claude_code_proxy.dialects.plain import plain_messages
from claude_code_proxy.dialects.search import searching
from claude_code_proxy.dialects.session import session_header
from claude_code_proxy.wire.check import no_thread
from claude_code_proxy.wire.events import Block, Signature, Text, Thinking, ToolArgs, ToolCall
from claude_code_proxy.wire.failure import Failed, error, failed, from_error
from claude_code_proxy.wire.framing import SSE, Whole
from claude_code_proxy.wire.json_text import digits, dumped, fields, items
from claude_code_proxy.wire.machine import Pipe
from claude_code_proxy.wire.mend import Renamed, mended
from claude_code_proxy.wire.tap import Tap, WholeTap, is_message, stop_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.dialects.base import Answer, Call, Headers, Reply
    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.watch import Watch

_FORWARDED: Final = ("user-agent", "x-app")
_FORWARDED_PREFIXES: Final = ("anthropic-", "x-stainless-")
_SAFEGUARDS: Final = "safeguards"
"""What Claude Code's auto mode asks Anthropic to judge: with the user's rules, folders and the state of their work."""

_PLAIN_CALL: Final = frozenset({"type", "id", "name", "input"})
_VERSION: Final = "2023-06-01"

REPLY_HEADERS: Final = frozenset({"request-id", "retry-after", "x-should-retry", "anthropic-*"})


class _Place(Struct, frozen=True):
    """An endpoint of a cloud, which takes the model from the path and the version from the body."""

    whole: str
    streamed: str
    version: str
    safe: str = ""
    betas_inside: bool = False
    dates_apart: bool = False
    counted: str = ""


_PLACES: Final[dict[str, _Place]] = {
    "vertex": _Place(
        *("/models/{}:rawPredict", "/models/{}:streamRawPredict", "vertex-2023-10-16"),
        safe="@",
        dates_apart=True,
        counted="/models/count-tokens:rawPredict",
    ),
    "bedrock": _Place(
        *("/model/{}/invoke", "/model/{}/invoke-with-response-stream", "bedrock-2023-05-31"),
        safe=":",
        betas_inside=True,
    ),
}
"""By the quirk `endpoint`. Source: the anthropic SDK 2.12, lib/vertex and lib/bedrock, read November 2026."""

_NULL: Final = Raw(b"null")
_NOT_COUNTED: Final = frozenset(
    {"max_tokens", "metadata", "service_tier", "stop_sequences", "stream", "temperature", "top_k", "top_p"}
)
"""Fields of a message that say nothing of its prompt; Anthropic refuses a count that has them."""

_DATE: Final = re.compile(r"-(?=20\d{6}$)")


def request(call: Call) -> Outgoing | Search:
    """The client's own request, to another model; a web search that only Anthropic makes is the user's engine's.

    Raises `ApiError` (400) for a name that no path can hold, and for a conversation that only Anthropic keeps.
    """
    genuine = quirks_of(call.quirks).genuine
    _check_thread(call)
    if call.search_engine and not genuine and (search := searching(call.head, call.seed)):
        return search
    if place := _PLACES.get(quirks_of(call.quirks).endpoint):
        return _to_cloud(call, place)
    changes = _changes(call)
    if call.model != call.head.model:
        changes["model"] = call.model
    body = call.head.with_fields(**changes) if changes else call.head.raw
    query = f"?{call.query}" if call.query else ""
    return Outgoing(f"{call.base_url}/v1/messages{query}", body, (*forwarded_headers(call), *_session(call)))


def count(call: Call) -> Counting:
    """The same request to the counter, without what that does not take. Raises `ApiError` as `request` does."""
    _check_thread(call)
    head, place = call.head, _PLACES.get(quirks_of(call.quirks).endpoint)
    changes: dict[str, Any] = dict.fromkeys(_NOT_COUNTED & head.names)
    changes |= {name: value for name, value in _changes(call).items() if name not in _NOT_COUNTED}
    changes["model"] = call.model
    headers = dict(forwarded_headers(call))
    url = f"{call.base_url}/v1/messages/count_tokens" + (f"?{call.query}" if call.query else "")
    if place:
        changes["model"] = _DATE.sub("@", call.model) if place.dates_apart else call.model
        version = headers.pop("anthropic-version")
        changes["anthropic_version"] = place.version if version == _VERSION else version
        url = call.base_url + place.counted
    return Counting(Outgoing(url, head.with_fields(**changes), tuple(headers.items())))


def _to_cloud(call: Call, place: _Place) -> Outgoing:
    """The model and the manner stand in the path, the version in the body, and at one of them the betas, too.

    The clouds have a name of their own for the API's first version; later ones are called the same everywhere.
    """
    model = _DATE.sub("@", call.model) if place.dates_apart else call.model
    if model in {".", ".."}:
        raise error("invalid_request_error", f"model: {model!r} is no name.")
    headers = dict(forwarded_headers(call))
    version = headers.pop("anthropic-version")
    changes: dict[str, Any] = {"model": None, "anthropic_version": place.version if version == _VERSION else version}
    if place.betas_inside:
        changes["stream"] = None
        if betas := headers.pop("anthropic-beta", ""):
            changes["anthropic_beta"] = [beta.strip() for beta in betas.split(",")]
    changes = {name: value for name, value in changes.items() if value is None or name not in call.head.fields}
    changes |= _changes(call)
    path = (place.streamed if call.head.stream else place.whole).format(quote(model, safe=place.safe))
    return Outgoing(call.base_url + path, call.head.with_fields(**changes), tuple(headers.items()))


def _check_thread(call: Call) -> None:
    if not quirks_of(call.quirks).genuine and call.head.fields.get("thread", _NULL) != _NULL:
        raise no_thread()


def _session(call: Call) -> Headers:
    """The key of the session, for a server that takes one."""
    name = quirks_of(call.quirks).session_header
    if not name:
        return ()
    try:
        metadata = msgspec.json.decode(call.head.fields.get("metadata", _NULL))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the upstream will say so
        metadata = None
    return session_header(name, metadata, call.headers)


def _changes(call: Call) -> dict[str, Any]:
    """The fields that do not go as they came.

    That is what is over the user's limit, what other models left behind, what is for Anthropic's eyes alone, and what
    the server does not know.
    """
    quirks = quirks_of(call.quirks)
    changes: dict[str, Any] = {"max_tokens": call.max_output_tokens} if _over_cap(call) else {}
    if (messages := own_messages(call.head)) is not None:
        changes["messages"] = messages
    if not quirks.genuine and _SAFEGUARDS in call.head.fields:
        changes[_SAFEGUARDS] = None
    if quirks.plain and (plain := plain_messages(call.head, messages)) is not None:
        changes["messages"] = plain
    return changes


def _over_cap(call: Call) -> bool:
    """Whether the client asks for more than the user's MAX_OUTPUT_TOKENS; what is no number is not ours to judge."""
    asked = digits(bytes(call.head.fields.get("max_tokens", b"")))
    return bool(call.max_output_tokens) and asked is not None and asked > call.max_output_tokens


def forwarded_headers(call: Call) -> Headers:
    """The headers of a request for a message."""
    return tuple({"anthropic-version": _VERSION, **forwarded(call.headers)}.items())


def forwarded(client: Mapping[str, str]) -> dict[str, str]:
    """The client's headers that an Anthropic upstream acts on; never its credentials."""
    return {name: value for name, value in client.items() if name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES)}


def reply(call: Call, _: Outgoing, answer: Answer, watch: Watch) -> Reply:
    """Passes the bytes.

    Taken apart are only a whole message sent to a client that waits for a stream, and the streams of
    providers that are known to deviate; a whole message that lacks something is completed.
    """
    if not call.head.stream:
        mend = partial(mended, ident=f"msg_{call.seed}", model=call.shown or call.model)
        return _renamed(call, WholeTap(watch, mend))
    if answer.media_type == "application/json":
        return Pipe(Whole(), MessageDecoder(), told(call, watch))
    if answer.media_type == MEDIA_TYPE:
        return Pipe(EventStream(), Tap(watch))
    if quirks_of(call.quirks).native == "mended":
        return Pipe(SSE(), NativeDecoder(call.seed, watch.passed_over), told(call, watch))
    return _renamed(call, Tap(watch))


def _renamed(call: Call, tap: Reply) -> Reply:
    return Pipe(Renamed(call.model, call.shown), tap) if call.shown else tap


def failure(call: Call, answer: Answer, body: bytes) -> Failed:
    """An error in Anthropic's envelope passes as it is, since the client acts on its wording.

    Other servers use the envelope with words of their own for what is too long.
    """
    try:
        content = fields(orjson.loads(body))
    except orjson.JSONDecodeError:
        content = {}
    if answer.status >= 400 and content.get("type") == "error" and fields(content.get("error")):
        own = from_error(content, answer.status)
        if not quirks_of(call.quirks).genuine and errors.is_size(answer.status, own.message):
            return errors.failure(call, answer, body)
        return Failed(own.type, own.message, answer.status, errors.kept(answer), body)
    return errors.failure(call, answer, body)


class MessageDecoder:
    """A machine from one whole message to events."""

    __slots__ = ()

    def feed(self, data: bytes, /) -> Sequence[Event]:
        try:
            message = fields(orjson.loads(data))
        except orjson.JSONDecodeError:
            message = {}
        if not message:
            return (failed("api_error", "The upstream answered something that is not JSON.", status=502),)
        if "error" in message:
            return (from_error(message),)
        if not is_message(message):
            return (failed("api_error", "The upstream answered something that is no message.", status=502),)
        events: list[Event] = [usage_of(message)]
        for key, block in enumerate(items(message.get("content"))):
            events += _said(key, fields(block))
        return (*events, stop_of(message))

    def close(self) -> Sequence[Event]:
        return ()


def _said(key: int, block: dict[str, Any]) -> Sequence[Event]:
    match block:
        case {"type": "text", "text": str(text)} if not block.get("citations"):
            return (Text(text),)
        case {"type": "thinking", "thinking": str(text)}:
            signature = block.get("signature")
            return (Thinking(text), Signature(signature)) if signature else (Thinking(text),)
        case {"type": "tool_use", "id": str(ident), "name": str(name)} if _PLAIN_CALL.issuperset(block):
            return ToolCall(key, ident, name), ToolArgs(key, dumped(block.get("input") or {}))
        case _:
            return (Block(block),) if block.get("type") else ()


DIALECT: Final = Dialect("anthropic", request, reply, failure, REPLY_HEADERS, count, translates=False)
