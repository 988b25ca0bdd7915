"""What Gemini sends into events.

A stream is one answer in pieces, each a whole `GenerateContentResponse`. A list of such pieces is what it sends to
who does not ask for server-sent events, and a reply that is not streamed is one piece. The reply is whole once a
finish reason came. More pieces may follow it, and older models give one in every piece, so the last counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects import search
from claude_code_proxy.dialects.base import translated
from claude_code_proxy.dialects.errors import failure_inside
from claude_code_proxy.dialects.gemini.calls import Calls
from claude_code_proxy.dialects.gemini.failure import retold
from claude_code_proxy.dialects.gemini.finish import STOP_REASONS, blocked, broken
from claude_code_proxy.dialects.gemini.grounding import Grounding
from claude_code_proxy.dialects.gemini.parts import kept_whole, told
from claude_code_proxy.dialects.gemini.quirks import MAX_STOPS
from claude_code_proxy.dialects.gemini.signatures import place_of
from claude_code_proxy.dialects.gemini.speech import Speech
from claude_code_proxy.dialects.gemini.usage import usage_in
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.events import Stop, Usage
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.filters import CHARS_PER_TOKEN, StopSequences
from claude_code_proxy.wire.json_text import fields, items, loads, paired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from claude_code_proxy.dialects.base import Answer, Call, Outgoing, Reply
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.machine import Machine
    from claude_code_proxy.wire.messages import Tool
    from claude_code_proxy.wire.watch import Watch

_NOT_JSON: Final = failed("api_error", "The upstream sent something that is not JSON.", status=502)
_NO_REASON: Final = "FINISH_REASON_UNSPECIFIED"


def reply(call: Call, outgoing: Outgoing, answer: Answer, watch: Watch) -> Reply:
    """The machine from Gemini's bytes to Anthropic's."""
    asked = call.head.fields
    decoder = GeminiDecoder(
        call.seed,
        Speech(call.model, place_of(call.base_url)),
        outgoing.tools,
        watch,
        prompt_tokens=lambda: count(call.head),
        streamed=answer.media_type == "text/event-stream",
        searching=search.is_search({"tools": _field(asked, "tools")}),
        one_call=bool(fields(_field(asked, "tool_choice")).get("disable_parallel_tool_use")),
    )
    filters: list[Machine[Event, Event]] = []
    stops = [stop for stop in items(_field(asked, "stop_sequences")) if isinstance(stop, str) and stop]
    if unwatched := stops[MAX_STOPS:]:
        filters.append(StopSequences(unwatched, prompt_tokens=lambda: count(call.head)))
    return translated(call, answer, watch, decoder, *filters)


def _field(asked: Mapping[str, msgspec.Raw], name: str) -> Any:
    return msgspec.json.decode(asked[name]) if name in asked else None


class GeminiDecoder:
    """A machine from the payloads of a reply to events.

    `seed` makes ids for calls that come without one. `speech` says things in order, with their signatures. `tools`
    are those that were offered, by the name they were offered under. `prompt_tokens` estimates the prompt, for an
    upstream that does not count. `streamed`: one payload alone is no whole reply. `searching`: the text waits for
    what was found. `one_call`: calls after the first are left out, since Google cannot be told to make one only.
    """

    __slots__ = (
        "_answered",
        "_calls",
        "_counted",
        "_finish",
        "_garbled",
        "_grounding",
        "_message",
        "_one_call",
        "_prompt_tokens",
        "_said_chars",
        "_searched",
        "_seed",
        "_speech",
        "_streamed",
        "_watch",
    )

    def __init__(
        self,
        seed: str,
        speech: Speech,
        tools: Mapping[str, Tool],
        watch: Watch,
        *,
        prompt_tokens: Callable[[], int],
        streamed: bool = True,
        searching: bool = False,
        one_call: bool = False,
    ) -> None:
        self._seed, self._speech, self._watch, self._prompt_tokens = seed, speech, watch, prompt_tokens
        self._calls = Calls(seed, tools)
        self._grounding = Grounding()
        self._streamed, self._one_call = streamed, one_call
        self._searched: list[str] | None = [] if searching else None  # the text that waits for what was found
        self._finish = self._message = ""
        self._answered = False  # there was text or a call
        self._counted = self._garbled = False
        self._said_chars = 0

    def feed(self, data: bytes, /) -> Sequence[Event]:
        data = data.strip()
        if not data or data == b"[DONE]":
            return ()
        if self._garbled:  # what was lost was not the end
            return (_NOT_JSON,)
        try:
            content = loads(data)
        except ValueError:
            self._garbled = True  # perhaps it is the end of the stream that is cut off
            return ()
        if isinstance(content, list):
            self._streamed = True
            return [event for chunk in content for event in self._events(chunk)]
        return list(self._events(content))

    def close(self) -> Sequence[Event]:
        if self._finish:
            return list(self._end(self._finish))
        return (_NOT_JSON,) if self._garbled else ()

    def _events(self, chunk: Any) -> Iterator[Event]:
        if not isinstance(chunk, dict):
            yield _NOT_JSON
            return
        if "candidates" not in chunk and isinstance(chunk.get("response"), dict):
            chunk = chunk["response"]  # as Google's gateway for its own tools wraps it
        if chunk.get("error"):
            yield retold(failure_inside(chunk))
            return
        if usage := usage_in(chunk):
            self._counted = self._counted or usage.output is not None
            yield usage
        if refused := blocked(chunk):
            reason, words = refused
            self._searched = None  # what was found never comes
            yield from self._say(words)
            yield Stop("refusal", reason)
            return
        for candidate in map(fields, items(chunk.get("candidates"))):
            if not candidate.get("index"):  # of several the first
                yield from self._candidate(candidate)

    def _candidate(self, candidate: dict[str, Any]) -> Iterator[Event]:
        parts = [part for part in items(fields(candidate.get("content")).get("parts")) if isinstance(part, dict)]
        if parts:
            self._watch.ending = False
        for part in parts:
            yield from self._part(part)
        self._grounding.take(candidate)
        if isinstance(message := candidate.get("finishMessage"), str):
            self._message = paired(message)
        reason = candidate.get("finishReason")
        if reason and reason != _NO_REASON:
            self._finish = paired(str(reason))
            self._watch.ending = True
        elif not self._streamed and not self._finish:
            self._finish = "STOP"  # a whole reply is whole without saying so

    # -- what is said

    def _part(self, part: dict[str, Any]) -> Iterator[Event]:
        signed = part.get("thoughtSignature")
        signed = paired(signed) if isinstance(signed, str) else ""
        text = part.get("text")
        if isinstance(call := part.get("functionCall"), dict):
            yield from self._call_part(call, signed)
        elif part.get("thought"):
            thought = paired(text) if isinstance(text, str) else ""
            self._said_chars += len(thought)
            yield from self._between_calls()
            yield from self._speech.thought(thought, signed)
        elif isinstance(text, str):
            yield from self._say(paired(text), {"sig": signed} if signed else None)
        else:
            known = told(part)
            note = kept_whole(part)
            yield from self._say(known, {"part": note} if note else {"sig": signed} if signed and not known else None)

    def _say(self, text: str, holds: dict[str, Any] | None = None) -> Iterator[Event]:
        self._said_chars += len(text)
        self._answered = self._answered or bool(text)
        if self._searched is not None:
            self._searched.append(text)
            return
        if text or holds:
            yield from self._between_calls()
            yield from self._speech.text(text, holds)

    def _between_calls(self) -> Iterator[Event]:
        """What goes on after a call shows that it has come to its end."""
        if self._calls.going_on:
            yield from self._calls.end()

    def _call_part(self, part: dict[str, Any], signed: str) -> Iterator[Event]:
        self._said_chars += len(str(part.get("args") or ""))
        if self._calls.begins(part):
            yield from self._between_calls()
            if self._one_call and self._calls.made:
                self._calls.skip(part)
                return
            self._answered = True
            yield from self._speech.call(self._calls.begin(part), signed)
        elif signed:
            self._speech.sign_call(signed)
        yield from self._calls.take(part)

    # -- the end

    def _end(self, finish: str) -> Iterator[Event]:
        reason = STOP_REASONS.get(finish, "end_turn")
        yield from self._calls.end(cut=finish != "STOP")
        if failure := broken(finish, self._message, silent=not self._answered):
            yield failure
            return
        if reason == "refusal" and not self._answered:
            yield from self._say(f"Google stopped the reply ({finish}). {self._message}".strip())
        if self._searched is not None:
            yield from self._speech.end(called=True)  # what was thought comes first
            yield from self._grounding.searched(self._seed)
            yield from self._grounding.cited("".join(self._searched))
        elif self._speech.in_text:
            yield from self._grounding.citations()
        yield from self._speech.end(called=self._calls.made)
        if not self._counted:
            yield Usage(self._prompt_tokens(), max(1, self._said_chars // CHARS_PER_TOKEN))
        yield Stop(reason, finish)
