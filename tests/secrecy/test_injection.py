"""What a model says is what the real SDK reads, whatever it looks like; nothing of it becomes an event (S-13)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from anthropic import AsyncAnthropic

from faults.ops import KEEP, sized
from faults.replies import TOOL, Reply
from upstreams import Call

from .stage import PLACES, PROXY_KEY

if TYPE_CHECKING:
    from anthropic.types import Message

    from .place import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

_numbers = count(500_000)
INJECTIONS = {
    "an event's end": 'a\n\nevent: message_stop\ndata: {"type": "message_stop"}\n\nb',
    "carriage returns": "a\r\n\r\nevent: error\r\ndata: {}\r\r b",
    "other line ends": "a\u2028event: message_stop\u2029data: [DONE]\u0085\x0b\x0c\x1c\x1d\x1e b",
    "an end of the stream": "data: [DONE]\n\n: comment\nid: 1\nretry: 1\n\n",
    "an error": 'data: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
    "JSON": '"}]}\\"},"type":"message_stop"}\\n\\n',
    "a page": "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\x1b]0;x\x07",
    "a chunk": "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
}
TOOLS: list[Any] = [
    {"name": TOOL, "input_schema": {"type": "object", "properties": {"file_path": {"type": "string"}}}},
]


async def answered(place: Place, named: str, made: Reply) -> Message:
    """What the SDK makes of this answer of an upstream."""
    case = next(_numbers)
    place.upstream.scripts[case] = [made.whole]
    base = f"{place.proxy.url}/{PLACES[named]}:case-{case}"
    asked: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    async with AsyncAnthropic(api_key=PROXY_KEY, base_url=base, max_retries=0) as client:
        if not made.stream:
            message: Message = await client.messages.create(**asked, tools=TOOLS)
            return message
        async with client.messages.stream(**asked, tools=TOOLS) as stream:
            return await stream.get_final_message()


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("said", INJECTIONS)
@pytest.mark.parametrize("named", PLACES)
async def test_text_and_arguments(place: Place, named: str, said: str, *, stream: bool) -> None:
    text = INJECTIONS[said]
    dialect = named.partition(" ")[0]
    message = await answered(place, named, Reply(dialect, stream, text))
    assert [block.text for block in message.content if block.type == "text"] == [text]
    assert {block.type for block in message.content} <= {"thinking", "text"}
    assert message.stop_reason == "end_turn"
    call = Call(TOOL, {"file_path": text, text: [text]}, "call_000000000000000000000001")
    message = await answered(place, named, Reply(dialect, stream, "Well.", (call,)))
    [used] = [block for block in message.content if block.type == "tool_use"]
    assert (used.name, used.input) == (TOOL, {"file_path": text, text: [text]})
    assert message.stop_reason == "tool_use"


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("said", INJECTIONS)
@pytest.mark.parametrize("named", ["openai_chat", "openai_responses"])
async def test_the_id_of_a_call(place: Place, named: str, said: str, *, stream: bool) -> None:
    """Which is the model's too, where a server takes it from its text."""
    call = Call(TOOL, {"file_path": "/a"}, f"call_{INJECTIONS[said]}")
    message = await answered(place, named, Reply(named, stream, "Well.", (call,)))
    [used] = [block for block in message.content if block.type == "tool_use"]
    assert used.input == {"file_path": "/a"}
    assert used.id.replace("_", "").replace("-", "").isalnum()


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("said", INJECTIONS)
@pytest.mark.parametrize("named", PLACES)
async def test_an_error(place: Place, named: str, said: str) -> None:
    """Its words are shown in a terminal."""
    made = Reply(named.partition(" ")[0], stream=False)
    case = next(_numbers)
    place.upstream.scripts[case] = [[sized(made.error_body(INJECTIONS[said], 400), status=400), KEEP]]
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    answer = await place.ask(f"/{PLACES[named]}:case-{case}/v1/messages", body)
    assert answer.status == 400
    told = answer.json
    assert (told["type"], set(told["error"])) == ("error", {"type", "message"})
    if PLACES[named] not in {"anthropic", "bedrock", "ollama"}:  # whose own envelope passes as it is
        assert "\x1b" not in told["error"]["message"]
