"""Shapes: no words, and everything else as it was."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recordings
from calls import replied
from claude_code_proxy.dialects import DIALECTS as DIALECTS_OF_OURS
from claude_code_proxy.dialects.event_stream import EventStream
from claude_code_proxy.ledger.shape import AMAZON, shaped
from faults.replies import DIALECTS, calling
from frames import frame
from machines import cut, cuts

WORD = "quokka"

if TYPE_CHECKING:
    from pathlib import Path

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def skeleton(value: Any) -> Any:
    """A value with the lengths of its texts in place of them."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return [skeleton(one) for one in value]
    if isinstance(value, dict):
        return {name: skeleton(one) for name, one in value.items()}
    return value


@given(value=values, plain=st.booleans())
def test_json_stays_what_it_was(value: Any, plain: bool) -> None:  # noqa: FBT001
    try:
        data = json.dumps(value, ensure_ascii=plain).encode()
    except UnicodeEncodeError:
        data = json.dumps(value).encode()
    out = shaped(data)
    assert len(out) == len(data)
    assert skeleton(json.loads(out)) == skeleton(json.loads(data))
    assert shaped(out) == out


@given(data=st.binary(max_size=300))
def test_anything_is_as_long_as_it_was(data: bytes) -> None:
    assert len(shaped(data)) == len(data)
    assert len(shaped(data, AMAZON)) == len(data)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(at=cuts(4000))
def test_a_piece_of_an_answer_has_no_words(dialect: str, at: list[int]) -> None:
    data = calling(dialect, stream=True).body
    for piece in cut(data, at):
        out = shaped(piece)
        assert len(out) == len(piece)
        whole = b"alpha-" not in piece and b"bravo-" not in piece
        assert whole or (b"alpha-" not in out and b"bravo-" not in out)


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_arguments_in_pieces_are_still_json(size: int) -> None:
    arguments = json.dumps({"path": f'/{WORD}/"x"', "lines": [1, 22], "all": True, "of": {"a": WORD, "b": None}})
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    events = [{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": p}}]}}]} for p in pieces]
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    out = shaped(data)
    lines = [json.loads(line.removeprefix(b"data: ")) for line in out.splitlines() if line]
    said = "".join(line["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for line in lines)
    assert WORD not in said
    assert skeleton(json.loads(said)) == skeleton(json.loads(arguments))
    assert [len(piece) for piece in pieces] == [
        len(line["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]) for line in lines
    ]


RECORDED = {"openai-responses": "openai_responses", "gemini": "gemini", "anthropic": "anthropic"}
STREAMS = [
    *(pytest.param("openai_chat", *param.values, id=str(param.id)) for param in recordings.STREAMS),
    *(
        pytest.param(dialect, file, id=file.name)
        for folder, dialect in RECORDED.items()
        for file in sorted((recordings.RECORDINGS / folder).glob("*.chunks.txt"))
    ),
]
UNSIGNED = re.compile(rb'(?<="signature":")[^"]*')


@recordings.NEEDED
@pytest.mark.parametrize(("dialect", "file"), STREAMS)
def test_what_was_really_sent_is_read_the_same_without_its_words(dialect: str, file: Path) -> None:
    data = file.read_bytes() if file.suffix == ".sse" else recordings.framed(file)
    real, bare = (replied(DIALECTS_OF_OURS[dialect], [one]) for one in (data, shaped(data)))
    assert UNSIGNED.sub(b"", shaped(bare)) == UNSIGNED.sub(b"", shaped(real))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_json_in_another_encoding_is_as_long_as_it_was(encoding: str) -> None:
    data = json.dumps({"é": "é quokka"}, ensure_ascii=False).encode(encoding)
    out = shaped(data)
    assert len(out) == len(data)
    assert WORD.encode() not in out


def test_what_is_nested_deeply_has_no_words_either() -> None:
    data = b"[" * 100_000 + b'"quokka"' + b"]" * 100_000
    assert shaped(data) == data.replace(b"quokka", b"xxxxxx")


KEPT: dict[str, Any] = {
    "a tool": {"tools": [{"name": WORD, "input_schema": {"type": "object", "properties": {WORD: {"enum": [WORD]}}}}]},
    "a model": {"model": WORD},
    "an id": {"content": [{"type": "tool_use", "id": WORD, "name": WORD}]},
    "a function": {"tools": [{"type": "function", "function": {"name": WORD, "parameters": {"required": [WORD]}}}]},
    "a reason": {"choices": [{"finish_reason": WORD}]},
}
HIDDEN: dict[str, Any] = {
    "a text": {"messages": [{"role": "user", "content": WORD}]},
    "a tool's description": {"tools": [{"name": "x", "description": WORD}]},
    "a description in a schema": {"tools": [{"input_schema": {"properties": {"a": {"description": WORD}}}}]},
    "an input": {"content": [{"type": "tool_use", "input": {"name": WORD, "type": WORD, "id": [WORD]}}]},
    "arguments": {"parts": [{"functionCall": {"name": "x", "args": {"name": WORD}}}]},
    "a response": {"parts": [{"functionResponse": {"name": WORD, "response": {"status": WORD}}}]},
    "input of Responses": {"input": [{"type": "message", "content": [{"type": "input_text", "text": WORD}]}]},
    "a user": {"metadata": {"user_id": WORD}},
    "an error": {"error": {"message": WORD, "type": "x"}},
    "a signature": {"content": [{"type": "thinking", "signature": WORD}]},
}


@pytest.mark.parametrize("what", KEPT)
def test_what_is_kept(what: str) -> None:
    data = json.dumps(KEPT[what]).encode()
    assert shaped(data) == data


@pytest.mark.parametrize("what", HIDDEN)
def test_what_is_hidden(what: str) -> None:
    assert WORD not in shaped(json.dumps(HIDDEN[what]).encode()).decode()


@pytest.mark.parametrize(
    "data", [f"<html>{WORD}</html>", f'data: {{"a": "{WORD}', f"event: x\ndata: {WORD}\n\n: {WORD}\n"]
)
def test_what_is_no_json_has_no_words_either(data: str) -> None:
    assert shaped(data.encode()).decode().replace("event: x", "").count(WORD) == 0


def test_frames_of_amazons() -> None:
    """Their events have no words, and their checksums are right."""
    frames = [
        frame(
            {":message-type": "event", ":event-type": "chunk"},
            json.dumps({"bytes": b64encode(event).decode()}).encode(),
        )
        for event in (
            b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"The quo"}}',
            b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"kka. 42"}}',
        )
    ]
    wrong = frame({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"quokka"}')
    data = b"".join([*frames, wrong])
    machine = EventStream()
    told = b"".join(machine.feed(shaped(data + frames[0][:50], AMAZON)))
    assert b'"text":"xxx xxx"' in told
    assert b'"text":"xxx. 11"' in told
    assert b"xxxxxx" in told
    assert WORD.encode() not in told
    assert len(shaped(data, AMAZON)) == len(data)
