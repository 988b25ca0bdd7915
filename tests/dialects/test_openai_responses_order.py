"""A Responses stream and its end, which servers other than OpenAI's do not tell alike: everything is said once."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from calls import replied
from claude_code_proxy.dialects import DIALECTS
from grammar import Read, read

Event = dict[str, Any]

TEXT: Event = {"type": "output_text", "text": "Let me check.", "annotations": []}
MESSAGE: Event = {"type": "message", "id": "m1", "role": "assistant", "content": [TEXT]}
REASONING: Event = {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "Which one?"}]}
ONE: Event = {
    "type": "function_call",
    "id": "f1",
    "call_id": "call_one",
    "name": "Bash",
    "arguments": '{"command":"ls"}',
}
TWO: Event = {
    "type": "function_call",
    "id": "f2",
    "call_id": "call_two",
    "name": "Bash",
    "arguments": '{"command":"ls"}',
}
ITEMS = [REASONING, MESSAGE, ONE, TWO]
CALLS = [("Bash", {"command": "ls"})] * 2


def told(*events: Event) -> Read:
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    return read(replied(DIALECTS["openai_responses"], [data]))


def done(*items: Event) -> list[Event]:
    return [{"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(items)]


def completed(*items: Event) -> Event:
    usage = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
    return {"type": "response.completed", "response": {"status": "completed", "output": list(items), "usage": usage}}


def said(reply: Read) -> tuple[str, str, list[tuple[str, Any]]]:
    assert reply.ended
    return reply.thinking, reply.text, reply.calls


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_the_end_may_list_items_in_another_order(order: tuple[int, ...]) -> None:
    reply = told(*done(*ITEMS), completed(*(ITEMS[at] for at in order)))
    assert said(reply) == ("Which one?", "Let me check.", CALLS)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_and_under_other_ids(order: tuple[int, ...]) -> None:
    renamed = [ITEMS[at] | {"id": f"new_{at}"} for at in order]
    assert said(told(*done(*ITEMS), completed(*renamed))) == ("Which one?", "Let me check.", CALLS)


@pytest.mark.parametrize("left", range(4))
def test_and_leave_one_out(left: int) -> None:
    reply = told(*done(*ITEMS), completed(*(item for item in ITEMS if item is not ITEMS[left])))
    assert said(reply) == ("Which one?", "Let me check.", CALLS)


@pytest.mark.parametrize("new", range(4))
def test_what_only_the_end_lists_is_said(new: int) -> None:
    reply = told(*done(*(item for item in ITEMS if item is not ITEMS[new])), completed(*ITEMS))
    assert said(reply) == ("Which one?", "Let me check.", CALLS)


PIECES = {
    "comes once more": ["Let me", " check."],
    "comes once more in smaller pieces": ["Let", " me", " check."],
    "comes once more in larger pieces": ["Let me check", "."],
    "is the first piece": [" check."],
}
"""What follows an item that begins with `Let me`."""


@pytest.mark.parametrize("whole", [True, False], ids=["told whole", "never told whole"])
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_what_a_text_begins_with(pieces: list[str], whole: bool) -> None:  # noqa: FBT001
    begun = {"type": "response.content_part.added", "output_index": 0, "content_index": 0}
    reply = told(
        {"type": "response.output_item.added", "output_index": 0, "item": MESSAGE | {"content": []}},
        begun | {"part": {"type": "output_text", "text": "Let me"}},
        *(
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": one}
            for one in pieces
        ),
        *(done(MESSAGE) if whole else ()),
        completed(*([MESSAGE] if whole else ())),
    )
    assert said(reply) == ("", "Let me check.", [])


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_what_a_thought_begins_with(pieces: list[str]) -> None:
    at = {"output_index": 0, "summary_index": 0}
    item = REASONING | {"summary": [{"type": "summary_text", "text": "Let me check."}]}
    reply = told(
        {"type": "response.output_item.added", "output_index": 0, "item": REASONING | {"summary": []}},
        {"type": "response.reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": "Let me"}},
        *({"type": "response.reasoning_summary_text.delta", **at, "delta": one} for one in pieces),
        *done(item),
        completed(item),
    )
    assert said(reply) == ("Let me check.", "", [])


ARGUMENTS = {
    "comes once more": ['{"comm', 'and":"ls"}'],
    "comes once more in larger pieces": ['{"command":', '"ls"}'],
    "is the first piece": ['and":"ls"}'],
}
"""What follows a call that begins with `{"comm`."""


@pytest.mark.parametrize("whole", [True, False], ids=["told whole", "never told whole"])
@pytest.mark.parametrize("pieces", ARGUMENTS.values(), ids=ARGUMENTS)
def test_what_a_call_begins_with(pieces: list[str], whole: bool) -> None:  # noqa: FBT001
    reply = told(
        {"type": "response.output_item.added", "output_index": 0, "item": ONE | {"arguments": '{"comm'}},
        *({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": one} for one in pieces),
        *(done(ONE) if whole else ()),
        completed(*([ONE] if whole else ())),
    )
    assert said(reply) == ("", "", CALLS[:1])


def test_an_empty_object_is_no_beginning() -> None:
    reply = told(
        {"type": "response.output_item.added", "output_index": 0, "item": ONE | {"arguments": {}}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": ""},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"command":"ls"}'},
        completed(),
    )
    assert reply.calls == CALLS[:1]


def test_a_beginning_may_be_all() -> None:
    at = {"output_index": 1, "content_index": 0}
    reply = told(
        {"type": "response.output_item.added", "output_index": 0, "item": ONE},
        {"type": "response.output_item.added", "output_index": 1, "item": MESSAGE | {"content": []}},
        {"type": "response.content_part.added", **at, "part": TEXT},
        completed(),
    )
    assert said(reply) == ("", "Let me check.", CALLS[:1])
