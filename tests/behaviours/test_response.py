"""Behaviours 40 to 46: what becomes of an answer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from grammar import events_of, read
from upstreams import Call, Chat, Http, Msg, Raw, failure, text, thinking, tool_use
from upstreams.chat import CREATED, sse

from .stage import JSON, TOOL, hello, post

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

BASES = {
    "openai": "/openai:gpt-4.1",
    "openrouter": "/openrouter:qwen/qwen3",
    "nvidia": "/nvidia:meta/llama",
    "gemini": "/gemini:gemini-2.5-pro",
    "ollama": "/ollama:llama3:8b",
    "anthropic": "/anthropic:claude-sonnet-4",
}
CHAT = ("openai", "openrouter", "nvidia")
NATIVE = ("ollama", "anthropic")
USAGE = {
    "prompt_tokens": 4321,
    "completion_tokens": 567,
    "total_tokens": 4888,
    "prompt_tokens_details": {"cached_tokens": 4000},
}
TOOLS = [TOOL, {**TOOL, "name": "Write"}]


async def said(stage: Stage, name: str, *replies: Any, stream: bool, **fields: Any) -> dict[str, Any]:
    """The message that a client has in the end, streamed or not."""
    stage.upstreams[name].use(*replies)
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=stream, **fields))
    assert answer.status == 200, answer.body
    if not stream:
        whole: dict[str, Any] = answer.json
        return whole
    told = read(answer.body)
    assert told.ended
    return {
        **told.message,
        "content": told.blocks,
        "stop_reason": told.stop_reason,
        "stop_sequence": told.stop_sequence,
        "usage": told.usage,
    }


MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
REASONS = [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("anything_else", "end_turn")]


@MODES
@pytest.mark.parametrize("name", CHAT)
async def test_40_text_reason_usage_model_and_id(stage: Stage, name: str, *, stream: bool) -> None:
    for finish, reason in REASONS:
        message = await said(stage, name, Chat("Hello there.", finish=finish, usage=USAGE), stream=stream)
        assert [(block["type"], block["text"]) for block in message["content"]] == [("text", "Hello there.")]
        assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", reason)
        assert message["stop_sequence"] is None
        assert message["model"] == "claude-sonnet-4"
        assert re.fullmatch(r"msg_\w+", message["id"])
        usage = message["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (321, 4000, 567)


@MODES
@pytest.mark.parametrize("finish", ["tool_calls", "stop", "function_call"])
@pytest.mark.parametrize("name", CHAT)
async def test_40_a_tool_block_means_tool_use(stage: Stage, name: str, finish: str, *, stream: bool) -> None:
    reply = Chat("I look.", [Call("Read", {"path": "/"})], finish=finish)
    message = await said(stage, name, reply, stream=stream, tools=TOOLS)
    assert message["stop_reason"] == "tool_use"
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]


async def test_40_two_answers_have_two_ids(stage: Stage) -> None:
    idents = {(await said(stage, "openai", Chat("x"), stream=False))["id"] for _ in range(5)}
    assert len(idents) == 5


@MODES
@pytest.mark.parametrize("name", BASES)
async def test_41_calls_are_blocks_with_their_input(stage: Stage, name: str, *, stream: bool) -> None:
    given = {"path": '/a "b" \\ é', "depth": 3, "nested": {"x": [1, None, True]}}
    if name in NATIVE:
        reply: Any = Msg([text("I look."), tool_use("Read", given), tool_use("Write", {})])
    else:
        reply = Chat("I look.", [Call("Read", given), Call("Write", {})])
    message = await said(stage, name, reply, stream=stream, tools=TOOLS)
    assert [block["type"] for block in message["content"]] == ["text", "tool_use", "tool_use"]
    _, first, second = message["content"]
    assert (first["name"], first["input"], second["name"], second["input"]) == ("Read", given, "Write", {})
    assert first["id"]
    assert first["id"] != second["id"]
    assert message["stop_reason"] == "tool_use"


@MODES
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("name", ["openrouter", "nvidia"])
async def test_42_reasoning_is_thinking(stage: Stage, name: str, field: str, *, stream: bool) -> None:
    reply = Chat("So: 4.", reasoning="Two and two make four.", reasoning_field=field)
    message = await said(stage, name, reply, stream=stream)
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][0]["thinking"] == "Two and two make four."
    assert message["content"][1]["text"] == "So: 4."
    called = Chat("", [Call("Read", {})], reasoning="I must look.", reasoning_field=field)
    message = await said(stage, name, called, stream=stream, tools=TOOLS)
    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use"]


@MODES
@pytest.mark.parametrize("name", NATIVE)
async def test_42_thinking_passes(stage: Stage, name: str, *, stream: bool) -> None:
    message = await said(stage, name, Msg([thinking("Hm, well."), text("So: 4.")]), stream=stream)
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][0]["thinking"] == "Hm, well."


@pytest.mark.parametrize("name", CHAT)
async def test_43_the_grammar_of_a_stream(stage: Stage, name: str) -> None:
    """`grammar.read` asserts it, one open block at a time and rising indexes included; this says the outline."""
    calls = [Call("Read", {"path": "/"}), Call("Write", {})]
    replies = [Chat("Text.", calls, reasoning="Hm."), Chat("", calls), Chat("Text."), Chat("")]
    outlines = [["thinking", "text", "tool_use", "tool_use"], ["tool_use", "tool_use"], ["text"], None]
    for reply, outline in zip(replies, outlines, strict=True):
        stage.chats[name].use(reply)
        answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=True, tools=TOOLS))
        assert b"[DONE]" not in answer.body
        kinds = [event["type"] for event in events_of(answer.body)]
        assert kinds[0] == "message_start"
        assert kinds[-2:] == ["message_delta", "message_stop"]
        told = read(answer.body)
        assert told.ended
        if outline is not None:
            assert [block["type"] for block in told.blocks] == outline
            assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(outline)


def chunks(*deltas: dict[str, Any], finish: str = "tool_calls") -> Raw:
    """A stream of these deltas."""
    common = {"id": "chatcmpl-1", "created": CREATED, "model": "m", "object": "chat.completion.chunk"}
    said = [{**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    said.append({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    said.append({**common, "choices": [], "usage": USAGE})
    return Raw([*(("raw", sse(one)) for one in said), ("raw", b"data: [DONE]\n\n")])


def part(index: int, arguments: str = "", **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    return {"tool_calls": [{"index": index, **fields, "function": function}]}


def fragments(body: bytes) -> list[str]:
    """The concatenated input_json_delta of each tool block."""
    said: dict[int, str] = {}
    for event in events_of(body):
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
            said[event["index"]] = ""
        elif event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            said[event["index"]] += event["delta"]["partial_json"]
    return list(said.values())


ODD = '{ "path" : "/\\u00e9 é \\"x\\"",\n "n": 1.50, "big": 12345678901234567890 }'
ARGUMENTS = ['{"path":"/a"}', ODD, '{"b": [1, 2, {"c": null}]}']
STREAMS: dict[str, Raw] = {
    "one after the other": chunks(
        *(
            delta
            for n, words in enumerate(ARGUMENTS)
            for delta in (
                part(n, id=f"call_{n}", type="function", name="Read"),
                *(part(n, words[at : at + 3]) for at in range(0, len(words), 3)),
            )
        )
    ),
    "interleaved": chunks(
        *(part(n, id=f"call_{n}", type="function", name="Read") for n in range(3)),
        *(
            part(n, ARGUMENTS[n][at : at + 2])
            for at in range(0, max(map(len, ARGUMENTS)), 2)
            for n in range(3)
            if ARGUMENTS[n][at : at + 2]
        ),
    ),
    "in one chunk": chunks(
        {
            "tool_calls": [
                {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": "Read", "arguments": words}}
                for n, words in enumerate(ARGUMENTS)
            ]
        }
    ),
}


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("name", CHAT)
async def test_44_fragments_join_to_the_upstreams_json(stage: Stage, name: str, way: str) -> None:
    stage.upstreams[name].use(STREAMS[way])
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=True, tools=TOOLS))
    told = read(answer.body)
    assert fragments(answer.body) == ARGUMENTS
    assert [block["input"] for block in told.blocks] == [json.loads(words) for words in ARGUMENTS]
    assert len({block["id"] for block in told.blocks}) == 3
    assert told.stop_reason == "tool_use"


@pytest.mark.parametrize("name", CHAT)
async def test_44_text_after_a_call_is_kept(stage: Stage, name: str) -> None:
    deltas = ({"content": "Before."}, part(0, "{}", id="call_0", type="function", name="Read"), {"content": "After."})
    stage.upstreams[name].use(chunks(*deltas))
    answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=True, tools=TOOLS))
    told = read(answer.body)
    assert "Before." in told.text
    assert "After." in told.text
    assert told.calls == [("Read", {})]


@pytest.mark.parametrize("size", [1, 13, 1 << 20])
async def test_45_ollamas_stream_is_relayed_byte_for_byte(stage: Stage, size: int) -> None:
    events = Msg([thinking("Hm."), text("Hello é."), tool_use("Read", {"path": "/"})], chunk=3).events("llama3:8b")
    body = b": hi\n\n" + b"".join(
        b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events
    )
    stage.ollama.use(Raw([("raw", body[at : at + size]) for at in range(0, len(body), size)]))
    answer = await post(stage.url, "/ollama:llama3:8b/v1/messages", hello(stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body == body


async def test_45_and_as_it_comes(stage: Stage) -> None:
    """The client has the first words while the upstream has not said the others."""
    stage.ollama.use(by=stage.ollama.cut(Msg([text("Hello there.")], chunk=5), 5, ("silence",)))
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), headers=JSON) as session,
        session.post(f"{stage.url}/ollama:m/v1/messages", json=hello(stream=True)) as got,
    ):
        assert b"Hello" in await got.content.readuntil(b'"Hello"')
        got.close()


@MODES
@pytest.mark.parametrize(
    ("status", "kind"), [(404, "not_found_error"), (529, "overloaded_error"), (400, "invalid_request_error")]
)
async def test_45_ollamas_error_status_is_kept(stage: Stage, status: int, kind: str, *, stream: bool) -> None:
    for told in (failure(status, kind, "In its own words."), Http(status, {"error": "In its own words."})):
        stage.ollama.use(told)
        answer = await post(stage.url, "/ollama:m/v1/messages", hello(stream=stream))
        assert (answer.status, answer.json["error"]["type"]) == (status, kind)
        assert "In its own words." in answer.json["error"]["message"]


@MODES
async def test_45_an_ollama_that_is_not_there(stage: Stage, *, stream: bool) -> None:
    url = await stage.serve(OLLAMA_API_BASE="http://127.0.0.1:9")
    answer = await post(url, "/ollama:m/v1/messages", hello(stream=stream))
    assert answer.status >= 500
    assert answer.error()["type"] in {"api_error", "overloaded_error"}


USAGES: Sequence[tuple[dict[str, Any], tuple[int, int, int]]] = [
    (USAGE, (321, 4000, 567)),
    ({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}, (7, 0, 0)),
    ({**USAGE, "prompt_tokens_details": None}, (4321, 0, 567)),
]


@pytest.mark.parametrize("name", CHAT)
async def test_46_usage_of_a_stream(stage: Stage, name: str) -> None:
    upstream = stage.chats[name]
    for usage, counts in USAGES:
        upstream.use(Chat("Hello", usage=usage))
        answer = await post(stage.url, f"{BASES[name]}/v1/messages", hello(stream=True))
        assert upstream.posts[0].json["stream_options"] == {"include_usage": True}
        [delta] = [event for event in events_of(answer.body) if event["type"] == "message_delta"]
        told = delta["usage"]
        names = ("input_tokens", "cache_read_input_tokens", "output_tokens")
        assert tuple(told.get(one) or 0 for one in names) == counts
    upstream.use(Chat("Hello"))
    await post(stage.url, f"{BASES[name]}/v1/messages", hello())
    assert "stream_options" not in upstream.posts[0].json
