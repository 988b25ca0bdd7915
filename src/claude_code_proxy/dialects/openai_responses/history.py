"""A conversation in Anthropic's shape into input items.

Every call is followed by its output, in the order of the calls, whatever order the client gives them in. The
output for a prefix of the conversation is a prefix of the output, so that upstreams find their caches again.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from claude_code_proxy.dialects.conversation import (
    NO_RESULT,
    SERVER_BLOCKS,
    as_text,
    blocks_in,
    blocks_of,
    results_of,
    system_text,
)
from claude_code_proxy.dialects.names import upstream_id, upstream_name
from claude_code_proxy.dialects.openai_responses.carried import Carried, Next, reasoning_item
from claude_code_proxy.dialects.openai_responses.parts import output_of, parts_of, text_part
from claude_code_proxy.dialects.openai_responses.web import SERVER_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.dialects.openai_responses.carried import Place
    from claude_code_proxy.dialects.openai_responses.quirks import Quirks
    from claude_code_proxy.wire.messages import Content, Message

Item: TypeAlias = dict[str, Any]

_CONTINUE: Final = "Continue."


def input_items(conversation: Sequence[Message], place: Place, quirks: Quirks) -> list[Item]:
    """The items to send to the model at `place`."""
    out: list[Item] = []
    calls: list[_Wanted] = []  # the calls that still want their results
    seen: Counter[str] = Counter()
    for assistant, run in groupby(conversation, key=lambda message: message["role"] == "assistant"):
        turns = list(run)
        if assistant:
            turn = _Turn(turns, place, seen)
            out += turn.items
            calls = turn.wanted
        else:
            out += _answers(turns, calls, quirks)
            calls = []
    out += [_output(call.sent, NO_RESULT) for call in calls]
    silent = all(item.get("role") in {"developer", "system"} for item in out)
    if silent or out[-1].get("role") == "assistant":  # nothing is asked
        out.append(_message("user", [text_part(_CONTINUE)]))
    return out


class _Wanted(NamedTuple):
    """A call that wants its result: the id that the client gives it, and the one that is sent."""

    ident: str
    sent: str


# -- what the model said


class _Turn:
    """What the model said in one turn, as items, and its calls. `seen` counts the ids of calls so far."""

    def __init__(self, turns: Sequence[Message], place: Place, seen: Counter[str]) -> None:
        self.items: list[Item] = []
        self.wanted: list[_Wanted] = []
        self._seen = seen
        self._loose: dict[str, Item] = {}  # reasoning that other reasoning came after, by id
        self._held: list[Item] = []  # reasoning, until the message that it belongs before
        self._message: Next | None = None  # that message
        self._before: dict[str, tuple[list[Item], str]] = {}  # by call: the reasoning before it, the call's own id
        self._searches: set[str] = set()  # that go back as they were
        thoughts = [block for block in blocks_in(turns) if block.get("type") == "thinking"]
        self._carried = [(place.read(block), block["thinking"]) for block in thoughts]
        for carried, thinking in self._carried:  # clients may put calls last: reasoning is brought to them
            if carried and carried.next and carried.next.kind == "call":
                self._before[carried.next.call_id] = (self._chain(carried, thinking), carried.next.id)
            elif carried and not carried.next and (item := reasoning_item(carried, thinking)):
                self._loose[carried.id] = item
        self._carried.reverse()
        for block in blocks_in(turns):
            self._take(block)

    def _chain(self, carried: Carried, thinking: str) -> list[Item]:
        """Reasoning, and that which it came after."""
        own = reasoning_item(carried, thinking)
        before = [self._loose.pop(ident, None) for ident in carried.after] if own else []
        return [item for item in (*before, own) if item]

    def _take(self, block: Content) -> None:
        match block.get("type"):
            case "thinking":
                self._thinking(*self._carried.pop())
            case "text" if block["text"].strip():
                self._say(block["text"])
            case "tool_use":
                self._call(block)
            case "server_tool_use" if str(block.get("id")) in self._searches:
                pass
            case "web_search_tool_result" if str(block.get("tool_use_id")) in self._searches:
                pass
            case kind if kind in SERVER_BLOCKS:
                self.items.append({"type": "message", "role": "assistant", "content": as_text(block)})

    def _thinking(self, carried: Carried | None, thinking: str) -> None:
        match carried and carried.next:
            case Next("message") as message if carried:
                self._held, self._message = self._chain(carried, thinking), message
            case Next("item", item=whole) if carried and whole:
                self.items += [*self._chain(carried, thinking), whole]
                self._searches.add(f"{SERVER_ID}{whole.get('id')}")
            case _:
                pass  # it is with its call, or cannot go back

    def _say(self, text: str) -> None:
        said, self._message = self._message or Next("message"), None
        self.items += self._held
        self._held = []
        item: Item = {"type": "message", "role": "assistant"}
        if said.id:
            content = {"type": "output_text", "text": text, "annotations": []}
            item |= {"id": said.id, "status": "completed", "content": [content]}
        else:
            item["content"] = text
        self.items.append(item | ({"phase": said.phase} if said.phase else {}))

    def _call(self, block: Content) -> None:
        ident = block["id"]
        self._seen[ident] += 1
        again = f"{ident}_{self._seen[ident]}" if self._seen[ident] > 1 else ident
        sent = upstream_id(again, "responses")
        self.wanted.append(_Wanted(ident, sent))
        reasoning, own_id = self._before.pop(sent, ([], ""))
        arguments = msgspec.json.encode(block.get("input") or {}).decode()
        call: Item = {"type": "function_call", "call_id": sent, "name": upstream_name(block["name"])}
        self.items += [*reasoning, call | {"arguments": arguments} | ({"id": own_id} if own_id else {})]


# -- what it was told


def _answers(turns: Sequence[Message], calls: Sequence[_Wanted], quirks: Quirks) -> Iterator[Item]:
    """A run of user and system messages: first a result for every call, in the calls' order, then the rest."""
    answered = {call.ident for call in calls}
    for call, result in zip(calls, results_of(turns, [call.ident for call in calls]), strict=True):
        yield _output(call.sent, NO_RESULT if result is None else output_of(result, quirks))
    parts: list[Item] = []
    for message in turns:
        if message["role"] != "system":
            for block in blocks_of(message["content"]):
                if block.get("type") != "tool_result" or block["tool_use_id"] not in answered:
                    parts += parts_of(block, quirks)
        elif (text := system_text(message["content"])) and quirks.system_role == "user":
            parts.append(text_part(f"<system-reminder>\n{text}\n</system-reminder>"))
        elif text:
            yield from _user(parts)
            parts = []
            yield _message(quirks.system_role, [text_part(text)])
    yield from _user(parts)


def _user(parts: list[Item]) -> Iterator[Item]:
    if parts:
        yield _message("user", parts)


def _message(role: str, parts: list[Item]) -> Item:
    return {"type": "message", "role": role, "content": parts}


def _output(call_id: str, output: str | list[Item]) -> Item:
    return {"type": "function_call_output", "call_id": call_id, "output": output}
