"""What a Responses API sends into events.

A whole reply is a stream of one payload that only has an end. Items of a stream may be told at the same time;
here they are told one after the other, in the order in which they began.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects.base import translated
from claude_code_proxy.dialects.names import client_id, client_name
from claude_code_proxy.dialects.openai_responses import web
from claude_code_proxy.dialects.openai_responses.carried import Carried, Next, Place
from claude_code_proxy.dialects.openai_responses.failure import failure_inside
from claude_code_proxy.dialects.openai_responses.output import (
    KINDS,
    OWNERS,
    FunctionCall,
    Item,
    Message,
    Reasoning,
    Search,
)
from claude_code_proxy.dialects.openai_responses.quirks import quirks_of
from claude_code_proxy.dialects.openai_responses.unwrap import WrappedCalls
from claude_code_proxy.dialects.openai_responses.usage import usage_in
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.events import Signature, Stop, StopReason, Text, Thinking, ToolArgs, ToolCall, Usage
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.filters import CHARS_PER_TOKEN, StopSequences, ThinkTags
from claude_code_proxy.wire.json_text import fields, items, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from claude_code_proxy.dialects.base import Answer, Call, Outgoing, Reply
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.machine import Machine
    from claude_code_proxy.wire.messages import Tool
    from claude_code_proxy.wire.watch import Watch

STOP_REASONS: Final[dict[str, StopReason]] = {
    "completed": "end_turn",
    "max_output_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "length": "max_tokens",
    "incomplete": "max_tokens",
    "content_filter": "refusal",
}
"""What a status means, or the reason why a response is incomplete; with any other reason it is just that."""

_TERMINAL: Final = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
_WHOLE: Final = frozenset({"completed", "incomplete"})
"""The statuses of a response that is all there will be of it."""

_ENDS: Final = frozenset({"incomplete", "failed", "cancelled"})
"""The statuses that are believed whatever the event is called."""

_NOT_JSON: Final = failed("api_error", "The upstream sent something that is not JSON.", status=502)
_IDENT: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


def reply(call: Call, outgoing: Outgoing, answer: Answer, watch: Watch) -> Reply:
    """The machine from a Responses upstream's bytes to Anthropic's."""
    place = Place(call.model, call.base_url)
    decoder = ResponsesDecoder(call.seed, place, outgoing.tools, prompt_tokens=lambda: count(call.head))
    decoder.passed_over = watch.passed_over
    filters: list[Machine[Event, Event]] = []
    if quirks_of(call.quirks).think_tags:
        filters.append(ThinkTags(place.mint()))
    if outgoing.tools:
        filters.append(WrappedCalls(outgoing.tools))
    if stops := _stops(call):  # the API looks for none
        filters.append(StopSequences(stops, prompt_tokens=lambda: count(call.head)))
    return translated(call, answer, watch, decoder, *filters)


def _nobody(_: object) -> None:
    pass


def _stops(call: Call) -> list[str]:
    if "stop_sequences" not in call.head.names:
        return []
    asked = items(msgspec.json.decode(call.head.fields["stop_sequences"]))
    return [one for one in asked if isinstance(one, str) and one]


class ResponsesDecoder:
    """A machine from the payloads of a Responses reply to events.

    `seed` makes ids for calls that come without one. `place` mints the signatures that thinking ends with.
    `tools` are those that were offered, by the name they were offered under. `prompt_tokens` estimates the
    prompt, for an upstream that does not count. `passed_over` is told the kinds of events and items that say nothing.
    """

    __slots__ = (
        "_after",
        "_by_ident",
        "_by_index",
        "_counted",
        "_garbled",
        "_ids",
        "_items",
        "_pending",
        "_place",
        "_prompt_tokens",
        "_queue",
        "_said_chars",
        "_searches",
        "_seed",
        "_tools",
        "passed_over",
    )

    def __init__(self, seed: str, place: Place, tools: Mapping[str, Tool], *, prompt_tokens: Callable[[], int]) -> None:
        self.passed_over: Callable[[object], None] = _nobody
        self._seed, self._place, self._tools, self._prompt_tokens = seed, place, tools, prompt_tokens
        self._items: list[Item] = []
        self._by_index: dict[int, Item] = {}
        self._by_ident: dict[str, Item] = {}
        self._queue: deque[Item] = deque()  # items that are being told; the first one is heard, the others wait
        self._pending: Reasoning | None = None  # it is told, and its signature waits for what follows
        self._after: list[str] = []  # ids of reasoning that only other reasoning came after
        self._searches: list[tuple[str, dict[str, Any]]] = []  # that wait for the answer which cites their hits
        self._ids: set[str] = set()
        self._counted = self._garbled = False
        self._said_chars = 0

    def feed(self, data: bytes, /) -> Sequence[Event]:
        data = data.strip()
        if not data or data == b"[DONE]":
            return ()
        try:
            chunk = loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            self._garbled = True  # the end of a stream that was cut, or something that is told again later
            return ()
        if chunk.get("type") == "response.output_text.delta" and (text := self._plain_text(chunk)):
            self._said_chars += len(text)
            return (Text(text),)
        return self._counting(self._events(chunk))

    def close(self) -> Sequence[Event]:
        return (_NOT_JSON,) if self._garbled else ()

    def _plain_text(self, chunk: dict[str, Any]) -> str:
        """The text of a delta of the message that is being heard: nearly every event is one."""
        index = chunk.get("output_index")
        item = self._by_index.get(index) if type(index) is int else None
        if item is None or type(item) is not Message or not self._heard(item) or item.done:
            return ""
        return item.piece(chunk)

    def _counting(self, events: Iterable[Event]) -> Sequence[Event]:
        out = list(events)
        for event in out:
            if isinstance(event, (Text, Thinking)):
                self._said_chars += len(event.text)
            elif isinstance(event, ToolArgs):
                self._said_chars += len(event.json)
        return out

    def _events(self, chunk: dict[str, Any]) -> Iterator[Event]:
        kind = chunk.get("type")
        if not isinstance(kind, str) or kind == "error" or chunk.get("object") == "response":
            if isinstance(chunk.get("output"), list):
                yield from self._end(chunk, str(chunk.get("status") or "completed"))
            elif kind == "error" or chunk.get("error"):
                yield failure_inside(chunk)
            return
        response = fields(chunk.get("response"))
        if kind in _TERMINAL:
            told = str(response.get("status"))  # some servers say `completed` of all that ends
            yield from self._end(response, told if told in _ENDS else _TERMINAL[kind])
        elif kind == "response.output_item.added":
            yield from self._added(chunk)
        elif kind == "response.output_item.done":
            yield from self._done(chunk)
        elif item := self._item_of(kind, chunk):
            yield from self._tell(item, item.took(kind.removeprefix("response."), chunk))
        else:
            self.passed_over(kind)

    # -- the end

    def _end(self, response: dict[str, Any], status: str) -> Iterator[Event]:
        """A response as it is whole. What its items say that was not told yet is told now."""
        if usage := usage_in(response):
            self._counted = self._counted or usage.output is not None
            yield usage
        if status not in _WHOLE:
            error = response.get("error") or {"message": f"The upstream ended the reply with {status!r}."}
            yield failure_inside({"error": error})
            return
        for item, whole in _paired(self._items, response):
            yield from self._finish(item or self._new(whole, None), whole)
        if self._garbled and any(item.torn or not item.done for item in self._items if item.kind in KINDS):
            yield _NOT_JSON
            return
        for item in list(self._queue):
            yield from self._finish(item, {})
        yield from self._settled(None)
        yield from self._results({})
        if not self._counted:
            yield Usage(self._prompt_tokens(), max(1, self._said_chars // CHARS_PER_TOKEN))
        reason = str(fields(response.get("incomplete_details")).get("reason") or "")
        refused = any(isinstance(item, Message) and item.refused for item in self._items)
        meant = STOP_REASONS.get(reason if status == "incomplete" else status, STOP_REASONS[status])
        yield Stop("refusal" if refused else meant, reason or status)

    # -- items

    def _added(self, event: dict[str, Any]) -> Iterator[Event]:
        raw = fields(event.get("item"))
        item = self._by_ident.get(str(raw.get("id") or ""))
        if item is None or item.done or item.kind != raw.get("type"):
            item = self._new(raw, event.get("output_index"))
        yield from self._led(item)
        yield from self._tell(item, item.began(raw))

    def _done(self, event: dict[str, Any]) -> Iterator[Event]:
        raw, index = fields(event.get("item")), event.get("output_index")
        known = [self._by_index.get(index) if isinstance(index, int) else None, self._by_ident.get(str(raw.get("id")))]
        item = next((one for one in known if one and one.kind == raw.get("type") and not one.done), None)
        if item is None and known[1] and known[1].kind == raw.get("type"):
            return  # it is told a second time
        yield from self._finish(item or self._new(raw, index), raw)

    def _item_of(self, kind: str, event: dict[str, Any]) -> Item | None:
        """The item that an event is about, which may be one that was never announced."""
        index, ident = event.get("output_index"), event.get("item_id")
        name = kind.removeprefix("response.")
        owner = next((owner for start, owner in OWNERS if name.startswith(start)), "")
        known = [self._by_ident.get(str(ident)), self._by_index.get(index) if isinstance(index, int) else None]
        if item := next((one for one in known if one and owner in {"", one.kind}), None):
            return item
        if not owner:
            return None
        if not isinstance(index, int) and (item := next((one for one in self._queue if one.kind == owner), None)):
            return item
        return self._new({"type": owner, "id": ident}, index)

    def _new(self, raw: dict[str, Any], index: object) -> Item:
        kind = str(raw.get("type"))
        item = KINDS.get(kind, Item)(kind, len(self._items), raw)
        self._items.append(item)
        if isinstance(index, int):
            self._by_index[index] = item
        if item.ident:
            self._by_ident[item.ident] = item
        if kind in KINDS:
            self._queue.append(item)
        else:
            self.passed_over(f"item.{kind}")
        return item

    def _heard(self, item: Item) -> bool:
        """Whether what an item says can be passed on at once."""
        if not self._queue:
            return item.done and item is self._items[-1]
        return self._queue[0] is item and not (self._searches and isinstance(item, Message))

    def _tell(self, item: Item, events: Iterable[Event]) -> Iterator[Event]:
        named = (self._named(event) if isinstance(event, ToolCall) else event for event in events)
        if self._heard(item):
            yield from self._led(item)
            yield from named
        else:
            item.waiting += named

    def _finish(self, item: Item, raw: dict[str, Any]) -> Iterator[Event]:
        """An item is whole; so are those that waited for it, perhaps."""
        if item.done:
            return
        item.whole = {**item.whole, **raw}
        yield from self._led(item)
        yield from self._tell(item, item.ended(raw))
        item.done = True
        while self._queue and self._queue[0].done:
            yield from self._over(self._queue[0])
            self._queue.popleft()
            if self._queue:
                yield from self._led(self._queue[0])

    def _led(self, item: Item) -> Iterator[Event]:
        """What comes before an item, once it is its turn, and what it has said until then."""
        if item.led:
            return
        if item.kind not in KINDS:
            item.led = True
            yield from self._settled(Next("item"))
        elif self._queue[0] is item:
            item.led = True
            match item:
                case Message() | FunctionCall():
                    yield from self._settled(item.next)
                case Reasoning():
                    yield from self._settled(None)
                case _:
                    return
            if isinstance(item, FunctionCall):
                yield from self._results({})
            if self._heard(item):
                waiting, item.waiting = item.waiting, []
                yield from waiting

    def _over(self, item: Item) -> Iterator[Event]:
        """What follows from an item that was told."""
        match item:
            case Reasoning():
                self._pending = item
            case Message():
                yield from self._results(item.cited)
                waiting, item.waiting = item.waiting, []
                yield from waiting
            case Search():
                whole = item.whole.get("status") == "completed"
                yield from self._settled(Next("item", item=web.carried_search(item.whole) if whole else {}))
                own = item.ident if _IDENT.fullmatch(item.ident) else f"{self._seed}_{item.order}"
                self._searches.append((f"{web.SERVER_ID}{own}", item.whole))

    def _settled(self, following: Next | None) -> Iterator[Event]:
        """The signature of the reasoning before `following`, or of what has to be carried without any."""
        pending, self._pending = self._pending, None
        if pending:
            carried = pending.carried(str(self._place), tuple(self._after), following)
            self._after = [] if following else [*self._after, pending.ident]
        else:
            carried = Carried(str(self._place), next=following) if following and following.phase else None
        if carried:
            yield Signature(self._place.mint(carried))

    def _results(self, cited: Mapping[str, str]) -> Iterator[Event]:
        searches, self._searches = self._searches, []
        yield from web.search_blocks(searches, cited)

    def _named(self, call: ToolCall) -> ToolCall:
        """A call with the id and name that the client knows it by."""
        ident = client_id(call.id, self._seed) if call.id else ""
        if not ident or ident in self._ids:
            ident = f"toolu_{self._seed}_{call.key}"
        self._ids.add(ident)
        return ToolCall(call.key, ident, client_name(call.name, self._tools))


def _paired(told: Sequence[Item], response: dict[str, Any]) -> Iterator[tuple[Item | None, dict[str, Any]]]:
    """Each item of a whole response, with the one of those that were told so far which it is.

    Some servers put them in another order than they told them in, give an item another id in each event, or leave out
    of the end what was in the stream. So one of the same id or call is looked for first, then one that no other is.
    """
    wholes = [fields(whole) for whole in items(response.get("output"))]
    names = [_names(whole.get("id"), whole.get("call_id")) for whole in wholes]
    left, claimed = list(told), set[object]().union(*names)
    for whole, own in zip(wholes, names, strict=True):
        same = [item for item in left if item.kind == whole.get("type") and not _calls_another(item, whole)]
        known = [(item, _names(item.ident, getattr(item, "call_id", ""))) for item in same]
        found = next((item for item, named in known if own & named), None)
        found = found or next((item for item, named in known if not claimed & named), None)
        if found:
            left.remove(found)
        yield found, whole


def _names(*values: object) -> set[object]:
    return {value for value in values if value and isinstance(value, str)}


def _calls_another(item: Item, whole: dict[str, Any]) -> bool:
    return isinstance(item, FunctionCall) and bool(item.call_id) and item.call_id != whole.get("call_id")
