"""Tools for a server that knows none, by way of a JSON schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, body, call, outgoing, sent
from chunks import STOP, chunk, sse
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.wire.watch import Watch
from grammar import Read, read
from machines import ways

QUIRKS = {"tools": "schema"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
LONG = "mcp__server__" + "x" * 60
F = {
    "name": "f",
    "description": "does",
    "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMA},
}
G = {"name": "g"}
TOOLS = [F, G, {"name": LONG, "input_schema": SCHEMA}]


def chat(**fields: Any) -> dict[str, Any]:
    return sent(DIALECT, body(**fields), quirks=QUIRKS)


def branches(request: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = request["response_format"]["json_schema"]["schema"]["anyOf"]
    return made


def names(request: dict[str, Any]) -> list[str]:
    """The tools that an answer may call; `answer` where it may be text."""
    return [
        one["properties"]["name"]["const"] if "name" in one["properties"] else "answer" for one in branches(request)
    ]


def test_tools_are_described_and_asked_for_in_a_schema() -> None:
    request = chat(tools=[F, G], system="be brief")
    system, user = request["messages"]
    assert "tools" not in request
    assert "tool_choice" not in request
    assert user == HI
    assert system["content"].startswith("be brief\n\n")
    assert '"does"' in system["content"]
    assert "$schema" not in json.dumps(request)
    assert names(request) == ["f", "g", "answer"]
    assert branches(request)[0]["properties"]["arguments"] == SCHEMA
    assert all(one["required"] == list(one["properties"]) for one in branches(request))


def test_without_tools_nothing_is_different() -> None:
    assert chat() == sent(DIALECT, body())


CHOICES: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "auto"}, ["f", "g", "answer"]),
    ({"type": "any"}, ["f", "g"]),
    ({"type": "tool", "name": "g"}, ["g"]),
    ({"type": "none"}, ["answer"]),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_the_choice_of_tools_limits_the_answers(choice: dict[str, Any], expected: list[str]) -> None:
    request = chat(tools=[F, G], tool_choice=choice)
    assert (names(request) if "response_format" in request else ["answer"]) == expected


def _references(schema: Any, root: Any) -> list[str]:
    """References in a schema that lead nowhere in the document it is part of."""
    if isinstance(schema, list):
        return [bad for one in schema for bad in _references(one, root)]
    if not isinstance(schema, dict):
        return []
    bad = [found for value in schema.values() for found in _references(value, root)]
    if isinstance(reference := schema.get("$ref"), str):
        at = root
        for step in reference.removeprefix("#").split("/")[1:]:
            at = at.get(step) if isinstance(at, dict) else None
        return [*bad, *([reference] if at is None else [])]
    return bad


def test_references_within_a_tool_s_schema_still_lead_somewhere() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    tool = {
        "name": "t",
        "input_schema": {"type": "object", "properties": {"n": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}},
    }
    schema = chat(tools=[F, tool])["response_format"]["json_schema"]["schema"]
    assert _references(schema, schema) == []


def test_the_history_of_calls_is_told_in_text() -> None:
    turns = [
        HI,
        {"role": "assistant", "content": [{"type": "text", "text": "so"}, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
                                          {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "one"},
                                     {"type": "tool_result", "tool_use_id": "toolu_2", "content": "two", "is_error": True},
                                     {"type": "text", "text": "go on"}]},
    ]  # fmt: skip
    _, _, said, *heard = chat(messages=turns, tools=TOOLS)["messages"]
    assert all(set(message) == {"role", "content"} for message in [said, *heard])
    calls = [json.loads(line) for line in said["content"].splitlines()[1:]]
    assert calls == [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]
    assert {message["role"] for message in heard} == {"user"}
    text = " ".join(message["content"] for message in heard)
    assert text.index("one") < text.index("two") < text.index("go on")


def client_reads(*pieces: str, stop: dict[str, Any] = STOP) -> Read:
    made = outgoing(DIALECT, body(tools=TOOLS, stream=True), quirks=QUIRKS)
    stream = sse(*(chunk(content=piece) for piece in pieces), stop)
    told: Read | None = None
    for cut in ways(stream):
        machine = DIALECT.reply(
            call(body(stream=True), quirks=QUIRKS), made, Answer(200, {"content-type": "text/event-stream"}), Watch()
        )
        again = read(b"".join([*(out for one in cut for out in machine.feed(one)), *machine.close()]))
        assert told is None or again == told
        told = again
    assert told
    return told


CALLED: list[tuple[str, str, Any]] = [
    ('{"name": "f", "arguments": {"a": 1}}', "f", {"a": 1}),
    (' {"arguments": {"a": 1}, "name": "f"}\n', "f", {"a": 1}),
    ('{"name": "g", "arguments": {}}', "g", {}),
    ('{"name": "g"}', "g", {}),
]


@pytest.mark.parametrize(("text", "name", "arguments"), CALLED)
def test_an_answer_in_the_schema_is_a_call(text: str, name: str, arguments: Any) -> None:
    for pieces in ([text], list(text)):
        told = client_reads(*pieces)
        assert (told.calls, told.stop_reason) == ([(name, arguments)], "tool_use")


def test_a_call_of_a_tool_with_a_long_name_comes_back_under_its_own() -> None:
    offered = names(chat(tools=TOOLS))[2]
    assert len(offered) <= 64
    assert client_reads(json.dumps({"name": offered, "arguments": {"a": 1}})).calls == [(LONG, {"a": 1})]


def test_an_answer_in_words_is_text() -> None:
    told = client_reads('{"answer": ', '"a\\nb"}')
    assert (told.text, told.stop_reason, told.calls) == ("a\nb", "end_turn", [])


TEXTS = ["just words", "{}", '{"answer": 5}', '{"name": "unknown", "arguments": {}}', '{"name": ["f"], "arguments": {}}', '{"name": {}}',
         '{"name": "f", "arguments": [1]}', '{"name": "f", "arguments": "x"}', '{"name": "f", "argum', "[" * 50_000, "null", '"f"', "5"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=[text[:40] for text in TEXTS])
def test_an_answer_that_is_not_in_the_schema_is_the_text_it_was(text: str) -> None:
    told = client_reads(text)
    assert (told.text, told.calls, told.stop_reason) == (text, [], "end_turn")


def test_an_answer_that_was_cut_by_the_limit_is_text() -> None:
    told = client_reads('{"name": "f", "arg', stop=chunk("length"))
    assert (told.text, told.stop_reason) == ('{"name": "f", "arg', "max_tokens")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["f", "g"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "arguments", "answer", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(_json)
def test_any_answer_is_a_call_or_text(answer: Any) -> None:
    told = client_reads(json.dumps(answer))
    assert told.calls or told.text or answer == {"answer": ""}
