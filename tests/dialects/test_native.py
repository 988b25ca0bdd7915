"""Anthropic-shaped streams and messages that are not well-formed: what the client gets of them is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import JSON, SSE, body, call, replied
from claude_code_proxy.dialects.anthropic import DIALECT
from claude_code_proxy.dialects.base import Answer, Outgoing
from claude_code_proxy.dialects.native import NativeDecoder
from claude_code_proxy.wire.encoder import Encoder
from claude_code_proxy.wire.events import Block, Stop, ToolArgs, ToolCall
from claude_code_proxy.wire.watch import Watch
from grammar import Read, read
from machines import cut, cuts, fed, ways
from sayings import Saying, sayings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MENDED = {"native": "mended"}
Event = dict[str, Any]


def sse(*events: Event, named: bool = True) -> bytes:
    lines = ((f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events)
    return "".join(lines).encode()


def start(index: int | None, **block: Any) -> Event:
    at = {} if index is None else {"index": index}
    return {"type": "content_block_start", **at, "content_block": block}


def delta(index: int | None, kind: str, **fields: Any) -> Event:
    at = {} if index is None else {"index": index}
    return {"type": "content_block_delta", **at, "delta": {"type": f"{kind}_delta", **fields}}


def stop(index: int | None) -> Event:
    return {"type": "content_block_stop"} | ({} if index is None else {"index": index})


def message(**usage: int) -> Event:
    return {
        "type": "message_start",
        "message": {
            "id": "chatcmpl-1", "type": "message", "role": "assistant", "content": [], "model": "m",
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        },
    }  # fmt: skip


def ended(reason: Any = "end_turn", sequence: str | None = None, **usage: int) -> list[Event]:
    told = {"stop_reason": reason, "stop_sequence": sequence}
    return [{"type": "message_delta", "delta": told, "usage": usage}, {"type": "message_stop"}]


LLAMACPP = sse(
    message(cache_read_input_tokens=1, input_tokens=178, output_tokens=0),
    start(0, type="thinking", thinking=""),
    delta(0, "thinking", thinking="I need"),
    delta(0, "thinking", thinking=" the tool."),
    start(1, type="text", text=""),
    delta(1, "text", text="Let"),
    delta(1, "text", text=" me."),
    start(2, type="tool_use", id="sxlI", name="get_weather"),
    delta(2, "input_json", partial_json="{"),
    delta(2, "input_json", partial_json='"city":"Paris"}'),
    start(3, type="tool_use", id="abcd", name="get_time"),
    delta(3, "input_json", partial_json="{}"),
    delta(0, "signature", signature=""),
    *(stop(index) for index in range(4)),
    *ended("tool_use", output_tokens=30),
)
OLLAMA = sse(
    {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "usage": {"input_tokens": 9, "output_tokens": 0},
    }},
    start(0, type="thinking", thinking=""),
    delta(0, "thinking", thinking="Hm."),
    stop(0),
    start(1, type="tool_use", id="call_1", name="f", input={}),
    delta(1, "input_json", partial_json='{"a":1}'),
    stop(1),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"input_tokens": 7, "output_tokens": 5}},
    {"type": "message_stop"},
)  # fmt: skip


def mended(stream: bytes) -> Read:
    """What the client reads, which is the same however the stream is cut."""
    first, *others = (replied(DIALECT, pieces, quirks=MENDED) for pieces in ways(stream))
    for other in others:
        assert other == first
    return read(first)


def test_blocks_that_overlap_are_told_one_after_the_other() -> None:
    told = mended(LLAMACPP)
    assert told.blocks == [
        {"type": "thinking", "thinking": "I need the tool.", "signature": ""},
        {"type": "text", "text": "Let me."},
        {"type": "tool_use", "id": "sxlI", "name": "get_weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "abcd", "name": "get_time", "input": {}},
    ]
    assert told.stop_reason == "tool_use"
    assert (told.usage["input_tokens"], told.usage["cache_read_input_tokens"]) == (178, 1)
    assert told.usage["output_tokens"] == 30


def test_each_piece_is_told_when_it_comes() -> None:
    asked = call(body(stream=True), quirks=MENDED)
    machine = DIALECT.reply(asked, Outgoing("", b""), Answer(200, {"content-type": SSE}), Watch())
    told = [b"".join(machine.feed(event + b"\n\n")) for event in LLAMACPP.split(b"\n\n")]
    assert b"I need" in told[2]
    assert b"Let" in told[5]
    assert b"Paris" in told[9]


def test_what_ollama_sends_is_understood_as_well() -> None:
    told = mended(OLLAMA)
    assert (told.thinking, told.calls, told.stop_reason) == ("Hm.", [("f", {"a": 1})], "tool_use")
    assert (told.usage["input_tokens"], told.usage["output_tokens"]) == (7, 5)


@pytest.mark.parametrize("stream", [LLAMACPP, OLLAMA], ids=["llama.cpp", "Ollama"])
def test_a_stream_cut_at_any_byte_is_an_error(stream: bytes) -> None:
    whole = stream.index(b'{"type": "message_stop"}') + len(b'{"type": "message_stop"}')
    for at in range(whole):
        watch = Watch()
        told = read(replied(DIALECT, [stream[:at]], quirks=MENDED, watch=watch), unfinished=True)
        assert watch.failed
        assert not told.ended
        assert bool(told.error) is watch.started
    assert mended(stream[:whole]).ended


ODD: dict[str, tuple[list[Event], Callable[[Read], object], object]] = {
    "a block whose first piece is in its start": (
        [start(0, type="text", text="Hel"), delta(0, "text", text="lo")], lambda told: told.text, "Hello"),
    "thinking whose first piece is in its start": (
        [start(0, type="thinking", thinking="a", signature="s"), stop(0)],
        lambda told: told.blocks, [{"type": "thinking", "thinking": "a", "signature": "s"}]),
    "an input in the start": (
        [start(0, type="tool_use", id="a", name="f", input={"x": 1}), stop(0)], lambda told: told.calls, [("f", {"x": 1})]),
    "an input in the start and in deltas": (
        [start(0, type="tool_use", id="a", name="f", input={"x": 1}), delta(0, "input_json", partial_json='{"y":2}')],
        lambda told: told.calls, [("f", {"y": 2})]),
    "an input that is null": (
        [start(0, type="tool_use", id="a", name="f", input=None)], lambda told: told.calls, [("f", {})]),
    "calls without an id": (
        [start(0, type="tool_use", name="f"), start(1, type="tool_use", id="", name="g")],
        lambda told: len({block["id"] for block in told.blocks}), 2),
    "an id twice": (
        [start(0, type="tool_use", id="a", name="f"), start(1, type="tool_use", id="a", name="g")],
        lambda told: len({block["id"] for block in told.blocks}), 2),
    "gaps between the indexes": (
        [start(3, type="text", text=""), delta(3, "text", text="a"), start(7, type="tool_use", id="a", name="f")],
        lambda told: (told.text, told.calls), ("a", [("f", {})])),
    "the same index for all": (
        [start(0, type="text", text=""), delta(0, "text", text="a"), stop(0), start(0, type="tool_use", id="a", name="f"),
         delta(0, "input_json", partial_json='{"x":'), delta(0, "input_json", partial_json="1}"), stop(0)],
        lambda told: (told.text, told.calls), ("a", [("f", {"x": 1})])),
    "no index at all": (
        [start(None, type="text", text=""), delta(None, "text", text="a"), stop(None)], lambda told: told.text, "a"),
    "text without a start": ([delta(0, "text", text="a"), delta(0, "text", text="b")], lambda told: told.text, "ab"),
    "arguments without a start": ([delta(0, "input_json", partial_json="{}")], lambda told: told.blocks, []),
    "calls that alternate": (
        [start(0, type="tool_use", id="a", name="f"), start(1, type="tool_use", id="b", name="g"),
         delta(1, "input_json", partial_json='{"y":'), delta(0, "input_json", partial_json='{"x":1}'),
         delta(1, "input_json", partial_json="2}")],
        lambda told: told.calls, [("f", {"x": 1}), ("g", {"y": 2})]),
    "a signature in its place": (
        [start(0, type="thinking", thinking=""), delta(0, "thinking", thinking="a"), delta(0, "signature", signature="s")],
        lambda told: told.blocks, [{"type": "thinking", "thinking": "a", "signature": "s"}]),
    "a signature that comes too late": (
        [start(0, type="thinking", thinking=""), delta(0, "thinking", thinking="a"), start(1, type="text", text=""),
         delta(1, "text", text="b"), delta(0, "signature", signature="s")],
        lambda told: told.blocks, [{"type": "thinking", "thinking": "a", "signature": ""}, {"type": "text", "text": "b"}]),
    "a block that passes as it is": (
        [start(0, type="redacted_thinking", data="x")], lambda told: told.blocks, [{"type": "redacted_thinking", "data": "x"}]),
    "a server's call in pieces": (
        [start(0, type="server_tool_use", id="s", name="web_search", input={}), delta(0, "input_json", partial_json='{"q":'),
         delta(0, "input_json", partial_json='"x"}'), stop(0)],
        lambda told: told.blocks, [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}]),
    "text that is null": (
        [start(0, type="text", text=None), delta(0, "text", text=None), delta(0, "text", text="a")], lambda told: told.text, "a"),
    "events and deltas that are newer": (
        [{"type": "unheard_of", "x": 1}, start(0, type="text", text=""), delta(0, "unheard_of", x=1), delta(0, "text", text="a")],
        lambda told: told.text, "a"),
    "half a character at a time": (
        [start(0, type="text", text=""), delta(0, "text", text="\ud83d"), delta(0, "text", text="\ude00!")],
        lambda told: told.text, "\U0001f600!"),
    "half a character in a name": (
        [start(0, type="tool_use", id="a", name="f\ud83d")], lambda told: told.calls, [("f\ufffd", {})]),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_deviations(case: str) -> None:
    events, view, expected = ODD[case]
    assert view(mended(sse(message(input_tokens=1), *events, *ended(output_tokens=2)))) == expected


def test_nothing_depends_on_the_names_of_events() -> None:
    events = [message(), start(0, type="text", text=""), delta(0, "text", text="a"), *ended()]
    assert mended(sse(*events, named=False) + b"data: [DONE]\n\n").text == "a"
    assert mended(b": waiting\n\n:\n\n" + sse(*events).replace(b"\n", b"\r\n")).text == "a"


ENDS: list[tuple[list[Event], tuple[str, str | None]]] = [
    (ended("end_turn", "Paris"), ("stop_sequence", "Paris")),
    (ended("stop_sequence", "X"), ("stop_sequence", "X")),
    (ended("stop_sequence", "X\ud83d"), ("stop_sequence", "X\ufffd")),
    (ended("max_tokens"), ("max_tokens", None)),
    (ended("tool_use"), ("end_turn", None)),
    (ended(None), ("end_turn", None)),
    (ended(""), ("end_turn", None)),
    ([{"type": "message_delta", "delta": {}, "usage": None}, {"type": "message_stop"}], ("end_turn", None)),
    ([{"type": "message_stop"}], ("end_turn", None)),
]


@pytest.mark.parametrize(("end", "expected"), ENDS)
def test_how_a_reply_ends(end: list[Event], expected: tuple[str, str | None]) -> None:
    told = mended(sse(message(), start(0, type="text", text="a"), *end))
    assert (told.stop_reason, told.stop_sequence) == expected


def test_zeros_at_the_end_do_not_hide_the_counts_at_the_start() -> None:
    told = mended(sse(message(input_tokens=9, output_tokens=1), *ended(input_tokens=0, output_tokens=3)))
    assert (told.usage["input_tokens"], told.usage["output_tokens"]) == (9, 3)


LLAMACPP_ERROR = {"code": 500, "message": "Compute error.", "type": "server_error"}
TOO_LONG = {
    "code": 400,
    "message": "request (6012 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 6012,
    "n_ctx": 4096,
}
ERRORS: list[tuple[Event, str, str]] = [
    (LLAMACPP_ERROR, "api_error", "Compute error."),
    ({"error": LLAMACPP_ERROR}, "api_error", "Compute error."),
    ({"error": "out of memory"}, "api_error", "out of memory"),
    ({"code": 503, "message": "Loading model", "type": "unavailable_error"}, "overloaded_error", "Loading model"),
    (TOO_LONG, "invalid_request_error", "prompt is too long: 6012 tokens > 4096 maximum"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "overloaded_error", "busy"),
    ({"type": "error"}, "api_error", "without saying which"),
    ({"code": True, "message": "odd", "type": []}, "api_error", "odd"),
]


@pytest.mark.parametrize(("error", "kind", "words"), ERRORS)
def test_an_error_inside_a_stream_is_told_in_anthropics_words(error: Event, kind: str, words: str) -> None:
    said = sse(message(), start(0, type="text", text=""), delta(0, "text", text="a"))
    told = mended(said + b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n")
    assert told.error
    assert told.error["type"] == kind
    assert words in told.error["message"]
    watch = Watch()
    before = b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    assert replied(DIALECT, [sse(message()) + before], quirks=MENDED, watch=watch) == b""
    assert watch.failed
    assert watch.failed.type == kind


HTTP_ERRORS: list[tuple[int, Event, int, str, str]] = [
    (500, {"code": 500, "message": "'messages' is required", "type": "server_error"}, 500, "api_error", "is required"),
    (400, {"code": 400, "message": "bad JSON", "type": "invalid_request_error"}, 400, "invalid_request_error", "bad"),
    (400, TOO_LONG, 400, "invalid_request_error", "prompt is too long: 6012 tokens > 4096 maximum"),
    (
        401,
        {"message": "Invalid API Key", "type": "authentication_error", "code": 401},
        401,
        "authentication_error",
        "Key",
    ),
    (503, {"code": 503, "message": "Loading model", "type": "unavailable_error"}, 529, "overloaded_error", "Loading"),
    (404, {"code": 404, "message": "File Not Found", "type": "not_found_error"}, 404, "not_found_error", "Not Found"),
]


@pytest.mark.parametrize(("status", "error", "answered", "kind", "words"), HTTP_ERRORS)
def test_errors_of_llama_cpp_keep_what_they_mean(
    status: int, error: Event, answered: int, kind: str, words: str
) -> None:
    told = DIALECT.failure(call(body(), quirks=MENDED), Answer(status), json.dumps({"error": error}).encode())
    assert (told.status, told.type) == (answered, kind)
    assert words in told.message


def test_what_is_no_json_in_the_middle_is_an_error() -> None:
    said = sse(message(), start(0, type="text", text="a"))
    for junk in (b"data: {nonsense\n\n", b"data: [1]\n\n", b'data: "x"\n\n'):
        told = mended(said + junk + sse(*ended()))
        assert told.error


@given(sayings(), st.booleans())
def test_any_reply_whose_blocks_overlap_is_told_whole(saying: Saying, at_the_end: bool) -> None:  # noqa: FBT001
    told = read(replied(DIALECT, [sse(*overlapping(saying, at_the_end=at_the_end))], quirks=MENDED), unfinished=True)
    assert told.ended
    assert [block for block in told.blocks if block["type"] not in {"text", "thinking"}] == [
        block for block in saying.blocks if block["type"] not in {"text", "thinking"}
    ]
    for kind in ("text", "thinking"):
        assert getattr(told, kind) == "".join(block[kind] for block in saying.blocks if block["type"] == kind)


def overlapping(saying: Saying, *, at_the_end: bool) -> Iterable[Event]:
    """The blocks of a saying as llama.cpp would write them; `at_the_end`: calls too are fed round by round."""
    yield message(input_tokens=1)
    rounds: list[list[Event]] = []
    for index, block in enumerate(saying.blocks):
        match block["type"]:
            case "text" | "thinking" as kind:
                yield start(index, type=kind)
                yield from (delta(index, kind, **{kind: char}) for char in block[kind])
            case "tool_use":
                yield start(index, type="tool_use", id=block["id"], name=block["name"])
                args = json.dumps(block["input"])
                pieces = [delta(index, "input_json", partial_json=args[at : at + 3]) for at in range(0, len(args), 3)]
                if at_the_end:
                    rounds.append(pieces)
                else:
                    yield from pieces
            case _:
                yield start(index, **block)
                yield stop(index)
    while rounds:
        yield from (pieces.pop(0) for pieces in rounds)
        rounds = [pieces for pieces in rounds if pieces]
    yield from (stop(index) for index in range(len(saying.blocks)))
    yield from ended(output_tokens=1)


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 50), cuts())
def test_damage_raises_nothing_and_keeps_the_grammar(junk: bytes, at: int, gone: int, edges: list[int]) -> None:
    at %= len(LLAMACPP)
    stream = LLAMACPP[:at] + junk + LLAMACPP[at + gone :]
    watch = Watch()
    told = read(replied(DIALECT, cut(stream, edges), quirks=MENDED, watch=watch), unfinished=True)
    assert watch.over
    assert told.ended is (watch.stop is not None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.text(max_size=5) | st.sampled_from(["text", "tool_use", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_BLOCKS = st.dictionaries(
    st.sampled_from(["type", "id", "name", "input", "text", "thinking", "signature"]), _JSON, max_size=5
)
_DELTAS = st.dictionaries(
    st.sampled_from(["type", "text", "partial_json", "signature", "stop_reason", "stop_sequence"]),
    _JSON | st.sampled_from(["text_delta", "input_json_delta", "signature_delta", "thinking_delta"]),
    max_size=4,
)
_EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"],
        ),
    },
    optional={
        "index": _JSON,
        "content_block": _BLOCKS | _JSON,
        "delta": _DELTAS | _JSON,
        "usage": _JSON,
        "message": _JSON,
    },
)


@given(st.lists(_EVENTS, max_size=12))
def test_fields_of_any_shape_raise_nothing(events: list[Event]) -> None:
    watch = Watch()
    said = [
        *NativeDecoder("s").feed(b""),
        *fed(NativeDecoder("s"), [json.dumps(e).encode() for e in [*events, *ended()]]),
    ]
    # A block whose type is not of the protocol passes as it is, and its fields are the server's business.
    encoder = Encoder("msg_1", "m", watch)
    told = b"".join(fed(encoder, [event for event in said if not isinstance(event, Block)]))
    assert watch.over
    if isinstance(said[-1], Stop) and all(event.name for event in said if isinstance(event, ToolCall)):
        assert read(told, unfinished=True).ended


def test_calls_are_told_apart_by_their_own_keys() -> None:
    events = [start(0, type="tool_use", id="a", name="f"), start(0, type="tool_use", id="b", name="g")]
    said = fed(NativeDecoder("s"), [json.dumps(event).encode() for event in [*events, *ended()]])
    assert [event.key for event in said if isinstance(event, ToolCall)] == [1, 2]
    assert [event.key for event in said if isinstance(event, ToolArgs)] == [1, 2]


# -- whole messages

WHOLE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "a"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 2},
}  # fmt: skip


def whole(**fields: Any) -> bytes:
    """A message with these fields; one that is ... is left out."""
    return json.dumps({name: value for name, value in {**WHOLE, **fields}.items() if value is not ...}).encode()


def answered(sent: bytes, **how: Any) -> Any:
    first, *others = (replied(DIALECT, pieces, stream=False, media_type=JSON, **how) for pieces in ways(sent))
    for other in others:
        assert other == first
    return json.loads(first)


PASS: list[dict[str, Any]] = [
    {},
    {"stop_reason": "unheard_of", "unheard_of": [1.50, 10**30]},
    {"content": []},
    {"content": [{"type": "unheard_of"}, {"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
    {"stop_reason": "stop_sequence", "stop_sequence": "X"},
    {"stop_sequence": ...},
    {"content": [{"type": "thinking", "thinking": "t"}]},
]


@pytest.mark.parametrize("fields", PASS)
def test_a_well_formed_message_passes_byte_for_byte(fields: dict[str, Any]) -> None:
    sent = whole(**fields).replace(b", ", b" ,\n ")
    for quirks in (MENDED, {}):
        assert replied(DIALECT, [sent], stream=False, media_type=JSON, quirks=quirks) == sent


LACKING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"content": None}, {"content": []}),
    ({"content": "a"}, {"content": [{"type": "text", "text": "a"}]}),
    ({"content": None, "stop_sequence": ...}, {"content": []}),
    ({"id": ..., "type": ..., "role": ..., "model": ...}, {"id": "msg_seed", "model": "some-model"}),
    ({"stop_reason": ...}, {}),
    ({"stop_reason": None}, {}),
    ({"stop_sequence": "X"}, {"stop_reason": "stop_sequence", "stop_sequence": "X"}),
    (
        {"content": [{"type": "tool_use", "id": "a", "name": "f"}], "stop_reason": ...},
        {"content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}], "stop_reason": "tool_use"},
    ),
    ({"content": None, "x": 10**30}, {"content": [], "x": 10**30}),
]


@pytest.mark.parametrize(("fields", "changes"), LACKING)
def test_what_a_message_lacks_is_added(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    assert answered(whole(**fields)) == {**WHOLE, **changes}


def test_a_message_without_usage_gets_one() -> None:
    for fields in ({"usage": ...}, {"usage": None}):
        usage = answered(whole(**fields))["usage"]
        assert (usage["input_tokens"], usage["output_tokens"]) == (0, 0)


def test_a_model_that_stands_in_for_another_is_not_shown() -> None:
    named = 'say "model":"x-ctx1" and {\\"model\\":\\"x-ctx1\\"}'
    stream = OLLAMA.replace(b'"model": "m"', b'"model":"x-ctx1"').replace(b"Hm.", json.dumps(named)[1:-1].encode())
    asked = call(body(stream=True), model="x-ctx1", shown="x")
    for pieces in ways(stream):
        machine = DIALECT.reply(asked, Outgoing("", b""), Answer(200, {"content-type": SSE}), Watch())
        assert b"".join(fed(machine, pieces)) == stream.replace(b'"model":"x-ctx1"', b'"model":"x"', 1)
    asked = call(body(), model="x-ctx1", shown="x")
    sent = whole(model="x-ctx1", content=[{"type": "text", "text": named}])
    for pieces in ways(sent):
        machine = DIALECT.reply(asked, Outgoing("", b""), Answer(200, {"content-type": JSON}), Watch())
        assert b"".join(fed(machine, pieces)) == sent.replace(b'"model": "x-ctx1"', b'"model": "x"', 1)


@given(st.binary(max_size=300), st.sampled_from(["", "x"]), cuts(300))
def test_bytes_that_name_no_model_pass_as_they_are(junk: bytes, shown: str, edges: list[int]) -> None:
    streamed = [replied(DIALECT, cut(OLLAMA + junk, edges), model="x-ctx1", shown=name) for name in (shown, "")]
    assert streamed[0] == streamed[1]


@pytest.mark.parametrize("code", [429, "429"])
def test_the_code_of_an_error_may_be_a_text(code: Any) -> None:
    watch = Watch()
    replied(
        DIALECT,
        [sse(message()), sse({"error": {"message": "slow down", "code": code}}, named=False)],
        quirks=MENDED,
        watch=watch,
    )
    assert watch.failed
    assert (watch.failed.type, watch.failed.status) == ("rate_limit_error", 429)
