"""Every signature comes home to the part that it was issued with, and to no other model and place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, JSON, body, outgoing, replied, sent
from claude_code_proxy.dialects.base import Call
from claude_code_proxy.dialects.gemini import DIALECT
from claude_code_proxy.wire.head import decode_head
from claude_code_proxy.wire.signature import Minted, mint
from gemini_chunks import STOP, chunk, function, piece, sse, text, thought
from grammar import read
from sayings import inputs, words

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = "gemini-3-pro-preview"
STAND_IN = "skip_thought_signature_validator"


def blocks_of(*chunks: dict[str, Any], model: str = MODEL) -> list[dict[str, Any]]:
    """What a client keeps of a streamed reply."""
    return read(replied(DIALECT, [sse(*chunks)], model=model)).blocks


def answered(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A conversation that goes on after these blocks."""
    results = [{"type": "tool_result", "tool_use_id": one["id"], "content": "ok"} for one in blocks if "input" in one]
    after = results or [{"type": "text", "text": "Go on."}]
    return [HI, {"role": "assistant", "content": list(blocks)}, {"role": "user", "content": after}]


def home(blocks: Sequence[dict[str, Any]], model: str = MODEL) -> list[dict[str, Any]]:
    """The model's parts in the next request, without what the client's ids are."""
    [turn] = [
        one for one in sent(DIALECT, body(messages=answered(blocks)), model=model)["contents"] if one["role"] == "model"
    ]
    parts: list[dict[str, Any]] = turn["parts"]
    for part in parts:
        part.get("functionCall", {}).pop("id", None)
    return parts


CALL = function("f", {"a": 1}, signed="s1")
TURNS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("a call", [chunk(CALL)], [CALL]),
    ("calls side by side", [chunk(CALL, function("g", {}))], [CALL, function("g", {})]),
    ("calls with one each", [chunk(CALL), chunk(function("g", {}, signed="s2"))], [CALL, {**function("g", {}), "thoughtSignature": "s2"}]),
    ("a thought, then a call", [chunk(thought("hm")), chunk(CALL)], [CALL]),
    ("a signed thought", [chunk(thought("h")), chunk(thought("m", "s0")), chunk(CALL)], [thought("m", "s0"), CALL]),
    ("an empty thought", [chunk(thought("", "s0")), chunk(CALL)], [thought("", "s0"), CALL]),
    ("text, then a call", [chunk(text("a")), chunk(text("b")), chunk(CALL)], [text("ab"), CALL]),
    ("signed text", [chunk(text("a", "s0")), chunk(CALL)], [text("a", "s0"), CALL]),
    ("signed text after text", [chunk(text("a")), chunk(text("b", "s0")), chunk(text("c")), chunk(CALL)], [text("a"), text("b", "s0"), text("c"), CALL]),
    ("two signed texts", [chunk(text("a", "s0")), chunk(text("b", "s9")), chunk(CALL)], [text("a", "s0"), text("b", "s9"), CALL]),
    ("an empty text", [chunk(text("a")), chunk(text("", "s0")), chunk(CALL)], [text("a"), text("", "s0"), CALL]),
    ("an empty text in between", [chunk(text("a")), chunk(text("", "s0")), chunk(text("b")), chunk(CALL)], [text("a"), text("", "s0"), text("b"), CALL]),
    ("an empty text at the end", [chunk(CALL), chunk(text("", "s0"))], [CALL, text("", "s0")]),
    ("an empty text first", [chunk(text("", "s0")), chunk(text("a"))], [text("", "s0"), text("a")]),
    ("a signature alone", [chunk({"thoughtSignature": "s0"}), chunk(CALL)], [text("", "s0"), CALL]),
    ("text behind a call", [chunk(CALL), chunk(text("b", "s0"))], [CALL, text("b", "s0")]),
    ("a long text behind a call", [chunk(CALL), chunk(text("b")), chunk(text("c", "s0"))], [CALL, text("b"), text("c", "s0")]),
    ("a call in pieces", [chunk(function("f", willContinue=True, signed="s1")), chunk(piece("$.a", 1)), chunk(function())], [CALL]),
    ("a signature on a later piece", [chunk(function("f", willContinue=True)), chunk({**piece("$.a", 1), "thoughtSignature": "s1"}), chunk(function())], [CALL]),
    ("code", [chunk({"executableCode": {"code": "1"}, "thoughtSignature": "s0"}), chunk({"codeExecutionResult": {"output": "1"}}), chunk(CALL)],
     [{"executableCode": {"code": "1"}, "thoughtSignature": "s0"}, {"codeExecutionResult": {"output": "1"}}, CALL]),
    ("a server's own tool", [chunk({"toolCall": {"id": "x"}}), chunk({"toolResponse": {"id": "x"}}), chunk(CALL)], [{"toolCall": {"id": "x"}}, {"toolResponse": {"id": "x"}}, CALL]),
]  # fmt: skip


@pytest.mark.parametrize(("chunks", "expected"), [row[1:] for row in TURNS], ids=[row[0] for row in TURNS])
def test_signatures_come_home(chunks: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert home(blocks_of(*chunks, STOP)) == expected


def test_the_last_block_of_an_answer_is_its_text() -> None:
    """Claude Code shows the last block: what is signed behind it is left there."""
    for ends in ([text("b"), text("", "s")], [text("b"), text("c", "s")]):
        assert blocks_of(*map(chunk, [thought("hm"), *ends]), STOP)[-1]["type"] == "text"
    whole = json.dumps(chunk(text("a", "s"), finish="STOP")).encode()
    blocks = json.loads(replied(DIALECT, [whole], media_type=JSON, stream=False, model=MODEL))["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text"]
    assert home(blocks) == [text("a", "s")]


_signs = st.sampled_from(["", "", "sig"])
_parts = (
    st.builds(text, words, _signs)
    | st.builds(thought, words, _signs)
    | st.builds(lambda args, signed: function("f", args, signed=signed), inputs, _signs)
)


@given(st.lists(_parts, max_size=8))
def test_any_turn_comes_home(parts: list[dict[str, Any]]) -> None:
    parts = [
        {**one, **({"thoughtSignature": f"s{n}"} if "thoughtSignature" in one else {})} for n, one in enumerate(parts)
    ]
    parts.append(function("g", {"z": 1}, signed="end"))
    came = home(blocks_of(*map(chunk, parts), STOP))
    said = [one for one in parts if "functionCall" in one or "thoughtSignature" in one]
    for one in said:
        one.get("functionCall", {}).setdefault("args", {})
    got = [one for one in came if "functionCall" in one or "thoughtSignature" in one]
    first = next(n for n, one in enumerate(got) if "functionCall" in one)
    if got[first].get("thoughtSignature") == STAND_IN:
        del got[first]["thoughtSignature"]
    assert sorted(map(json.dumps, got)) == sorted(map(json.dumps, said))
    texts = [one["text"] for one in parts if "text" in one and "thought" not in one]
    assert "".join(one["text"] for one in came if "text" in one and "thought" not in one) == "".join(texts)
    assert [one for one in came if "functionCall" in one] == [one for one in got if "functionCall" in one]


# -- where they do not belong

SIGNED = blocks_of(chunk(thought("hm", "s0")), chunk(text("a", "s3")), chunk(CALL), STOP)


def signatures_at(model: str = MODEL, base_url: str = "http://up.test/v1", blocks: Any = SIGNED) -> list[str]:
    raw = json.dumps(body(messages=answered(blocks))).encode()
    made = DIALECT.request(Call(decode_head(raw), model, "seed", base_url))
    contents = json.loads(getattr(made, "body"))["contents"]  # noqa: B009
    return [part["thoughtSignature"] for one in contents for part in one["parts"] if "thoughtSignature" in part]


def test_another_model_or_place_gets_the_stand_in() -> None:
    assert signatures_at() == ["s0", "s3", "s1"]
    assert signatures_at("gemini-3-flash-preview") == [STAND_IN]
    assert signatures_at(base_url="https://other.test/v1") == [STAND_IN]
    assert signatures_at("gemini-2.5-pro") == []  # asks for none


FOREIGN: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "hm", "signature": "EqQBCgIYAhIM"},
    {"type": "thinking", "thinking": "hm", "signature": ""},
    {"type": "redacted_thinking", "data": "x"},
    {
        "type": "thinking",
        "thinking": "hm",
        "signature": mint(Minted("openai_chat", MODEL, ["x", {"call": "c1", "sig": "s"}])),
    },
    {"type": "thinking", "thinking": "hm", "signature": mint(Minted("gemini", MODEL))},
]


@pytest.mark.parametrize("block", FOREIGN)
def test_foreign_thinking_is_left_out(block: dict[str, Any]) -> None:
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    parts = home([block, {"type": "text", "text": "a"}, use])
    assert parts == [text("a"), {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": STAND_IN}]


def test_the_stand_in_is_on_the_first_call_of_each_step_only() -> None:
    def step(n: int) -> list[dict[str, Any]]:
        uses = [{"type": "tool_use", "id": f"c{n}{k}", "name": "f", "input": {}} for k in range(2)]
        return answered([{"type": "text", "text": "x"}, *uses])[1:]

    contents = sent(DIALECT, body(messages=[HI, *step(1), *step(2)]), model=MODEL)["contents"]
    signed = [part.get("thoughtSignature") for one in contents for part in one["parts"] if "functionCall" in part]
    assert signed == [STAND_IN, None, STAND_IN, None]


NOTES: list[Any] = [
    {}, {"sig": 7}, {"call": 1, "sig": "s"}, {"next": "x", "sig": "s"}, {"next": -1, "sig": "s"}, {"next": 10**9, "sig": "s", "sum": 1},
    {"last": [0], "sig": "s"}, {"last": ["a", 1], "sig": "s"}, {"last": [-1, 5], "sig": "s"}, {"thought": None, "sig": "s"},
    {"thought": [5, 5], "sig": "s"}, {"next": 1, "part": 7}, {"next": 0, "part": {}}, None, [], "x", {"next": True, "sig": "s"},
]  # fmt: skip


@pytest.mark.parametrize("note", NOTES)
def test_odd_notes_break_nothing(note: Any) -> None:
    from claude_code_proxy.dialects.gemini.signatures import place_of  # noqa: PLC0415

    signature = mint(Minted("gemini", MODEL, [place_of("http://up.test/v1"), note]))
    history = [
        {"type": "text", "text": "before"},
        {"type": "thinking", "thinking": "hm", "signature": signature},
        {"type": "text", "text": "after"},
    ]
    parts = outgoing(DIALECT, body(messages=answered(history)), model=MODEL)
    said = [part for one in json.loads(parts.body)["contents"] if one["role"] == "model" for part in one["parts"]]
    assert "".join(part.get("text", "") for part in said if "thought" not in part) == "beforeafter"


def test_notes_for_one_text_from_two_blocks() -> None:
    from claude_code_proxy.dialects.gemini import signatures as notes  # noqa: PLC0415

    place = notes.place_of("http://up.test/v1")
    blocks = [
        {
            "type": "thinking",
            "thinking": "",
            "signature": notes.minted(MODEL, place, [notes.of_next("a", {"sig": "s1"})]),
        },
        {"type": "text", "text": "abc"},
        {
            "type": "thinking",
            "thinking": "",
            "signature": notes.minted(MODEL, place, [notes.of_last(1, "b", {"sig": "s2"})]),
        },
        {
            "type": "thinking",
            "thinking": "",
            "signature": notes.minted(MODEL, place, [notes.of_last(2, "c", {"sig": "s3"})]),
        },
    ]
    assert home(blocks) == [text("a", "s1"), text("b", "s2"), text("c", "s3")]


def test_a_text_that_the_client_changed_keeps_its_words() -> None:
    blocks = blocks_of(chunk(text("hello", "s0")), chunk(CALL), STOP)
    changed = [{**block, "text": "changed"} if block["type"] == "text" else block for block in blocks]
    assert home(changed) == [text("changed"), text("", "s0"), CALL]
    gone = [block for block in blocks if block["type"] != "text"]
    assert home(gone) == [CALL, text("", "s0")]
