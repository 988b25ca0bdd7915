"""The fakes are as strict, and as faithful, as what they stand for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_type_hints

import aiohttp
import anthropic
import openai
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from upstreams import Call, Chat, FakeChat, FakeMessages, Http, Msg, Raw, text, thinking, tool_use
from upstreams.chat_rules import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO: dict[str, Any] = {"role": "user", "content": "Hello"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "Read", "parameters": {"type": "object"}}}
CALL: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "Read", "arguments": "{}"}}
CALLED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "call_1", "content": "done"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": list(messages or [HELLO]), **fields}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def renamed(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


CHAT_REFUSALS = {
    "an unknown role": (chat({"role": "robot", "content": "x"}), "Invalid value: 'robot'"),
    "an unknown field": (chat(top_k=3), "Unknown parameter: 'top_k'"),
    "an unknown field of a message": (
        chat({**HELLO, "cache_control": {}}),
        "Unknown parameter: 'messages[0].cache_control'",
    ),
    "both limits": (chat(max_tokens=5, max_completion_tokens=5), "at the same time"),
    "the old limit for a new model": (chat(max_tokens=5) | {"model": "gpt-5.4"}, "Unsupported parameter: 'max_tokens'"),
    "effort for a model without": (chat(reasoning_effort="low"), "Unsupported parameter: 'reasoning_effort'"),
    "too long an answer": (chat(max_completion_tokens=128_000), "at most 32768 completion tokens"),
    "a call without a result": (chat(HELLO, CALLED, HELLO), "must be followed by tool messages"),
    "a call without a result at the end": (chat(HELLO, CALLED), "did not have response messages: call_1"),
    "something between call and result": (chat(HELLO, CALLED, HELLO, RESULT), "must be followed by tool messages"),
    "a result without a call": (chat(HELLO, RESULT), "must be a response to a preceeding message"),
    "a result twice": (chat(HELLO, CALLED, RESULT, RESULT), "must be a response to a preceeding message"),
    "two calls of one id": (chat(HELLO, {**CALLED, "tool_calls": [CALL, CALL]}, RESULT), "Duplicate value"),
    "an image in a result": (
        chat(HELLO, CALLED, {**RESULT, "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}),
        "Invalid value: 'image_url'",
    ),
    "a name with a dot": (chat(tools=[renamed("mcp.read")]), "does not match pattern"),
    "a long name": (chat(tools=[renamed("x" * 65)]), "too long"),
    "a long id": (
        chat(HELLO, {**CALLED, "tool_calls": [{**CALL, "id": "c" * 41}]}, {**RESULT, "tool_call_id": "c" * 41}),
        "too long",
    ),
    "arguments that are no string": (
        chat(HELLO, {**CALLED, "tool_calls": [{**CALL, "function": {"name": "Read", "arguments": {}}}]}, RESULT),
        "Invalid type for 'messages[1].tool_calls[0].function.arguments'",
    ),
    "no tools": (chat(tools=[]), "Invalid 'tools': too short"),
    "no calls": (chat(HELLO, {"role": "assistant", "content": "x", "tool_calls": []}), "too short"),
    "an image as a string": (chat(user({"type": "image_url", "image_url": PIXEL})), "Invalid type"),
    "an image of no kind": (chat(user({"type": "image_url", "image_url": {"url": "data:text/plain,x"}})), "pattern"),
    "an Anthropic image": (chat(user({"type": "image", "source": {}})), "Invalid value: 'image'"),
    "parallel calls without tools": (chat(parallel_tool_calls=False), "only allowed when 'tools'"),
    "a choice without tools": (chat(tool_choice="auto"), "only allowed when 'tools'"),
    "a choice that is not there": (
        chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "Bash"}}),
        "'Bash' not found",
    ),
    "stream options without a stream": (chat(stream_options={"include_usage": True}), "when 'stream' is enabled"),
    "no messages": ({"model": "gpt-4.1", "messages": []}, "Invalid 'messages': too short"),
    "no model": ({"messages": [HELLO]}, "Missing required parameter: 'model'"),
    "no content": (chat({"role": "user"}), "Missing required parameter: 'messages[0].content'"),
    "an empty assistant": (chat(HELLO, {"role": "assistant", "content": None}), "expected a string, got null"),
    "empty content": (chat(user()), "too short"),
    "a schema of no object": (
        chat(tools=[{"type": "function", "function": {"name": "Read", "parameters": {"type": "string"}}}]),
        "Invalid schema for function 'Read'",
    ),
    "five stops": (chat(stop=list("abcde")), "Invalid 'stop': too long"),
}

CHAT_ACCEPTED = {
    "a tool loop": chat({"role": "system", "content": "Be kind."}, HELLO, CALLED, RESULT, tools=[TOOL]),
    "results in any order": chat(
        HELLO,
        {**CALLED, "content": "Two.", "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {**RESULT, "tool_call_id": "call_2", "content": [{"type": "text", "text": "x"}]},
        RESULT,
    ),
    "system in the middle": chat(HELLO, {"role": "system", "content": "Now be brief."}),
    "an image": chat(user({"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}})),
    "effort": chat(reasoning_effort="high", max_completion_tokens=128_000) | {"model": "gpt-5.4"},
    "a named choice": chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "Read"}}),
}


@pytest.fixture
async def openai_fake() -> AsyncIterator[FakeChat]:
    async with FakeChat([Chat("ok")]) as fake:
        yield fake


@pytest.fixture
async def anthropic_fake() -> AsyncIterator[FakeMessages]:
    async with FakeMessages([Msg([text("ok")])]) as fake:
        yield fake


async def post(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()


def test_the_allow_list_is_the_real_one() -> None:
    """The official client's types are the authority on the request's fields."""
    real = set(get_type_hints(CompletionCreateParamsBase)) | {"stream"}
    assert set(Request.__struct_fields__) == real


@pytest.mark.parametrize(("body", "said"), CHAT_REFUSALS.values(), ids=CHAT_REFUSALS)
async def test_chat_refuses(openai_fake: FakeChat, body: dict[str, Any], said: str) -> None:
    status, answer = await post(f"{openai_fake.api}/chat/completions", body, authorization="Bearer k")
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert said in answer["error"]["message"]
    assert openai_fake.refusals


@pytest.mark.parametrize("body", CHAT_ACCEPTED.values(), ids=CHAT_ACCEPTED)
async def test_chat_accepts(openai_fake: FakeChat, body: dict[str, Any]) -> None:
    status, _ = await post(f"{openai_fake.api}/chat/completions", body, authorization="Bearer k")
    assert (status, openai_fake.refusals) == (200, [])


async def test_chat_wants_a_key_and_the_right_path(openai_fake: FakeChat) -> None:
    status, answer = await post(f"{openai_fake.api}/chat/completions", chat())
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    status, answer = await post(f"{openai_fake.url}/chat/completions", chat(), authorization="Bearer k")
    assert (status, answer["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize("interleave", [False, True])
async def test_the_openai_client_reads_the_stream(openai_fake: FakeChat, *, interleave: bool) -> None:
    calls = [Call("Read", {"file_path": f"/some/{n}" * n}) for n in (1, 2, 3)]
    openai_fake.use(Chat("Looking.", calls, reasoning="Hm.", interleave=interleave, chunk=5))
    indexes: list[int] = []
    async with openai.AsyncOpenAI(base_url=openai_fake.api, api_key="k", max_retries=0) as client:
        options: Any = {"include_usage": True}
        stream = await client.chat.completions.create(
            **chat(tools=[TOOL]), stream=True, stream_options=options, max_completion_tokens=99
        )
        said, thought, arguments, last = "", "", ["", "", ""], None
        async for chunk in stream:
            last = chunk
            for choice in chunk.choices:
                said += choice.delta.content or ""
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                for call in choice.delta.tool_calls or []:
                    indexes.append(call.index)
                    arguments[call.index] += (call.function and call.function.arguments) or ""
    assert (said, thought) == ("Looking.", "Hm.")
    assert [json.loads(a) for a in arguments] == [c.arguments for c in calls]
    assert (indexes != sorted(indexes)) is interleave
    assert last is not None
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.prompt_tokens == 120
    assert openai_fake.posts[0].sent.endswith(b"data: [DONE]\n\n")


async def test_the_openai_client_reads_the_whole_answer(openai_fake: FakeChat) -> None:
    openai_fake.use(Chat("Hi", [Call("Read", {})]), Http(429, {"error": {"message": "slow down"}}))
    async with openai.AsyncOpenAI(base_url=openai_fake.api, api_key="k", max_retries=0) as client:
        whole = await client.chat.completions.create(**chat(tools=[TOOL]))
        assert whole.choices[0].finish_reason == "tool_calls"
        assert whole.choices[0].message.tool_calls
        with pytest.raises(openai.RateLimitError, match="slow down"):
            await client.chat.completions.create(**chat())
        assert {m.id for m in (await client.models.list()).data} == {"gpt-4.1", "gpt-4.1-mini"}


async def test_a_client_that_leaves_is_noticed(openai_fake: FakeChat) -> None:
    openai_fake.use(Raw([("raw", b": hello\n\n"), ("silence",)]))
    url = f"{openai_fake.api}/chat/completions"
    async with aiohttp.ClientSession(headers={"authorization": "Bearer k"}) as session:
        async with session.post(url, json=chat()) as response:
            assert await response.content.readline() == b": hello\n"
            rec = await openai_fake.arrival()
            await rec.until_silent()
            response.close()
        assert await rec.until_left() >= rec.at


async def test_an_abort_is_an_abort(openai_fake: FakeChat) -> None:
    openai_fake.use(Raw([("raw", b": hello\n\n"), ("abort",)]))
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(f"{openai_fake.api}/chat/completions", chat(), authorization="Bearer k")


SYSTEM: dict[str, Any] = {"role": "system", "content": "Now be brief."}
USED: dict[str, Any] = {"role": "assistant", "content": [tool_use("Read", {}, "toolu_1")]}
GIVEN: dict[str, Any] = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}
VERSION = {"anthropic-version": "2023-06-01", "x-api-key": "k"}


def ask(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "claude-x", "max_tokens": 9, "messages": list(messages or [HELLO]), **fields}


MESSAGES_REFUSALS = {
    "no limit": ({"model": "claude-x", "messages": [HELLO]}, "max_tokens: Field required"),
    "an unknown role": (ask({"role": "tool", "content": "x"}), "tool"),
    "an unknown field": (ask(stream_options={}), "stream_options: Extra inputs are not permitted"),
    "a field without its beta": (ask(context_management={}), "context_management: Extra inputs"),
    "system first": (ask(SYSTEM, HELLO), "must follow a user turn"),
    "a call without a result": (ask(HELLO, USED, HELLO), "without `tool_result` blocks immediately after: toolu_1"),
    "a call without a result at the end": (ask(HELLO, USED), "without `tool_result` blocks"),
    "a result without a call": (ask(GIVEN), "unexpected `tool_use_id`"),
    "a strange id": (ask(HELLO, {"role": "assistant", "content": [tool_use("Read", {}, "a:1")]}), "regex"),
    "empty text": (ask({"role": "user", "content": [text("")]}), "messages.0.content.0.text: "),
    "five breakpoints": (
        ask({"role": "user", "content": [{**text("x"), "cache_control": {"type": "ephemeral"}}] * 5}),
        "maximum of 4 blocks",
    ),
    "a tool without a schema": (ask(tools=[{"name": "Read"}]), "input_schema: Field required"),
}


@pytest.mark.parametrize(("body", "said"), MESSAGES_REFUSALS.values(), ids=MESSAGES_REFUSALS)
async def test_messages_refuses(anthropic_fake: FakeMessages, body: dict[str, Any], said: str) -> None:
    status, answer = await post(f"{anthropic_fake.url}/v1/messages", body, **VERSION)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert said in answer["error"]["message"]


async def test_messages_wants_a_key_a_version_and_the_right_path(anthropic_fake: FakeMessages) -> None:
    url = f"{anthropic_fake.url}/v1/messages"
    assert (await post(url, ask(), **{"anthropic-version": "2023-06-01"}))[0] == 401
    assert (await post(url, ask(), authorization="Bearer k"))[0] == 400
    assert (await post(f"{anthropic_fake.url}/messages", ask(), **VERSION))[0] == 404


async def test_the_anthropic_client_reads_both_answers(anthropic_fake: FakeMessages) -> None:
    content = [thinking("Hm. \u2028"), text("Looking."), tool_use("Read", {"file_path": "/etc/hostname"})]
    anthropic_fake.use(Msg(content))
    messages: Any = [HELLO, USED, GIVEN, SYSTEM]
    async with anthropic.AsyncAnthropic(base_url=anthropic_fake.url, api_key="k", max_retries=0) as client:
        whole = await client.messages.create(model="claude-x", max_tokens=9, messages=messages)
        async with client.messages.stream(model="claude-x", max_tokens=9, messages=messages) as stream:
            streamed = await stream.get_final_message()
        counted = await client.messages.count_tokens(model="claude-x", messages=messages)
    assert [b.to_dict() for b in whole.content] == content
    assert [b.to_dict() for b in streamed.content] == content
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert counted.input_tokens > 0
    assert anthropic_fake.refusals == []
