from __future__ import annotations

import json
from typing import Any

import pytest

from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.failure import ApiError

HI = {"role": "user", "content": "hi"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [HI], **fields}


def block(**fields: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [fields]}])


GOOD: list[dict[str, Any]] = [
    body(),
    body(
        system=None, tools=None, tool_choice=None, thinking=None, output_config=None, metadata=None, stop_sequences=None
    ),
    body(temperature=1, top_p=0.5, top_k=40, stop_sequences=["END"], unheard_of={"a": 1}),
    body(system=[], messages=[{"role": "system", "content": []}]),
    body(messages=[{"role": "assistant", "content": [], "unheard_of": 1}, HI, HI]),
    body(tools=[{"name": "f"}, {"type": "web_search_20250305", "name": "web_search"}, {"type": "unheard_of"}]),
    block(type="unheard_of", text=5),
    block(type="tool_result", tool_use_id="x"),
    block(type="tool_result", tool_use_id="x", content=None),
    block(type="tool_use", id="x", name="f", input=[1]),
    block(type="text", text="", cache_control={"type": "ephemeral"}),
]


@pytest.mark.parametrize("request_body", GOOD)
def test_what_a_client_may_send_passes_untouched(request_body: dict[str, Any]) -> None:
    before = json.dumps(request_body)
    assert checked(request_body) is request_body
    assert json.dumps(request_body) == before


WRONG: list[tuple[Any, str]] = [
    (None, "The request body: must be an object, not null"),
    ([], "The request body: must be an object, not a list"),
    ({"messages": [HI]}, "max_tokens: field required"),
    ({"max_tokens": 1}, "messages: field required"),
    (body(max_tokens="1"), "max_tokens: must be a whole number, not a string"),
    (body(max_tokens=1.5), "max_tokens: must be a whole number, not a number"),
    (body(max_tokens=True), "max_tokens: must be a whole number, not true or false"),
    (body(max_tokens=None), "max_tokens: must be a whole number, not null"),
    (body(max_tokens=-1), "max_tokens: must be between 0 and 2^53"),
    (body(max_tokens=2**60), "max_tokens: must be between 0 and 2^53"),
    (body(messages=[]), "messages: at least one message is required"),
    (body(messages={}), "messages: must be a list, not an object"),
    (body(messages=[HI, "x"]), "messages.1: must be an object, not a string"),
    (body(messages=[{"content": "x"}]), "messages.0.role: must be one of user, assistant, system"),
    (body(messages=[{"role": ["user"], "content": "x"}]), "messages.0.role: must be one of"),
    (body(messages=[{"role": "user"}]), "messages.0.content: field required"),
    (body(messages=[{"role": "user", "content": None}]), "messages.0.content: must be a string or a list, not null"),
    (body(messages=[{"role": "user", "content": ["x"]}]), "messages.0.content.0: must be an object, not a string"),
    (block(), "messages.0.content.0.type: must be a string, not null"),
    (block(type=["text"]), "messages.0.content.0.type: must be a string, not a list"),
    (block(type="text"), "messages.0.content.0.text: must be a string, not null"),
    (block(type="text", text=5), "messages.0.content.0.text: must be a string, not a whole number"),
    (block(type="thinking", thinking=[]), "messages.0.content.0.thinking: must be a string, not a list"),
    (block(type="image"), "messages.0.content.0.source: must be an object, not null"),
    (block(type="document", source="x"), "messages.0.content.0.source: must be an object, not a string"),
    (block(type="tool_use", name="f"), "messages.0.content.0.id: must be a string, not null"),
    (block(type="tool_use", id="x", name=1), "messages.0.content.0.name: must be a string, not a whole number"),
    (block(type="tool_result"), "messages.0.content.0.tool_use_id: must be a string, not null"),
    (
        block(type="tool_result", tool_use_id="x", content=5),
        "messages.0.content.0.content: must be a string or a list or null",
    ),
    (
        block(type="tool_result", tool_use_id="x", content=[{"type": "text"}]),
        "messages.0.content.0.content.0.text: must be a string",
    ),
    (
        block(type="tool_result", tool_use_id="x", content=[{"type": "tool_reference"}]),
        "messages.0.content.0.content.0.tool_name: must be",
    ),
    (body(system=5), "system: must be a string or a list or null, not a whole number"),
    (body(system=[{"type": "text"}]), "system.0.text: must be a string, not null"),
    (body(tools={}), "tools: must be a list or null, not an object"),
    (body(tools=[5]), "tools.0: must be an object, not a whole number"),
    (body(tools=[{}]), "tools.0.name: must be a string, not null"),
    (body(tools=[{"type": "custom"}]), "tools.0.name: must be a string, not null"),
    (body(tools=[{"name": 5}]), "tools.0.name: must be a string"),
    (body(tools=[{"name": "f", "input_schema": []}]), "tools.0.input_schema: must be an object or null, not a list"),
    (body(tool_choice="auto"), "tool_choice: must be an object or null, not a string"),
    (body(output_config=[]), "output_config: must be an object or null, not a list"),
    (body(stop_sequences="x"), "stop_sequences: must be a list or null, not a string"),
    (body(stop_sequences=["x", 5]), "stop_sequences.1: must be a string, not a whole number"),
    (body(temperature="hot"), "temperature: must be a whole number or a number or null, not a string"),
    (body(temperature=True), "temperature: must be a whole number or a number or null, not true or false"),
    (body(top_k=0.5), "top_k: must be a whole number or null, not a number"),
]


@pytest.mark.parametrize(("request_body", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_told_with_the_name_of_its_field(request_body: object, message: str) -> None:
    with pytest.raises(ApiError) as raised:
        checked(request_body)
    assert str(raised.value).startswith(message)
    assert raised.value.failed.status == 400


def test_only_a_count_needs_no_limit_of_the_output() -> None:
    assert checked({"messages": [HI]}, counting=True)["messages"] == [HI]
