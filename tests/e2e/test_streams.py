"""Streams: native ones byte for byte, broken ones told as broken, and errors in Anthropic's words."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from upstreams import Call, Chat, Http, Msg, Raw, failure, text, thinking, tool_use
from upstreams.messages import sse

from .http_client import CHAT, HEADERS, HELLO, NATIVE, Answer, send

if TYPE_CHECKING:
    from upstreams import Recorded

    from .proxy import Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

STREAM = HELLO | {"stream": True}
TOOLS = [{"name": "Read", "input_schema": {"type": "object"}}]

# Things a native stream may hold that a proxy which parses and writes again would change.
ODD = (
    b": a comment\n\n"
    + sse({"type": "message_start", "message": Msg([]).message("other-model") | {"content": [], "new_field": None}})
    + b'event: ping\r\ndata: {"type" : "ping"}\r\n\r\n'
    + b'event: brand_new\ndata: {"type":"brand_new","n":1.0}\n\n'
    + b'event: content_block_start\ndata: {"index":0,"type":"content_block_start","content_block":'
    + b'{"type":"text","text":""}}\n\n'
    + b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":'
    + '"a\u2028b\\u2028 ü \\u00fc \U0001f600"}}\n\n'.encode()
    + b'id: 7\nretry: 10\nevent: content_block_stop\ndata: {"type":"content_block_stop",\ndata: "index":0}\n\n'
    + b'event:message_delta\ndata:{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null,'
    + b'"safeguard_results":[]},"usage":{"output_tokens":5}}\n\n'
    + sse({"type": "message_stop"})
)


def in_pieces(body: bytes, size: int) -> Raw:
    return Raw([("raw", body[i : i + size]) for i in range(0, len(body), size)])


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.fault("U-15")
async def test_a_native_stream_is_the_same_byte_for_byte(world: World, size: int) -> None:
    world.native.use(in_pieces(ODD, size))
    answer = await send(world.url, NATIVE, STREAM)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body == bytes(world.native.posts[0].sent) == ODD


async def test_a_native_message_is_the_same_byte_for_byte(world: World) -> None:
    whole = b'{ "id":"msg_1", "type":"message", "role":"assistant", "model":"m", "content":[ ], "new": 1.0,\n'
    whole += b'"stop_reason":"end_turn", "stop_sequence":null, "usage":{"input_tokens":1,"output_tokens":2} }\n'
    world.native.use(Http(200, whole, {"content-type": "application/json", "request-id": "req_upstream"}))
    answer = await send(world.url, NATIVE, HELLO)
    assert (answer.status, answer.body) == (200, whole)
    assert answer.headers["content-type"] == "application/json"


async def test_the_native_body_is_the_same_byte_for_byte(world: World) -> None:
    """All but the model, wherever it stands, whatever else is called so."""
    world.native.use(Msg([text("Hello")]))
    raw = b'{"messages":[ {"role":"user" , "content":"\\u00fc \xc3\xbc {\\"model\\":\\"x\\"}"}],'
    raw += b'"metadata":{ "model":"y"},"model":"claude-opus-5-5","max_tokens":9.0e1}'
    await send(world.url, NATIVE, raw)
    received = world.native.posts[0]
    assert received.raw.replace(b"claude-sonnet-5-5", b"claude-opus-5-5") == raw
    world.native.use()  # 9.0e1 is no integer to the fake, which is beside the point


async def test_betas_arrive_though_they_come_in_two_lines(world: World) -> None:
    world.native.use(Msg([text("Hello")]))
    headers = [*HEADERS.items(), ("anthropic-beta", "one-2026-01-01"), ("anthropic-beta", "two-2026-01-01")]
    async with aiohttp.ClientSession(headers=headers) as session, session.post(world.url + NATIVE, json=HELLO) as got:
        assert got.status == 200
    received = world.native.posts[0].headers["anthropic-beta"]
    assert {name.strip() for name in received.split(",")} == {"one-2026-01-01", "two-2026-01-01"}


@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
async def test_deltas_come_as_they_are_made(world: World, path: str) -> None:
    """Nothing waits for the end of the upstream's stream."""
    words = "Hello there, how are you?"
    if path == CHAT:
        world.chat.use(by=world.chat.cut(Chat(words, chunk=5), 3, ("silence",)))
    else:
        world.native.use(by=world.native.cut(Msg([text(words)], chunk=5), 5, ("silence",)))
    async with (
        aiohttp.ClientSession(headers=HEADERS, timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(world.url + path, json=STREAM) as got,
    ):
        assert b"Hello" in await got.content.readuntil(b'"Hello"')
        got.close()


@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
async def test_many_at_once_get_their_own(world: World, path: str) -> None:
    def echo(rec: Recorded) -> Any:
        asked = rec.json["messages"][-1]["content"]
        return Chat(asked * 9, chunk=3) if path == CHAT else Msg([text(asked * 9)], chunk=3)

    (world.chat if path == CHAT else world.native).use(by=echo)

    async def said(word: str) -> str:
        answer = await send(world.url, path, STREAM | {"messages": [{"role": "user", "content": word}]})
        deltas = [event["delta"] for event in answer.events() if event["type"] == "content_block_delta"]
        return "".join(delta["text"] for delta in deltas)

    words = [f"word-{n}" for n in range(30)]
    assert await asyncio.gather(*map(said, words)) == [word * 9 for word in words]


NATIVE_REPLY = Msg([thinking("Hm."), text("Looking."), tool_use("Read", {"file_path": "/a"})], ping=False, chunk=4)
CHAT_REPLY = Chat("Looking.", [Call("Read", {"file_path": "/a"})], reasoning="Hm.", chunk=4)


@pytest.mark.parametrize("then", [(), (("abort",),)], ids=["ends", "is reset"])
@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
@pytest.mark.fault("U-05", "U-06", "U-07")
async def test_a_stream_that_breaks_off(world: World, path: str, writes: int, then: Any) -> None:
    """It ends in an error: an HTTP one while nothing was said, an event later, and never a proper end."""
    if path == CHAT:
        world.chat.use(by=world.chat.cut(CHAT_REPLY, writes, *then))
    else:
        world.native.use(by=world.native.cut(NATIVE_REPLY, writes, *then))
    answer = await send(world.url, path, STREAM | {"tools": TOOLS})
    if answer.status != 200:
        assert answer.status >= 500
        assert answer.error()["type"] in {"api_error", "overloaded_error"}
        return
    assert b"message_stop" not in answer.body
    last = answer.events()[-1]
    assert last["type"] == "error"
    assert last["error"]["type"] in {"api_error", "overloaded_error"}


@pytest.mark.fault("U-06")
async def test_a_native_stream_without_its_last_event(world: World) -> None:
    events = list(NATIVE_REPLY.events("m"))
    world.native.use(Raw([("raw", sse(event)) for event in events[:-1]]))
    answer = await send(world.url, NATIVE, STREAM)
    assert answer.events()[:-1] == events[:-1]
    assert answer.events()[-1]["type"] == "error"


NO_ANSWER = {
    "HTML": Http(200, b"<html><body>It works!</body></html>", {"content-type": "text/html"}),
    "nothing": Http(200, b"", {"content-type": "application/json"}),
    "half an answer": Http(200, b'{"id":"x","choices":[{"mess', {"content-type": "application/json"}),
    "another's answer": Http(200, {"hello": "world"}),
    "a list": Http(200, []),
    "a broken connection": Raw([("abort",)]),
    "an error with status 200": Http(200, {"error": {"message": "Something broke.", "type": "server_error"}}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("reply", NO_ANSWER.values(), ids=NO_ANSWER)
@pytest.mark.parametrize("path", [CHAT, NATIVE], ids=["chat", "native"])
@pytest.mark.fault("U-13", "U-14")
async def test_answers_that_are_none(world: World, path: str, reply: Http | Raw, *, stream: bool) -> None:
    (world.chat if path == CHAT else world.native).use(reply)
    answer = await send(world.url, path, HELLO | {"stream": stream})
    assert answer.status >= 500, answer.body[:300]
    assert answer.error()["type"] in {"api_error", "overloaded_error"}


def openai_error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


OVERFLOW = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 210000 tokens. Please "
    "reduce the length of the messages."
)
RETRY = {"retry-after": "7"}
# upstream's answer → the client's status, error type, wording and headers
ERRORS: dict[str, tuple[Http, int, str, str, dict[str, str]]] = {
    "400": (Http(400, openai_error("Odd.")), 400, "invalid_request_error", "Odd.", {}),
    "too long": (
        Http(400, openai_error(OVERFLOW, "context_length_exceeded")),
        400,
        "invalid_request_error",
        "prompt is too long: 210000 tokens > 128000 maximum",
        {},
    ),
    "401": (Http(401, openai_error("Bad key.")), 401, "authentication_error", "Bad key.", {"x-should-retry": "false"}),
    "402": (Http(402, openai_error("Pay.")), 402, "billing_error", "Pay.", {}),
    "403": (Http(403, openai_error("No.")), 403, "permission_error", "No.", {"x-should-retry": "false"}),
    "404": (Http(404, openai_error("No such model.")), 404, "not_found_error", "No such model.", {}),
    "413": (Http(413, openai_error("Large.")), 413, "request_too_large", "Large.", {}),
    "422": (Http(422, {"detail": [{"loc": ["body", "x"], "msg": "odd"}]}), 400, "invalid_request_error", "odd", {}),
    "429": (Http(429, openai_error("Slow down."), RETRY), 429, "rate_limit_error", "Slow down.", RETRY),
    "429 for want of money": (
        Http(429, openai_error("You exceeded your current quota.", "insufficient_quota")),
        402,
        "billing_error",
        "quota",
        {"x-should-retry": "false"},
    ),
    "500": (Http(500, openai_error("Broken.")), 500, "api_error", "Broken.", {}),
    "502 in HTML": (Http(502, b"<html>Bad gateway</html>", {"content-type": "text/html"}), 502, "api_error", "", {}),
    "503": (Http(503, openai_error("Overloaded.")), 529, "overloaded_error", "Overloaded.", {}),
    "an error without words": (Http(500, b""), 500, "api_error", "500", {}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.fault("U-14", "U-25")
async def test_errors_are_translated(world: World, case: str, *, stream: bool) -> None:
    reply, status, kind, words, headers = ERRORS[case]
    world.chat.use(reply)
    answer = await send(world.url, CHAT, HELLO | {"stream": stream})
    error = answer.error()
    assert (answer.status, error["type"]) == (status, kind)
    assert words in error["message"]
    assert "<html>" not in error["message"]
    assert {name: answer.headers.get(name) for name in headers} == headers


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (404, "not_found_error"), (529, "overloaded_error")]
)
@pytest.mark.fault("U-25")
async def test_native_errors_are_passed_on(world: World, status: int, kind: str, *, stream: bool) -> None:
    told = failure(status, kind, "In the upstream's own words: \u2028.", {"retry-after": "9", "x-should-retry": "true"})
    world.native.use(told)
    answer = await send(world.url, NATIVE, HELLO | {"stream": stream})
    assert (answer.status, answer.json) == (status, told.body)
    assert answer.headers["request-id"] == told.headers["request-id"]
    assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("9", "true")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", [CHAT, NATIVE, "/ollama:m/v1/messages"], ids=["chat", "native", "ollama"])
@pytest.mark.fault("U-01")
async def test_nobody_listens(world: World, proxy: Start, path: str, *, stream: bool) -> None:
    with socket.socket() as held:  # bound but not listening: connections are refused
        held.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{held.getsockname()[1]}"
        places = {"OPENAI_BASE_URL": f"{nowhere}/v1", "ANTHROPIC_API_BASE": nowhere, "OLLAMA_API_BASE": nowhere}
        ours = await proxy(**world.env | places)
        answer = await send(ours.url, path, HELLO | {"stream": stream})
    assert answer.status == 502
    assert answer.error()["type"] == "api_error"


@pytest.mark.fault("U-14")
async def test_an_error_inside_a_native_stream_is_passed_on(world: World) -> None:
    start, *_ = Msg([text("x")]).events("m")
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    sent = sse(start) + sse(error)
    world.native.use(Raw([("raw", sent)]))
    answer = await send(world.url, NATIVE, STREAM)
    assert_told(answer, sent, "overloaded_error")


@pytest.mark.fault("U-14")
async def test_an_error_inside_a_chat_stream_is_told(world: World) -> None:
    broken = b'data: {"error":{"message":"The server is overloaded.","type":"server_error","code":503}}\n\n'
    world.chat.use(by=world.chat.cut(Chat("Hello there", chunk=5), 3, ("raw", broken)))
    answer = await send(world.url, CHAT, STREAM)
    last = answer.events()[-1]
    assert (answer.status, last["type"]) == (200, "error")
    assert "overloaded" in last["error"]["message"].lower()
    assert b"message_stop" not in answer.body


def assert_told(answer: Answer, sent: bytes, kind: str) -> None:
    """As a stream, the same bytes; before anything was said, an HTTP error is as good."""
    if answer.status == 200:
        assert answer.body == sent
    else:
        assert answer.error()["type"] == kind
