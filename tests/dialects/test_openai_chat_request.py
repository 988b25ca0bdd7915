from __future__ import annotations

from typing import Any

import pytest

from calls import HI, body, call, outgoing, sent
from claude_code_proxy.dialects.base import Local
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.dialects.search import Search
from claude_code_proxy.wire.failure import ApiError

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
F: dict[str, Any] = {"name": "f", "description": "does", "input_schema": SCHEMA}
G: dict[str, Any] = {"name": "g", "input_schema": {"$schema": "http://json-schema.org/draft-07/schema#", **SCHEMA}}
F_OUT = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "description": "does"}}
G_OUT = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}
WEB = {"type": "web_search_20250305", "name": "web_search"}
BASH = {"type": "bash_20250124", "name": "bash"}
LATER = {
    **F,
    "name": "later",
    "defer_loading": True,
    "eager_input_streaming": True,
    "cache_control": {"type": "ephemeral"},
}
LATER_TOO = {**LATER, "name": "too"}
PLACEHOLDER = {"name": "DeferredToolPlaceholder", "input_schema": {"type": "object"}}


def chat(request: dict[str, Any], **how: Any) -> dict[str, Any]:
    return sent(DIALECT, request, **how)


def test_a_small_request_in_full() -> None:
    assert chat(body(system="be brief", tools=[F], temperature=0.5, stream=True)) == {
        "model": "some-model",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "tools": [F_OUT],
        "max_tokens": 100,
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_it_goes_to_the_endpoint_of_the_base_url() -> None:
    assert outgoing(DIALECT, body()).url == "http://up.test/v1/chat/completions"


def test_what_no_model_needs_to_be_asked_is_answered_at_once() -> None:
    assert isinstance(DIALECT.request(call(body(max_tokens=0))), Local)


def test_a_web_search_is_somebody_elses() -> None:
    assert DIALECT.request(call(body(tools=[WEB]))) == Search("hi", "seed")


def test_the_same_request_has_the_same_bytes() -> None:
    request = body(system="s", tools=[F, G], top_p=1, temperature=0, stop_sequences=["x"])
    assert outgoing(DIALECT, request).body == outgoing(DIALECT, dict(request)).body


ATTRIBUTION = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cch=00000;"}
SYSTEMS: list[tuple[Any, str | None]] = [
    (None, None),
    ("", None),
    ([], None),
    ("plain", "plain"),
    ([{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}], "a\n\nb"),
    ([ATTRIBUTION, {"type": "text", "text": "a"}], "a"),
    ([ATTRIBUTION], None),
    ([{"type": "text", "text": " "}, {"type": "text", "text": "a"}], "a"),
]


@pytest.mark.parametrize(("system", "text"), SYSTEMS)
def test_the_system_prompt_is_the_first_message(system: object, text: str | None) -> None:
    expected = [{"role": "system", "content": text}] if text else []
    assert chat(body(system=system))["messages"] == [*expected, {"role": "user", "content": "hi"}]


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 0}, {"temperature": 0}),
    ({"top_p": 0.9, "temperature": 1}, {"top_p": 0.9, "temperature": 1}),
    ({"top_k": 5}, {}),
    ({"stop_sequences": ["a", "", "b"]}, {"stop": ["a", "b"]}),
    ({"stop_sequences": [""]}, {}),
    ({"stop_sequences": []}, {}),
    ({"stop_sequences": list("abcdef")}, {"stop": list("abcd")}),
    ({"stream": False}, {}),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"tools": []}, {}),
    ({"tools": [BASH]}, {}),
    ({"tools": [BASH, WEB], "tool_choice": {"type": "tool", "name": "bash"}}, {}),
    ({"tool_choice": {"type": "auto"}}, {}),
    ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}}),
    ({"output_config": {"format": "json"}}, {}),
    ({"output_config": {}}, {}),
    ({"metadata": {"user_id": "u"}, "context_management": {}, "safeguards": {}, "unheard_of": 1}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_what_becomes_of_a_field(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert chat(body(**fields)) == {**chat(body()), **expected}


def test_nothing_is_sent_for_a_field_that_is_null() -> None:
    nulls = dict.fromkeys(("system", "tools", "tool_choice", "stop_sequences", "temperature", "top_p", "output_config"))
    assert chat({**body(), **nulls}) == chat(body())


def test_top_k_is_sent_where_it_is_taken() -> None:
    assert chat(body(top_k=5), quirks={"top_k": True})["top_k"] == 5


LIMITS = [(100, 0, 100), (100, 50, 50), (100, 200, 100), (128_000, 8192, 8192)]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(("asked", "cap", "limit"), LIMITS)
def test_the_output_limit_is_sent_in_the_field_that_is_taken(field: str, asked: int, cap: int, limit: int) -> None:
    request = chat(body(max_tokens=asked), quirks={"max_tokens": field}, cap=cap)
    assert {name: request[name] for name in request if name.startswith("max")} == {field: limit}


CHOICES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "auto"}, {"tool_choice": "auto"}),
    ({"type": "any"}, {"tool_choice": "required"}),
    ({"type": "none"}, {"tool_choice": "none"}),
    ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ({"type": "tool", "name": "web_search"}, {}),
    ({"type": "tool"}, {}),
    ({"type": "unheard_of"}, {}),
    ({}, {}),
    ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_the_choice_of_tools(choice: dict[str, Any], expected: dict[str, Any]) -> None:
    tools = [F, WEB]
    assert chat(body(tools=tools, tool_choice=choice)) == {**chat(body(tools=tools)), **expected}


def reference(*names: str) -> list[dict[str, Any]]:
    content = [{"type": "tool_reference", "tool_name": name} for name in names]
    return [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_s", "name": "ToolSearch", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_s", "content": content}]},
    ]


TOOLS: list[tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]] = [
    ([F, G], [], ["f", "g"]),
    ([{"type": "custom", **F}, WEB], [], ["f"]),
    ([F, LATER, PLACEHOLDER], [], ["f"]),
    ([LATER, F, LATER_TOO], reference("later"), ["f", "later"]),
    ([LATER, LATER_TOO, F], reference("too", "later"), ["f", "too", "later"]),
    ([LATER, F], reference("later", "later", "unknown"), ["f", "later"]),
]


@pytest.mark.parametrize(("tools", "turns", "names"), TOOLS)
def test_the_tools_that_are_offered(tools: list[dict[str, Any]], turns: list[dict[str, Any]], names: list[str]) -> None:
    request = chat(body(tools=tools, messages=[HI, *turns]))
    assert [tool["function"]["name"] for tool in request["tools"]] == names


def test_a_tool_has_its_name_schema_and_description_only() -> None:
    request = chat(body(tools=[F, G, LATER], messages=[HI, *reference("later")]))
    later = {"type": "function", "function": {**F_OUT["function"], "name": "later"}}  # type: ignore[dict-item]
    assert request["tools"] == [F_OUT, G_OUT, later]


def test_a_tool_without_a_schema_takes_an_object() -> None:
    (tool,) = chat(body(tools=[{"name": "f"}]))["tools"]
    assert tool["function"] == {"name": "f", "parameters": {"type": "object", "properties": {}}}


def test_a_malformed_request_is_told_as_such() -> None:
    with pytest.raises(ApiError, match=r"messages\.0\.content: field required"):
        chat(body(messages=[{"role": "user"}]))


def test_whole_numbers_of_any_size_and_deep_values_arrive() -> None:
    deep: Any = 10**30
    for _ in range(400):
        deep = [deep]
    turns = [HI, {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {"a": deep}}]}]
    assert b"1000000000000000000000000000000" in outgoing(DIALECT, body(messages=turns)).body


ODD: list[dict[str, Any]] = [
    {"thinking": {"type": []}},
    {"thinking": {"type": "enabled", "budget_tokens": "many"}},
    {"output_config": {"effort": []}},
    {"output_config": {"format": {"type": {}}}},
    {"tool_choice": {"type": ["auto"]}, "tools": [F]},
    {"tool_choice": {"type": "tool", "name": ["f"]}, "tools": [F]},
    {"tools": [{"type": ["custom"], "name": "f"}]},
    {"tools": [{**F, "description": 5}]},
    {"metadata": {"user_id": {}}},
    {"max_tokens": 10**30},
    {"system": [{"type": "text", "text": "s", "cache_control": 5}]},
]


@pytest.mark.parametrize("fields", ODD)
@pytest.mark.parametrize("model", ["some-model", "gpt-5", "o3", "claude-sonnet-5"])
def test_odd_values_are_left_out_or_refused_as_a_bad_request(fields: dict[str, Any], model: str) -> None:
    quirks = {"effort": "reasoning_effort", "session_key": "user"}
    try:
        assert DIALECT.request(call(body(**fields), model=model, quirks=quirks))
    except ApiError as cause:
        assert cause.failed.status == 400  # noqa: PT017
