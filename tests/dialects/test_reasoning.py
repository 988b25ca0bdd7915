"""Reasoning goes home with the client and comes back to the model that said it, as it wants it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, JSON, body, replied, sent
from chunks import CALLS, STOP, TEXT, chunk, client_gets, part, piece, sse
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.dialects.openai_chat.reasoning import add_details, text_of
from claude_code_proxy.wire.signature import Minted, mint
from claude_code_proxy.wire.signature import read as minted
from grammar import Read
from sayings import words

DETAILS = {"replay": "reasoning_details"}
CONTENT = {"replay": "reasoning_content"}


def text(index: int | None, said: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": said, "format": "anthropic-claude-v1", "index": index, **more}


def signed(index: int | None, value: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "signature": value, "format": "anthropic-claude-v1", "index": index}


def summary(index: int, said: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning.summary", "summary": said, "format": "openai-responses-v1", "index": index, **more}


def sealed(index: int, data: str, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": data, "format": "openai-responses-v1", "index": index, **more}


JOINED: list[tuple[str, list[list[dict[str, Any]]], list[dict[str, Any]]]] = [
    ("one piece", [[text(0, "a")]], [text(0, "a")]),
    ("pieces of one text", [[text(0, "a")], [text(0, "b")], [text(0, "c")]], [text(0, "abc")]),
    ("a signature at the end", [[text(0, "a")], [text(0, "b")], [signed(0, "s")]], [text(0, "ab", signature="s")]),
    ("a signature that was null before", [[text(0, "a", signature=None)], [text(0, "", signature="s")]], [text(0, "a", signature="s")]),
    ("an id that comes late", [[text(0, "a", id=None)], [text(0, "b", id="r1")]], [text(0, "ab", id="r1")]),
    ("two indexes", [[text(0, "a")], [text(1, "b")]], [text(0, "a"), text(1, "b")]),
    ("two indexes by turns", [[text(0, "a")], [text(1, "b")], [text(0, "c")], [text(1, "d")]], [text(0, "ac"), text(1, "bd")]),
    ("two types", [[summary(0, "a")], [summary(0, "b")], [sealed(0, "x", id="rs_1")]], [summary(0, "ab"), sealed(0, "x", id="rs_1")]),
    ("two types by turns", [[summary(0, "a")], [sealed(0, "x")], [summary(0, "b")]], [summary(0, "ab"), sealed(0, "x")]),
    ("two ids under one index", [[sealed(0, "x", id="c1")], [sealed(0, "y", id="c2")]], [sealed(0, "x", id="c1"), sealed(0, "y", id="c2")]),
    ("several in one chunk", [[text(0, "a"), sealed(1, "x")], [text(0, "b")]], [text(0, "ab"), sealed(1, "x")]),
    ("a text after a signed one", [[text(None, "a"), signed(None, "s")], [text(None, "b")]], [text(None, "a", signature="s"), text(None, "b")]),
    ("a field that nobody knows", [[text(0, "a", extra={"x": [1]})]], [text(0, "a", extra={"x": [1]})]),
    ("a type that nobody knows", [[{"type": "reasoning.server_tool_call", "tool_name": "t", "arguments": "{}", "index": 0}]],
     [{"type": "reasoning.server_tool_call", "tool_name": "t", "arguments": "{}", "index": 0}]),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "whole"), [row[1:] for row in JOINED], ids=[row[0] for row in JOINED])
def test_pieces_of_reasoning_details_are_joined(
    pieces: list[list[dict[str, Any]]], whole: list[dict[str, Any]]
) -> None:
    made: list[dict[str, Any]] = []
    for one in pieces:
        add_details(made, one)
    assert made == whole


@given(st.lists(st.tuples(st.integers(0, 2), words), min_size=1, max_size=8))
def test_no_text_of_reasoning_is_lost_in_joining(said: list[tuple[int, str]]) -> None:
    made: list[dict[str, Any]] = []
    for index, one in said:
        add_details(made, [text(index, one)])
    for index in range(3):
        expected = "".join(one for at, one in said if at == index)
        assert "".join(detail["text"] for detail in made if detail["index"] == index) == expected
    assert sorted(text_of(made)) == sorted("".join(one for _, one in said))


ODD: list[Any] = [
    {},
    {"type": None},
    {"text": 5},
    {"index": "x", "text": None},
    {"summary": ["x"]},
    {"signature": {}},
    {"id": []},
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_details_raise_nothing(odd: dict[str, Any]) -> None:
    made: list[dict[str, Any]] = []
    for _ in range(2):
        add_details(made, [odd, text(0, "a"), odd])
    assert text_of(made).replace("a", "") == ""
    assert client_gets(sse(chunk(reasoning_details=[odd, text(0, "a"), odd]), TEXT, STOP)).text == "a"


# -- round trips: what the client read is what it sends back


def next_turn(told: Read, *, model: str = "some-model", **quirks: Any) -> dict[str, Any]:
    """The assistant's message as the upstream gets it on the next turn."""
    results = [
        {"type": "tool_result", "tool_use_id": one["id"], "content": "ok"}
        for one in told.blocks
        if one["type"] == "tool_use"
    ]
    turns = [HI, {"role": "assistant", "content": told.blocks}, {"role": "user", "content": results or "on"}]
    message: dict[str, Any] = sent(DIALECT, body(messages=turns), model=model, quirks=quirks)["messages"][1]
    assert message["role"] == "assistant"
    return message


CALL = piece(part(0, "call_123456789", "f", "{}"))
TRIPS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], str]] = [
    ("text with a signature", [chunk(reasoning="a", reasoning_details=[text(0, "a")]), chunk(reasoning="b", reasoning_details=[text(0, "b")]),
                               chunk(reasoning_details=[signed(0, "s")]), TEXT, CALL, CALLS], [text(0, "ab", signature="s")], "ab"),
    ("sealed reasoning alone", [chunk(reasoning_details=[sealed(0, "x", id="rs_1")]), CALL, CALLS], [sealed(0, "x", id="rs_1")], ""),
    ("a summary and a seal", [chunk(reasoning="a", reasoning_details=[summary(0, "a")]), chunk(reasoning_details=[sealed(0, "x", id="rs_1")]), CALL, CALLS],
     [summary(0, "a"), sealed(0, "x", id="rs_1")], "a"),
    ("a seal after the text", [chunk(reasoning="a", reasoning_details=[text(0, "a")]), TEXT, chunk(reasoning_details=[sealed(1, "x")]), CALL, CALLS],
     [text(0, "a"), sealed(1, "x")], "a"),
    ("a seal after the call", [CALL, chunk(reasoning_details=[sealed(0, "x")]), CALLS], [sealed(0, "x")], ""),
    ("a seal with the call", [chunk(reasoning_details=[sealed(0, "x")], tool_calls=[part(0, "call_123456789", "f", "{}")]), CALLS], [sealed(0, "x")], ""),
    ("thinking between two texts", [chunk(reasoning_details=[text(0, "a")]), TEXT, chunk(reasoning_details=[text(1, "b")]), TEXT, STOP],
     [text(0, "a"), text(1, "b")], "ab"),
]  # fmt: skip


@pytest.mark.parametrize(("chunks", "details", "shown"), [row[1:] for row in TRIPS], ids=[row[0] for row in TRIPS])
def test_reasoning_details_come_back_whole_and_in_order(
    chunks: list[dict[str, Any]], details: list[dict[str, Any]], shown: str
) -> None:
    told = client_gets(sse(*chunks))
    assert told.thinking == shown
    assert all(block["signature"] for block in told.blocks if block["type"] == "thinking")
    message = next_turn(told, **DETAILS)
    assert message["reasoning_details"] == details
    assert "reasoning_content" not in message


WHOLE: list[list[dict[str, Any]]] = [
    [text(None, "a"), text(None, "b")],
    [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.text", "text": "b"}],
    [text(0, "a", signature="s"), text(0, "b", signature="t")],
    [summary(0, "a"), summary(0, "b"), sealed(0, "x", id="rs_1")],
    [sealed(0, "x"), sealed(0, "y")],
]


@pytest.mark.parametrize("details", WHOLE)
@pytest.mark.parametrize("stream", [True, False])
def test_the_details_of_a_whole_reply_come_back_unchanged(details: list[dict[str, Any]], stream: bool) -> None:  # noqa: FBT001
    message = {"role": "assistant", "content": "a", "reasoning": "t", "reasoning_details": details}
    answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    if stream:
        told = client_gets(answer, media_type=JSON)
    else:
        told = Read(blocks=json.loads(replied(DIALECT, [answer], media_type=JSON, stream=False))["content"])
    assert next_turn(told, **DETAILS)["reasoning_details"] == details


def test_thinking_that_the_client_shortened_still_brings_its_details_back() -> None:
    told = client_gets(sse(chunk(reasoning_details=[text(0, "a")]), CALL, CALLS))
    told.blocks[0]["thinking"] = ""  # a client with `display: omitted`
    assert next_turn(told, **DETAILS)["reasoning_details"] == [text(0, "a")]


THOUGHT: list[tuple[str, list[dict[str, Any]], str]] = [
    ("thinking before a call", [chunk(reasoning_content="a"), chunk(reasoning_content="b"), CALL, CALLS], "ab"),
    ("thinking, text and a call", [chunk(reasoning_content="a"), TEXT, CALL, CALLS], "a"),
    ("thinking twice", [chunk(reasoning_content="a"), TEXT, chunk(reasoning_content="b"), CALL, CALLS], "ab"),
    ("thinking in tags", [chunk(content="<think>a</think>"), CALL, CALLS], "a"),
    ("a call without thinking", [CALL, CALLS], ""),
]


@pytest.mark.parametrize(("chunks", "thought"), [row[1:] for row in THOUGHT], ids=[row[0] for row in THOUGHT])
def test_reasoning_content_comes_back_with_calls(chunks: list[dict[str, Any]], thought: str) -> None:
    message = next_turn(client_gets(sse(*chunks)), **CONTENT)
    assert message["reasoning_content"] == thought  # with calls always, even empty: DeepSeek refuses a turn without
    assert "reasoning_details" not in message


def test_reasoning_content_without_calls_is_not_needed() -> None:
    message = next_turn(client_gets(sse(chunk(reasoning_content="t"), TEXT, STOP)), **CONTENT)
    assert message.get("reasoning_content", "t") == "t"


@pytest.mark.parametrize("quirks", [{}, {"replay": ""}])
def test_an_upstream_that_wants_none_gets_none(quirks: dict[str, Any]) -> None:
    told = client_gets(
        sse(chunk(reasoning_content="thought", reasoning_details=[text(0, "thought")]), TEXT, CALL, CALLS)
    )
    message = next_turn(told, **quirks)
    assert set(message) == {"role", "content", "tool_calls"}
    assert message["content"] == "a"


FOREIGN: list[tuple[str, dict[str, Any]]] = [
    ("Anthropic's", {"type": "thinking", "thinking": "secret", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk"}),
    ("none", {"type": "thinking", "thinking": "secret", "signature": ""}),
    ("a missing one", {"type": "thinking", "thinking": "secret"}),
    ("null", {"type": "thinking", "thinking": "secret", "signature": None}),
    ("a damaged one", {"type": "thinking", "thinking": "secret", "signature": "ccp1.!!!"}),
    ("one that holds something else", {"type": "thinking", "thinking": "secret", "signature": "ccp1." + "e30="}),
    ("another model's", {"type": "thinking", "thinking": "secret", "signature": mint(Minted("openai_chat", "other", [text(0, "secret")]))}),
    ("another dialect's", {"type": "thinking", "thinking": "secret", "signature": mint(Minted("gemini", "some-model", [text(0, "secret")]))}),
    ("redacted", {"type": "redacted_thinking", "data": "secret"}),
]  # fmt: skip


@pytest.mark.parametrize("block", [row[1] for row in FOREIGN], ids=[row[0] for row in FOREIGN])
@pytest.mark.parametrize("quirks", [DETAILS, CONTENT, {}])
def test_foreign_thinking_is_dropped(block: dict[str, Any], quirks: dict[str, Any]) -> None:
    use = {"type": "tool_use", "id": "toolu_123456", "name": "f", "input": {}}
    message = next_turn(Read(blocks=[block, {"type": "text", "text": "a"}, use]), **quirks)
    assert "secret" not in json.dumps(message)
    assert message.get("reasoning_content", "") == ""
    assert message["content"] == "a"
    assert len(message["tool_calls"]) == 1


STATES: list[Any] = [{}, "x", 5, [5], [None], [["x"]], {"type": "reasoning.text"}]


@pytest.mark.parametrize("state", STATES)
def test_a_state_of_another_shape_is_not_sent(state: Any) -> None:
    block = {"type": "thinking", "thinking": "t", "signature": mint(Minted("openai_chat", "some-model", state))}
    message = next_turn(Read(blocks=[block, {"type": "text", "text": "a"}]), **DETAILS)
    assert all(isinstance(detail, dict) for detail in message.get("reasoning_details", ()))


@given(
    st.lists(
        st.builds(text, st.integers(0, 3), words) | st.builds(sealed, st.integers(0, 3), words), min_size=1, max_size=6
    )
)
def test_whatever_the_details_are_the_text_of_each_comes_back(details: list[dict[str, Any]]) -> None:
    told = client_gets(sse(*(chunk(reasoning_details=[one]) for one in details), CALL, CALLS))
    whole: list[dict[str, Any]] = []
    for one in details:
        add_details(whole, [one])
    assert next_turn(told, **DETAILS)["reasoning_details"] == whole
    signature = next(block["signature"] for block in told.blocks if block["type"] == "thinking")
    assert minted(signature) == Minted("openai_chat", "some-model", whole)
