"""What a dialect is: a wire format, as a handful of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
import orjson
from msgspec import Raw, Struct, field
from orjson import Fragment

from claude_code_proxy.dialects.search import Search
from claude_code_proxy.wire.collect import Collector
from claude_code_proxy.wire.encoder import Encoder
from claude_code_proxy.wire.events import Event
from claude_code_proxy.wire.failure import Failed
from claude_code_proxy.wire.framing import SSE, Whole
from claude_code_proxy.wire.head import Head
from claude_code_proxy.wire.known_tools import Tools as KnownTools
from claude_code_proxy.wire.machine import Machine, Pipe
from claude_code_proxy.wire.messages import Tool
from claude_code_proxy.wire.watch import Watch

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Call(Struct, frozen=True):
    """One request to one upstream: what the client asked, and whom.

    `head` is the client's body. `model` is the upstream's name for the
    model; where that stands in for another, `shown` is the other's, which a reply that passes untouched
    must show. `quirks` are the provider's deviations from the dialect (providers.toml), `body` the
    fields that it wants in a translated request beside the dialect's own. `seed` is unique to
    the reply: ids that the upstream does not give are made from it. `max_output_tokens` is what the user lets
    anyone ask for, `max_output` what the model takes, where that is known; 0 is no limit. `headers`
    (names in lower case) and `query` are the client's. `search_engine`: the user named one, so a web search need
    not be the upstream's.
    """

    head: Head
    model: str
    seed: str
    base_url: str
    quirks: Mapping[str, Any] = {}
    body: Mapping[str, Any] = {}
    max_output_tokens: int = 0
    max_output: int = 0
    headers: Mapping[str, str] = {}
    query: str = ""
    shown: str = ""
    search_engine: bool = False

    def __repr__(self) -> str:
        return f"Call({self.model!r}, {self.base_url!r})"  # never what was said, nor the client's credentials


class Outgoing(Struct, frozen=True):
    """A request as it leaves: credentials are added by the gateway, which knows whose they are.

    `tools` are the tools that were offered, by the name they were offered under; the reply is read with them.
    """

    url: str
    body: bytes
    headers: Headers = ()
    tools: Mapping[str, Tool] = {}

    def __repr__(self) -> str:
        return f"Outgoing({self.url!r}, {len(self.body)} bytes)"  # never what was said


def json_body(body: Any) -> bytes:
    """A body, or a part of one, as JSON, with whole numbers of any size."""
    try:
        return orjson.dumps(body, default=_as_fragment)
    except TypeError:  # whole numbers over 64 bits, which it does not write
        return msgspec.json.encode(body)


def encoded_once(dialect: str, known: KnownTools | None, tools: Iterable[Tool], make: Callable[[], Any]) -> Any:
    """What a dialect makes of these tools, for `json_body`: encoded once if they are known, else as it was made."""
    if known is None:
        return make()
    return known.made((dialect, *map(id, tools)), lambda: Raw(json_body(make())))


def _as_fragment(value: object) -> Fragment:
    if isinstance(value, Raw):
        return Fragment(bytes(value))
    raise TypeError(f"{type(value).__name__} is no JSON")


class Counting(Struct, frozen=True):
    """A request for a count of tokens, and the field of the JSON answer that holds it."""

    outgoing: Outgoing
    answer: str = "input_tokens"


class Local(Struct, frozen=True):
    """An answer that needs no upstream."""

    events: tuple[Event, ...]


class Answer(Struct, frozen=True):
    """The head of an upstream's HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


Reply: TypeAlias = Machine[bytes, bytes]


class Dialect(Struct, frozen=True):
    """A wire format.

    - `request(call)` turns the client's request into the upstream's, or answers it, or says what search it is to be
      answered with; raises `ApiError` for a bad one.
    - `reply(call, outgoing, answer, watch)` gives the machine that turns the upstream's bytes into the client's.
    - `failure(call, answer, body)` says in Anthropic's words what an HTTP error of the upstream means.
    - `count(call)` asks for the input tokens of a request, which need not say how many to answer with; None where the
      format has no such thing. Raises `ApiError` for a bad request.
    - `translates`: `request` reads the whole body.
    - `reply_headers` are headers of the upstream's answer that are handed to the client.
    """

    name: str
    request: Callable[[Call], Outgoing | Local | Search]
    reply: Callable[[Call, Outgoing, Answer, Watch], Reply]
    failure: Callable[[Call, Answer, bytes], Failed]
    reply_headers: frozenset[str] = frozenset()
    count: Callable[[Call], Counting] | None = None
    translates: bool = True


Decoder: TypeAlias = Machine[bytes, Event]


def translated(call: Call, answer: Answer, watch: Watch, decoder: Decoder, *filters: Machine[Event, Event]) -> Reply:
    """The way of a translated reply: framing, decoder, filters, then a stream or one message as the client asked.

    The framing goes by what the upstream sent, not by what was asked of it: some answer one JSON body to a
    request for a stream.
    """
    framing: Machine[bytes, bytes] = SSE() if answer.media_type == "text/event-stream" else Whole()
    return Pipe(framing, decoder, *filters, told(call, watch))


def told(call: Call, watch: Watch) -> Machine[Event, bytes]:
    """The last stage: events in the form the client asked for."""
    last = Encoder if call.head.stream else Collector
    return last(f"msg_{call.seed}", call.head.model, watch)
