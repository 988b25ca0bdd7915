"""Of a request that no golden example shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, body, call, outgoing, sent
from claude_code_proxy.dialects.base import Answer, Local, Outgoing
from claude_code_proxy.dialects.openai_responses import DIALECT
from claude_code_proxy.dialects.openai_responses.schema import can_be_strict
from claude_code_proxy.dialects.search import Search
from claude_code_proxy.wire.events import Stop
from claude_code_proxy.wire.failure import ApiError
from upstreams.responses_rules import fault_of

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def test_the_address() -> None:
    assert outgoing(DIALECT, body()).url == "http://up.test/v1/responses"


def test_a_client_that_warms_a_cache_is_answered_at_once() -> None:
    local = DIALECT.request(call(body(max_tokens=0)))
    assert local == Local((Stop("end_turn"),))


def test_a_web_search_is_not_made_up_where_there_is_none() -> None:
    assert DIALECT.request(call(body(tools=[SEARCH]))) == Search("hi", "seed")


def test_a_malformed_request_is_refused() -> None:
    with pytest.raises(ApiError) as told:
        DIALECT.request(call(body(messages=[{"role": "user"}])))
    assert told.value.failed.status == 400


SCHEMAS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"type": "object", "properties": {}}),
    ({"type": "object"}, {"type": "object", "properties": {}}),
    ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
    (
        {
            "type": "object",
            "properties": {"a": {"anyOf": []}},
            "anyOf": [{"required": ["a"]}],
            "$schema": "x",
            "$defs": {},
        },
        {"type": "object", "properties": {"a": {"anyOf": []}}, "$defs": {}},
    ),
]


@pytest.mark.parametrize(("schema", "made"), SCHEMAS)
def test_schemas_of_tools_are_ones_that_are_taken(schema: dict[str, Any], made: dict[str, Any]) -> None:
    request = outgoing(DIALECT, body(tools=[{"name": "f", "input_schema": schema}]))
    assert json.loads(request.body)["tools"][0]["parameters"] == made
    assert fault_of(request.body) is None


CLOSED: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}, True),
        ({**CLOSED, "properties": {"a": {"$ref": "#/$defs/b"}}, "required": ["a"], "$defs": {"b": CLOSED}}, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}, "required": ["a"]}, True),
        ({}, False),
        ({"type": "object"}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "properties": {"a": {"type": "string"}}}, False),
        ({**CLOSED, "properties": {"a": {}}, "required": ["a"]}, False),
        ({**CLOSED, "properties": {"a": True}, "required": ["a"]}, False),
        ({**CLOSED, "properties": {"a": {"type": "string", "pattern": "x"}}, "required": ["a"]}, False),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": {"type": "object"}}}, "required": ["a"]}, False),
        ({"anyOf": [CLOSED]}, False),
    ],
)
def test_a_schema_is_held_to_strictly_where_that_is_possible(schema: dict[str, Any], strict: bool) -> None:  # noqa: FBT001
    assert can_be_strict(schema) is strict


PLACE = "http://unverified.test/v1"


def test_summaries_are_done_without_once_they_were_refused() -> None:
    asked = call(body(thinking={"type": "adaptive"}), model="gpt-5")
    refusal = {"error": {"message": "Your organization must be verified to generate reasoning summaries.", "code": "x"}}
    other = call(body(), model="gpt-5").__class__(asked.head, "gpt-5", "seed", PLACE)
    for place, shown in ((asked, True), (other, False)):
        if not shown:
            failure = DIALECT.failure(other, Answer(400), json.dumps(refusal).encode())
            assert (failure.type, failure.status) == ("invalid_request_error", 400)
            assert "OPENAI_REASONING_SUMMARY=off" in failure.message
        made = DIALECT.request(place)
        assert isinstance(made, Outgoing)
        assert ("summary" in json.loads(made.body)["reasoning"]) is shown


STALE = [
    "The encrypted content gAAA could not be verified. Reason: it could not be decrypted or parsed.",
    "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
    "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.",
]


@pytest.mark.parametrize("message", STALE)
@pytest.mark.parametrize("status", [400, 404])
def test_reasoning_that_is_not_taken_makes_the_client_ask_without(message: str, status: int) -> None:
    error = {"error": {"message": message, "type": "invalid_request_error"}}
    failure = DIALECT.failure(call(body()), Answer(status), json.dumps(error).encode())
    assert (failure.type, failure.status) == ("invalid_request_error", 400)
    assert failure.message.startswith("capability_rejected: thinking_signature")


_block = st.sampled_from(
    [
        {"type": "text", "text": "words"},
        {"type": "tool_use", "id": "call_000000001", "name": "Read", "input": {}},
        {"type": "thinking", "thinking": "x", "signature": "y"},
        {"type": "tool_result", "tool_use_id": "call_000000001", "content": "done"},
        {"type": "image", "source": {"type": "url", "url": "https://a.test/"}},
        {"type": "mystery"},
    ]
)
_turn = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.lists(_block, max_size=4) | st.just("text"),
    }
)


@given(st.lists(_turn, max_size=8))
@pytest.mark.fault("F-04")
def test_any_conversation_is_one_that_the_api_takes(turns: list[dict[str, Any]]) -> None:
    request = outgoing(DIALECT, body(messages=[HI, *turns]))
    fault = fault_of(request.body)
    assert fault is None, fault


CONTINUE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Continue."}]}


@given(st.lists(_turn, max_size=8), st.data())
def test_a_conversation_grows_at_its_end(turns: list[dict[str, Any]], data: st.DataObject) -> None:
    asked = [HI, *turns, {"role": "user", "content": "more"}]
    until = data.draw(st.sampled_from([n for n, turn in enumerate(asked, 1) if turn["role"] == "user"]))
    goes_on = [*asked[:until], {"role": "assistant", "content": "words"}, HI]
    before = sent(DIALECT, body(messages=asked[:until]))["input"]
    after = sent(DIALECT, body(messages=goes_on))["input"]
    if before[-1] == CONTINUE:  # the user said nothing
        before.pop()
    assert after[: len(before)] == before
