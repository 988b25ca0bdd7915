from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import JSON, replied
from claude_code_proxy.dialects.openai_responses import DIALECT
from claude_code_proxy.wire.watch import Watch
from damage import assert_cut_is_told, of_any_bytes, of_damage
from grammar import read
from machines import cut, cuts
from sayings import inputs, words

DONE = b"data: [DONE]\n\n"
USAGE = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}


def response(status: str, **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "output": [], "usage": USAGE, **fields}


def sse(*events: dict[str, Any]) -> bytes:
    lines = (f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n" for event in events)
    return "".join(lines).encode() + DONE


END = {"type": "response.completed", "response": response("completed")}
_texts = st.lists(words, min_size=1, max_size=4)
_encrypted = st.sampled_from(["", "gAAA"])


def _message(n: int, pieces: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    item = {"type": "message", "id": f"msg_{n}", "role": "assistant"}
    at = {"output_index": n, "item_id": f"msg_{n}", "content_index": 0}
    deltas = [{"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces]
    return {**item, "content": [{"type": "output_text", "text": "".join(pieces), "annotations": []}]}, deltas


def _reasoning(n: int, parts: list[list[str]], encrypted: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    summary = [{"type": "summary_text", "text": "".join(pieces)} for pieces in parts]
    at = {"output_index": n, "item_id": f"rs_{n}"}
    deltas = [
        {"type": "response.reasoning_summary_text.delta", **at, "summary_index": index, "delta": piece}
        for index, pieces in enumerate(parts)
        for piece in pieces
    ]
    return {"type": "reasoning", "id": f"rs_{n}", "summary": summary, "encrypted_content": encrypted}, deltas


def _call(n: int, arguments: dict[str, Any], size: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    text = json.dumps(arguments)
    at = {"output_index": n, "item_id": f"fc_{n}"}
    deltas = [
        {"type": "response.function_call_arguments.delta", **at, "delta": text[start : start + size]}
        for start in range(0, len(text), size)
    ]
    item = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n:09d}", "name": f"f{n}", "arguments": text}
    return item, deltas


@st.composite
def outputs(draw: Any) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Items of an output, each with the events of its pieces."""
    kinds = draw(st.lists(st.sampled_from(["message", "reasoning", "call"]), max_size=6))
    makers = {
        "message": lambda n: _message(n, draw(_texts)),
        "reasoning": lambda n: _reasoning(n, draw(st.lists(_texts, max_size=3)), draw(_encrypted)),
        "call": lambda n: _call(n, draw(inputs), draw(st.integers(1, 9))),
    }
    return [makers[kind](n) for n, kind in enumerate(kinds)]


def _said(items: list[dict[str, Any]]) -> tuple[str, str, list[tuple[str, Any]]]:
    text = "".join(item["content"][0]["text"] for item in items if item["type"] == "message")
    summaries = [[part["text"] for part in item["summary"]] for item in items if item["type"] == "reasoning"]
    thinking = "".join("\n\n".join(filter(None, parts)) for parts in summaries)
    calls = [(item["name"], json.loads(item["arguments"])) for item in items if item["type"] == "function_call"]
    return text, thinking, calls


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    empty = {"content": [], "summary": [], "arguments": ""}
    return {**item, **{name: value for name, value in empty.items() if name in item}}


@given(outputs(), st.data(), cuts(3000), st.booleans(), st.booleans())
def test_items_told_at_once_arrive_whole_and_in_order(
    told: list[tuple[dict[str, Any], list[dict[str, Any]]]],
    data: st.DataObject,
    at: list[int],
    dones: bool,  # noqa: FBT001
    output: bool,  # noqa: FBT001
) -> None:
    items = [item for item, _ in told]
    left = [list(deltas) for _, deltas in told]
    events = [
        {"type": "response.output_item.added", "output_index": n, "item": _begun(item)} for n, item in enumerate(items)
    ]
    while any(left):
        n = data.draw(st.sampled_from([n for n, deltas in enumerate(left) if deltas]))
        events.append(left[n].pop(0))
        if dones and not left[n]:
            events.append({"type": "response.output_item.done", "output_index": n, "item": items[n]})
    events.append({"type": "response.completed", "response": response("completed", output=items if output else [])})
    read_back = read(replied(DIALECT, cut(sse(*events), at)))
    assert (read_back.text, read_back.thinking, read_back.calls) == _said(items)


@given(outputs())
def test_a_whole_response_arrives_whole(told: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    items = [item for item, _ in told]
    body = json.dumps(response("completed", output=items)).encode()
    read_back = read(replied(DIALECT, [body], media_type=JSON))
    assert (read_back.text, read_back.thinking, read_back.calls) == _said(items)
    message = json.loads(replied(DIALECT, [body], media_type=JSON, stream=False))
    assert [block["type"] for block in message["content"]] == [block["type"] for block in read_back.blocks]


_REASONING, _THOUGHTS = _reasoning(0, [["thé\u2028 "], ["b"]], "gAAA")
_MESSAGE, _PIECES = _message(1, ["a😀", "b"])
_CALL, _ARGUMENTS = _call(2, {"a": "}"}, 3)
RECORDED = sse(
    {"type": "response.created", "response": response("in_progress")},
    *(
        event
        for n, (item, deltas) in enumerate([(_REASONING, _THOUGHTS), (_MESSAGE, _PIECES), (_CALL, _ARGUMENTS)])
        for event in (
            {"type": "response.output_item.added", "output_index": n, "item": _begun(item)},
            *deltas,
            {"type": "response.output_item.done", "output_index": n, "item": item},
        )
    ),
    {"type": "response.completed", "response": response("completed", output=[_REASONING, _MESSAGE, _CALL])},
)
WHOLE_AT = RECORDED.index(DONE) - 2
"""Where the JSON of the last event is whole."""


def test_a_stream_that_is_cut_anywhere_never_ends_well_before_it_said_so() -> None:
    assert_cut_is_told(DIALECT, RECORDED, WHOLE_AT)


def test_a_reply_whose_last_event_is_whole_is_whole() -> None:
    assert read(replied(DIALECT, [RECORDED[:WHOLE_AT]])).ended


test_any_bytes_make_a_stream_or_a_failure = of_any_bytes(DIALECT)
test_damage_makes_a_stream_or_a_failure = of_damage(DIALECT, RECORDED)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
_TYPES = [f"response.{name}" for name in (
    "created", "completed", "failed", "incomplete", "output_item.added", "output_item.done", "content_part.added",
    "content_part.done", "output_text.delta", "output_text.done", "output_text.annotation.added", "refusal.delta", "refusal.done",
    "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_text.delta",
    "function_call_arguments.delta", "function_call_arguments.done", "custom_tool_call_input.delta", "web_search_call.completed",
)] + ["error", "", "mystery"]  # fmt: skip
_NAMES = ["item", "item_id", "output_index", "content_index", "summary_index", "delta", "text", "part", "refusal", "annotation",
          "arguments", "response", "error", "code", "message", "output", "input"]  # fmt: skip
_ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", "x"])},
    optional=dict.fromkeys(("id", "call_id", "name", "arguments", "content", "summary", "encrypted_content", "phase", "action", "status", "input"), _json),
)  # fmt: skip
_RESPONSE = st.fixed_dictionaries(
    {},
    optional={"output": st.lists(_ITEM, max_size=2) | _json, "usage": _json, "error": _json, "incomplete_details": _json, "status": _json},
)  # fmt: skip
_EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(_TYPES)},
    optional={name: (_ITEM | _json if name in {"item", "part"} else _RESPONSE | _json if name == "response" else _json) for name in _NAMES},
)  # fmt: skip


@given(st.lists(_EVENT, max_size=6), st.booleans())
def test_odd_values_make_a_stream_or_a_failure(odd: list[dict[str, Any]], stream: bool) -> None:  # noqa: FBT001
    added = {"type": "response.output_item.added", "output_index": 0, "item": _begun(_MESSAGE)}
    watch = Watch()
    out = replied(DIALECT, [sse(added, *_PIECES, *odd, END)], stream=stream, watch=watch)
    assert watch.over
    if stream:
        read(out, unfinished=True)


def test_huge_numbers_and_deep_values_raise_nothing() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    odd: list[dict[str, Any]] = [
        {**END, "response": response("completed", usage={"input_tokens": 10**30, "output_tokens": 1e300})},
        {"type": "response.output_item.done", "output_index": 0, "item": {**_CALL, "arguments": {"a": deep}}},
        {"type": "response.output_item.done", "output_index": 10**30, "item": _MESSAGE},
    ]
    for one in odd:
        watch = Watch()
        read(replied(DIALECT, [sse(one, END)], watch=watch), unfinished=True)
        assert watch.over


HALF = "\ud83d"


@pytest.mark.parametrize(
    "odd",
    [
        _message(0, [HALF])[1][0],
        _reasoning(0, [[HALF]], HALF)[1][0],
        {"type": "response.output_item.done", "output_index": 0, "item": _reasoning(0, [[HALF]], HALF)[0]},
        {"type": "response.output_item.done", "output_index": 0, "item": {**_CALL, "name": HALF, "arguments": HALF, "call_id": HALF}},
        {"type": "response.output_item.done", "output_index": 0, "item": {**_message(0, [HALF])[0], "phase": HALF, "id": HALF}},
        {"type": "response.output_item.done", "output_index": 6, "item": {"type": "web_search_call", "id": HALF, "status": "completed", "action": {"type": "search", "query": HALF, "sources": [{"url": HALF}]}}},
        {"type": "error", "message": HALF},
    ],
)  # fmt: skip
def test_half_a_character_raises_nothing(odd: dict[str, Any]) -> None:
    after = {"type": "response.output_item.done", "output_index": 7, "item": _message(7, ["b"])[0]}
    before = {"type": "response.output_item.done", "output_index": 5, "item": _REASONING}
    watch = Watch()
    read(replied(DIALECT, [sse(before, odd, after, END)], watch=watch), unfinished=True)
    assert watch.over


def test_a_character_in_two_halves_is_one() -> None:
    _, deltas = _message(0, ["a" + HALF, "\ude00b"])
    assert read(replied(DIALECT, [sse(*deltas, END)])).text == "a😀b"
