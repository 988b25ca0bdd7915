"""What a chat upstream sends into events.

A whole reply is a stream of one chunk whose `message` stands where `delta` would. Servers differ in
nearly everything else; wire.md §9.6 lists how, and each deviation that is met here has a test of its name.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects.base import translated
from claude_code_proxy.dialects.errors import failure_inside
from claude_code_proxy.dialects.models import rule_of
from claude_code_proxy.dialects.openai_chat.calls import Calls
from claude_code_proxy.dialects.openai_chat.leaks import LeakedCalls
from claude_code_proxy.dialects.openai_chat.plain import plain_text
from claude_code_proxy.dialects.openai_chat.quirks import MAX_STOPS, quirks_of
from claude_code_proxy.dialects.openai_chat.reasoning import add_details, text_of
from claude_code_proxy.dialects.openai_chat.shim import SchemaCalls
from claude_code_proxy.dialects.openai_chat.usage import usage_in
from claude_code_proxy.dialects.openai_chat.web import Searched
from claude_code_proxy.dialects.search import searching
from claude_code_proxy.wire import signature
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.events import (
    Citation,
    Signature,
    Stop,
    StopReason,
    Text,
    Thinking,
    ToolArgs,
    Usage,
)
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.filters import CHARS_PER_TOKEN, StopSequences, ThinkTags
from claude_code_proxy.wire.json_text import fields, items, loads, paired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from claude_code_proxy.dialects.base import Answer, Call, Outgoing, Reply
    from claude_code_proxy.dialects.models import ModelRule
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.machine import Machine
    from claude_code_proxy.wire.messages import Tool
    from claude_code_proxy.wire.watch import Watch

_REASONING: Final = ("reasoning_details", "reasoning_content", "reasoning")
"""The fields that hold reasoning, the one to be believed first."""

STOP_REASONS: Final[dict[str, StopReason]] = {
    "stop": "end_turn",
    "eos": "end_turn",
    "end_turn": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "tool_use": "tool_use",
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "model_context_window_exceeded",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "content_filter": "refusal",
    "sensitive": "refusal",
    "refusal": "refusal",
}
"""What a finish reason means; any other is an end of the turn."""

_BROKEN: Final = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons that say the provider itself failed in the middle of the reply."""

_NOT_JSON: Final = failed("api_error", "The upstream sent something that is not JSON.", status=502)


def reply(call: Call, outgoing: Outgoing, answer: Answer, watch: Watch) -> Reply:
    """The machine from a chat upstream's bytes to Anthropic's."""
    quirks, rule = quirks_of(call.quirks), rule_of(call.model)
    own = partial(_own, call.model)
    decoder = ChatDecoder(call.seed, own, outgoing.tools, watch, prompt_tokens=lambda: count(call.head))
    filters: list[Machine[Event, Event]] = [ThinkTags(_stateless(call.model), opened=quirks.think == "opened")]
    if outgoing.tools:
        leaked = SchemaCalls if quirks.tools == "schema" else LeakedCalls
        filters.append(leaked(call.seed, outgoing.tools))
    if stops := _unwatched_stops(call, rule):
        filters.append(StopSequences(stops, prompt_tokens=lambda: count(call.head)))
    if quirks.web_search and (search := searching(call.head, call.seed)):
        filters.append(Searched(search))
    return translated(call, answer, watch, decoder, *filters)


def _own(model: str, state: Any = None) -> str:
    """A signature that only this model's own requests will be read by."""
    return signature.mint(signature.Minted("openai_chat", model, state))


_stateless: Final = lru_cache(256)(_own)


def _unwatched_stops(call: Call, rule: ModelRule) -> list[str]:
    """The stop sequences that the upstream was not told of."""
    if "stop_sequences" not in call.head.names:
        return []
    asked = items(msgspec.json.decode(call.head.fields["stop_sequences"]))
    return [one for one in asked if isinstance(one, str) and one][MAX_STOPS if rule.stop else 0 :]


class ChatDecoder:
    """A machine from the payloads of a chat reply to events.

    `seed` makes ids for calls that come without one. `own` makes the signature that thinking ends with, and
    puts into it what the upstream wants back. `tools` are those that were offered, by the name they were
    offered under. `prompt_tokens` estimates the prompt, for an upstream that does not count.
    """

    __slots__ = (
        "_blank",
        "_calls",
        "_counted",
        "_details",
        "_finish",
        "_garbled",
        "_loose",
        "_own",
        "_prompt_tokens",
        "_refused",
        "_said_chars",
        "_source",
        "_stop_sequence",
        "_thinking",
        "_watch",
    )

    def __init__(
        self,
        seed: str,
        own: Callable[..., str],
        tools: Mapping[str, Tool],
        watch: Watch,
        *,
        prompt_tokens: Callable[[], int],
    ) -> None:
        self._own, self._watch, self._prompt_tokens = own, watch, prompt_tokens
        self._calls = Calls(seed, tools)
        self._thinking = False
        self._details: list[dict[str, Any]] = []  # reasoning to be carried home in the next signature
        self._source = ""  # the field that this reply's reasoning comes in
        self._loose = {"text": "", "thinking": ""}  # half of a character
        self._finish = ""
        self._stop_sequence: str | None = None
        self._refused = self._counted = self._garbled = False
        self._said_chars = 0
        self._blank = ""

    def feed(self, data: bytes, /) -> Sequence[Event]:
        data = data.strip()
        if not data:
            return ()
        if self._garbled:  # what was lost was not the end
            return (_NOT_JSON,)
        if data == b"[DONE]":
            return self._end(self._finish or "stop")
        if not self._pending and (text := plain_text(data)):
            self._said_chars += len(text)
            return (Text(text),)
        try:
            chunk = loads(data)
        except ValueError:
            self._garbled = True  # perhaps it is the end of the stream that is cut off
            return ()
        if not isinstance(chunk, dict):
            return (_NOT_JSON,)
        if chunk.get("error") or fields(chunk.get("base_resp")).get("status_code"):
            return (failure_inside(chunk),)
        return list(self._events(chunk))

    def close(self) -> Sequence[Event]:
        if self._finish:
            return self._end(self._finish)
        return (_NOT_JSON,) if self._garbled else ()

    @property
    def _pending(self) -> bool:
        """Whether something must be said before text: a signature, a call's name, blanks, half a character."""
        return self._thinking or bool(self._details or self._blank or self._loose["text"] or self._calls.pending)

    def _events(self, chunk: dict[str, Any]) -> Iterator[Event]:
        if usage := usage_in(chunk):
            self._counted = self._counted or usage.output is not None
            yield usage
        for choice in map(fields, items(chunk.get("choices"))):
            if choice.get("index"):  # of several choices the first
                continue
            if delta := fields(choice.get("delta")):
                yield from self._said(delta)
            else:
                yield from self._said(fields(choice.get("message")), whole=True)
            if choice.get("error"):
                yield failure_inside(choice)
            self._finished(choice)
        if self._finish in _BROKEN:
            yield failed("api_error", f"The upstream ended the reply with {self._finish!r}.", status=502)

    def _finished(self, choice: dict[str, Any]) -> None:
        if reason := choice.get("finish_reason"):
            self._finish = str(reason)
            self._watch.ending = True
        elif choice.get("message") and not self._finish:
            self._finish = "stop"  # a whole reply is whole without saying so
        met = choice.get("stop_reason") or choice.get("matched_stop")  # vLLM and SGLang tell which one
        if isinstance(met, str) and self._finish == "stop":
            self._stop_sequence = paired(met)

    def _end(self, finish: str) -> Sequence[Event]:
        reason: StopReason = "refusal" if self._refused else STOP_REASONS.get(finish, "end_turn")
        if self._stop_sequence and reason == "end_turn":
            reason = "stop_sequence"
        events: list[Event] = [*self._pause()]
        events += self._calls.rest()
        if not self._counted:
            events.append(Usage(self._prompt_tokens(), max(1, self._said_chars // CHARS_PER_TOKEN)))
        return [*events, Stop(reason, finish, self._stop_sequence)]

    # -- what is said

    def _said(self, delta: dict[str, Any], *, whole: bool = False) -> Iterator[Event]:
        if thought := self._reasoning(delta, whole=whole):
            yield from self._think(thought)
        content = delta.get("content")
        if isinstance(content, str):
            yield from self._text(content)
        else:
            yield from self._parts(items(content))
        for citation in map(fields, items(delta.get("annotations"))):
            yield from _cited(fields(citation.get("url_citation")))
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            self._refused = True
            yield from self._text(refusal)
        for part in items(delta.get("tool_calls")):
            if isinstance(part, dict):
                yield from self._call_part(part)
        if function := fields(delta.get("function_call")):  # the form before tool calls
            yield from self._call_part({"index": 0, "function": function})

    def _reasoning(self, delta: dict[str, Any], *, whole: bool) -> str:
        """The reasoning in a delta: of the fields that hold it, the one that this reply used first.

        OpenRouter says it twice, as text and as details; the details are kept to be sent back.
        """
        details = [one for one in items(delta.get("reasoning_details")) if isinstance(one, dict)]
        if whole:
            self._details += details
        else:
            add_details(self._details, details)
        for source in (self._source,) if self._source else _REASONING:
            thought = text_of(details) if source == "reasoning_details" else delta.get(source)
            if isinstance(thought, str) and thought:
                self._source = source
                return thought
        return ""

    def _parts(self, parts: list[Any]) -> Iterator[Event]:
        """Content in parts, as Mistral sends it."""
        for part in map(fields, parts):
            if isinstance(text := part.get("text"), str):
                yield from self._text(text)
            for thought in map(fields, items(part.get("thinking"))):
                if isinstance(text := thought.get("text"), str) and text:
                    yield from self._think(text)

    def _think(self, thought: str) -> Iterator[Event]:
        yield from self._calls.announced()
        self._thinking = True
        self._said_chars += len(thought)
        yield Thinking(self._whole("thinking", thought))

    def _text(self, text: str) -> Iterator[Event]:
        if text := self._blank + self._whole("text", text):
            self._blank = ""
            if self._thinking and text.isspace():  # between the thinking and what follows it; perhaps nothing does
                self._blank = text
                return
            yield from self._pause()
            self._said_chars += len(text)
            yield Text(text)

    def _whole(self, kind: str, text: str) -> str:
        """Text without half a character at its end, which is kept for the next piece of its kind."""
        if self._loose[kind]:
            text, self._loose[kind] = self._loose[kind] + text, ""
        if text.isascii():  # nearly always
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._loose[kind] = text[:-1], text[-1]
        return paired(text)

    def _pause(self) -> Iterator[Event]:
        """Whatever was being said is said: the thinking gets its signature, the call its name."""
        if self._thinking or self._details:
            self._thinking = False
            state, self._details = self._details or None, []
            yield Signature(self._own(state))
        yield from self._calls.announced()

    def _call_part(self, part: dict[str, Any]) -> Iterator[Event]:
        if self._calls.begins(part):
            yield from self._pause()
        call, said = self._calls.take(part)
        if said:
            yield from self._calls.announced()
            self._said_chars += len(said)
            if arguments := call.take(said):
                yield ToolArgs(call.key, arguments)


def _cited(citation: dict[str, Any]) -> Iterator[Event]:
    url, title, quote = (citation.get(name) for name in ("url", "title", "content"))
    if isinstance(url, str):
        yield Citation(paired(url), *(paired(text) if isinstance(text, str) else "" for text in (title, quote)))
