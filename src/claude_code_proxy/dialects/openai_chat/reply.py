"""What a chat upstream sends into events.

A whole reply is a stream of one chunk whose `message` stands where `delta` would. Servers differ in
nearly everything else; wire.md §9.6 lists how, and each deviation that is met here has a test of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from claude_code_proxy.dialects.base import translated
from claude_code_proxy.dialects.errors import classified, told_in
from claude_code_proxy.dialects.openai_chat.usage import usage_in
from claude_code_proxy.wire import signature
from claude_code_proxy.wire.events import Failed, Signature, Stop, StopReason, Text, Thinking, ToolArgs, ToolCall
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.dialects.base import Answer, Call, Reply
    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.watch import Watch

_STOP: Final[dict[str, StopReason]] = {
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
_BROKEN: Final = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""Finish reasons that say the provider itself failed in the middle of the reply."""

_NOT_JSON: Final = failed("api_error", "The upstream sent something that is not JSON.", status=502)


def reply(call: Call, answer: Answer, watch: Watch) -> Reply:
    """The machine from a chat upstream's bytes to Anthropic's."""
    own = signature.mint(signature.Minted("openai_chat", call.model))
    return translated(call, answer, watch, ChatDecoder(call.seed, own))


class _Call:
    """A tool call that is being said."""

    __slots__ = ("announced", "ident", "index", "key", "name")

    def __init__(self, key: int, index: object, ident: str, name: str) -> None:
        self.key, self.index, self.ident, self.name = key, index, ident, name
        self.announced = False


class ChatDecoder:
    """A machine from the payloads of a chat reply to events.

    `seed` makes ids for calls that come without one. `own` is the signature that thinking ends with.
    """

    __slots__ = ("_calls", "_finish", "_ids", "_own", "_pending", "_refused", "_seed", "_source", "_thinking")

    def __init__(self, seed: str, own: str) -> None:
        self._seed, self._own = seed, own
        self._calls: list[_Call] = []
        self._ids: set[str] = set()
        self._pending: _Call | None = None  # its name may not be whole yet
        self._thinking = False
        self._source = ""  # the field that this reply's reasoning comes in
        self._finish = ""
        self._refused = False

    def feed(self, data: bytes, /) -> Sequence[Event]:
        if data.strip() == b"[DONE]":
            return self._end(self._finish or "stop")
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return (_NOT_JSON,)
        if not isinstance(chunk, dict):
            return (_NOT_JSON,)
        if error := chunk.get("error"):
            return (_failure(chunk, error),)
        return list(self._events(chunk))

    def close(self) -> Sequence[Event]:
        return self._end(self._finish) if self._finish else ()

    def _events(self, chunk: dict[str, Any]) -> Iterator[Event]:
        if usage := usage_in(chunk):
            yield usage
        for choice in map(fields, items(chunk.get("choices"))):
            if choice.get("index"):  # of several choices the first
                continue
            yield from self._said(fields(choice.get("delta")) or fields(choice.get("message")))
            if reason := choice.get("finish_reason"):
                self._finish = str(reason)
            elif choice.get("message") and not self._finish:
                self._finish = "stop"  # a whole reply is whole without saying so
            if error := choice.get("error"):
                yield _failure(choice, error)
        if self._finish in _BROKEN:
            yield failed("api_error", f"The upstream ended the reply with {self._finish!r}.", status=502)

    def _end(self, finish: str) -> Sequence[Event]:
        reason = "refusal" if self._refused else _STOP.get(finish, "end_turn")
        return [*self._pause(), Stop(reason, finish)]

    # -- what is said

    def _said(self, delta: dict[str, Any]) -> Iterator[Event]:
        if thought := self._reasoning(delta):
            yield from self._announce()
            self._thinking = True
            yield Thinking(thought)
        yield from self._content(delta.get("content"))
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            self._refused = True
            yield from self._text(refusal)
        for part in items(delta.get("tool_calls")):
            if isinstance(part, dict):
                yield from self._call_part(part)
        if function := fields(delta.get("function_call")):  # the form before tool calls
            yield from self._call_part({"index": 0, "function": function})

    def _reasoning(self, delta: dict[str, Any]) -> str:
        """The reasoning in a delta: of the fields that hold it, the one that this reply used first."""
        for source in (self._source,) if self._source else ("reasoning_content", "reasoning"):
            thought = delta.get(source)
            if isinstance(thought, str) and thought:
                self._source = source
                return thought
        return ""

    def _content(self, content: object) -> Iterator[Event]:
        if isinstance(content, str):
            if content:
                yield from self._text(content)
            return
        for part in map(fields, items(content)):  # as Mistral sends it
            if isinstance(text := part.get("text"), str) and text:
                yield from self._text(text)
            for thought in map(fields, items(part.get("thinking"))):
                if thought.get("text"):
                    yield from self._announce()
                    self._thinking = True
                    yield Thinking(str(thought["text"]))

    def _text(self, text: str) -> Iterator[Event]:
        yield from self._pause()
        yield Text(text)

    def _pause(self) -> Iterator[Event]:
        """Whatever was being said is said: the thinking gets its signature, the call its name."""
        if self._thinking:
            self._thinking = False
            yield Signature(self._own)
        yield from self._announce()

    # -- tool calls

    def _call_part(self, part: dict[str, Any]) -> Iterator[Event]:
        function = fields(part.get("function"))
        name, ident = str(function.get("name") or ""), str(part.get("id") or "")
        call = self._known(part.get("index"), ident, name)
        if call is None:
            yield from self._pause()
            call = self._new(part.get("index"), ident, name)
        elif name and not call.announced and name != call.name:
            call.name += name  # a name in pieces
        arguments = function.get("arguments")
        if isinstance(arguments, (dict, list)):
            arguments = orjson.dumps(arguments).decode()
        if isinstance(arguments, str) and arguments:
            yield from self._announce()
            yield ToolArgs(call.key, arguments)

    def _known(self, index: object, ident: str, name: str) -> _Call | None:
        """The call that a part belongs to; None where it begins a new one.

        By index, unless a part that has a name brings another id: some servers number every call 0.
        Without an index by id, and without both it is the last call, unless the part has a name.
        """
        for call in reversed(self._calls):
            if index is not None:
                if call.index == index:
                    return None if ident and name and ident != call.ident else call
            elif ident:
                if call.ident == ident:
                    return call
            else:
                return None if name else call
        return None

    def _new(self, index: object, ident: str, name: str) -> _Call:
        key = len(self._calls)
        if not ident or ident in self._ids:
            ident = f"toolu_{self._seed}_{key}"
        self._ids.add(ident)
        self._pending = _Call(key, index, ident, name)
        self._calls.append(self._pending)
        return self._pending

    def _announce(self) -> Iterator[Event]:
        call, self._pending = self._pending, None
        if call:
            call.announced = True
            yield ToolCall(call.key, call.ident, call.name)


def _failure(holder: dict[str, Any], error: object) -> Failed:
    """An error inside an answer that began well."""
    code, message = told_in(holder)
    status = fields(error).get("code")
    if not isinstance(status, int) or not 400 <= status < 600:
        status = 502
    return classified(status, code, message or "The upstream reported an error.")
