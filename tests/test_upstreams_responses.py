"""The fake Responses server is as strict, and as faithful, as what it stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import openai
import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from upstreams import Call, FakeResponses, Page, Resp
from upstreams.responses_rules import Request, fault_of, sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = "gpt-5.4"
HELLO: dict[str, Any] = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
CALL: dict[str, Any] = {"type": "function_call", "call_id": "call_1", "name": "Read", "arguments": "{}"}
RESULT: dict[str, Any] = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
SAID: dict[str, Any] = {"type": "message", "role": "assistant", "content": "Hi"}
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "Read",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


def ask(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "store": False, "input": list(items or [HELLO]), **fields}


def thought(following: str, *, model: str = MODEL) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed(model, "rs_1", following)}


REFUSALS = {
    "nothing to answer": (ask() | {"input": []}, "too short"),
    "state": (ask(store=True), "Invalid"),
    "an unknown field": (ask(max_tokens=5), "Unknown parameter: 'max_tokens'"),
    "an unknown field of an item": (ask({**HELLO, "cache_control": {}}), "Unknown parameter"),
    "an unknown item": (ask({"type": "tool", "content": "x"}), "Invalid value"),
    "a chat part": (ask({**HELLO, "content": [{"type": "text", "text": "x"}]}), "Invalid value: 'text'"),
    "an image without detail": (
        ask({**HELLO, "content": [{"type": "input_image", "image_url": "https://a.test/"}]}),
        "Missing required parameter",
    ),
    "too small a limit": (ask(max_output_tokens=1), ">= 16"),
    "an id of something else": (ask({**CALL, "id": "call_1"}, RESULT), "^fc_"),
    "a call without output": (ask(HELLO, CALL), "No tool output found for function call call_1."),
    "an output without call": (ask(HELLO, RESULT), "No tool call found for function call output"),
    "an output before its call": (ask(RESULT, CALL), "No tool call found"),
    "an output twice": (ask(CALL, RESULT, RESULT), "No tool call found"),
    "an item twice": (ask(CALL, RESULT, thought("call_1"), CALL, RESULT), "Duplicate value"),
    "reasoning alone": (ask(HELLO, thought("call_1")), "without its required following item"),
    "reasoning before a user": (ask(thought("call_1"), HELLO), "without its required following item"),
    "reasoning before another call": (ask(thought("call_2"), CALL, RESULT), "could not be verified"),
    "reasoning of another model": (ask(thought("call_1", model="o3"), CALL, RESULT), "could not be verified"),
    "reasoning by its id alone": (ask({**thought("call_1"), "encrypted_content": None}, CALL, RESULT), "not found"),
    "sampling of a reasoning model": (ask(temperature=1.0), "Unsupported parameter: 'temperature'"),
    "effort of another model": (ask(reasoning={"effort": "low"}) | {"model": "gpt-4.1"}, "reasoning.effort"),
    "encryption by another model": (
        ask(include=["reasoning.encrypted_content"]) | {"model": "gpt-4.1"},
        "not supported with this model",
    ),
    "a function in chat's shape": (ask(tools=[{"type": "function", "function": {"name": "Read"}}]), "parameter"),
    "a function without strict": (ask(tools=[{**TOOL} | {"strict": None}]), "Invalid type"),
    "a schema of no object": (ask(tools=[{**TOOL, "parameters": {}}]), "Invalid schema for function 'Read'"),
    "a schema without properties": (ask(tools=[{**TOOL, "parameters": {"type": "object"}}]), "missing properties"),
    "a choice that is not there": (ask(tools=[TOOL], tool_choice={"type": "function", "name": "LS"}), "not found"),
    "a choice without tools": (ask(tool_choice="auto"), "Tool choice"),
}

ACCEPTED = {
    "everything in its order": ask(
        HELLO,
        thought("call_1"),
        {**CALL, "id": "fc_1"},
        {**RESULT, "output": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}]},
        {**SAID, "phase": "final_answer"},
        tools=[TOOL, {"type": "web_search", "filters": {"allowed_domains": ["a.test"]}}],
        tool_choice={"type": "function", "name": "Read"},
        include=["reasoning.encrypted_content", "web_search_call.action.sources"],
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=16,
    ),
    "the system in between": ask(HELLO, {**HELLO, "role": "developer"}, SAID, instructions="Be brief."),
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeResponses]:
    async with FakeResponses() as running:
        yield running


def test_no_field_is_taken_that_the_real_one_does_not_know() -> None:
    """The official client's types are the authority on the request's fields."""
    real = set(get_type_hints(ResponseCreateParamsBase)) | {"stream"}
    assert set(Request.__struct_fields__) <= real


@pytest.mark.parametrize(("body", "said"), REFUSALS.values(), ids=REFUSALS)
def test_it_refuses(body: dict[str, Any], said: str) -> None:
    fault = fault_of(json.dumps(body).encode())
    assert fault
    assert said in fault.message


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_it_accepts(body: dict[str, Any]) -> None:
    assert fault_of(json.dumps(body).encode()) is None


GOLDEN = Path(__file__).parent / "dialects" / "golden" / "responses" / "requests"
SENT = sorted(file for file in GOLDEN.glob("*/upstream.json") if 'encrypted_content":' not in file.read_text("utf-8"))


@pytest.mark.parametrize("file", SENT, ids=lambda file: file.parent.name)
def test_it_accepts_what_leaves(file: Path) -> None:
    body = json.loads(file.read_text("utf-8"))
    readable = [item for item in body["input"] if item["type"] == "reasoning"]  # other servers take that
    assert readable or fault_of(file.read_bytes()) is None


@pytest.mark.parametrize("interleave", [False, True])
async def test_the_openai_client_reads_the_stream(fake: FakeResponses, *, interleave: bool) -> None:
    calls = [Call("Read", {"file_path": "/größer"}), Call("LS", {})]
    page = Page("https://a.test/", "A")
    fake.use(
        Resp("Größer 😀.", calls, summary=["One.", "Two."], query="q", pages=[page], interleave=interleave, chunk=3)
    )
    async with openai.AsyncOpenAI(base_url=fake.api, api_key="k") as client:
        stream = await client.responses.create(
            **ask(stream=True, reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])
        )
        events = [event async for event in stream]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    summary = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    assert (text, summary) == ("Größer 😀.", "One.Two.")
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == text
    kinds = [item.type for item in last.response.output]
    assert kinds == ["reasoning", "web_search_call", "message", "function_call", "function_call"]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_the_openai_client_reads_the_whole_answer(fake: FakeResponses) -> None:
    fake.use(Resp("Hello.", summary=None, incomplete="max_output_tokens"))
    async with openai.AsyncOpenAI(base_url=fake.api, api_key="k") as client:
        whole = await client.responses.create(**ask())
    assert (whole.status, whole.output_text) == ("incomplete", "Hello.")
    assert whole.usage
    assert whole.usage.total_tokens == 154
