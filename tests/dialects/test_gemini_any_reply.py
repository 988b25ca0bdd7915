from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from calls import replied
from claude_code_proxy.dialects.gemini import DIALECT
from claude_code_proxy.wire.watch import Watch
from damage import assert_cut_is_told, assert_tail_may_lack, of_any_bytes, of_damage
from gemini_chunks import STOP, USAGE, chunk, client_gets, function, piece, sse, text, thought
from grammar import read
from machines import cut, cuts
from sayings import inputs, words

_signs = st.sampled_from(["", "sig"])
_parts = (
    st.builds(text, words, _signs)
    | st.builds(thought, words, _signs)
    | st.builds(lambda args, signed: function("f", args, signed=signed), inputs, _signs)
)


@given(st.lists(st.lists(_parts, max_size=3), max_size=8), cuts(3000))
def test_all_that_is_said_arrives_whole_wherever_it_is_cut(chunks: list[list[dict[str, Any]]], at: list[int]) -> None:
    told = read(replied(DIALECT, cut(sse(*(chunk(*parts) for parts in chunks), {**STOP, **USAGE}), at)))
    parts = [part for some in chunks for part in some]
    assert told.text == "".join(part["text"] for part in parts if "text" in part and "thought" not in part)
    assert told.thinking == "".join(part["text"] for part in parts if "thought" in part)
    assert told.calls == [("f", part["functionCall"].get("args", {})) for part in parts if "functionCall" in part]
    assert told.stop_reason == ("tool_use" if told.calls else "end_turn")


_keys = st.text("abc", min_size=1, max_size=3)
_leaves = st.text(max_size=6) | st.integers(-9, 9) | st.booleans() | st.none()
_trees = st.dictionaries(
    _keys,
    st.recursive(_leaves, lambda one: st.lists(one, min_size=1, max_size=3) | st.dictionaries(_keys, one, min_size=1, max_size=3), max_leaves=6),
    min_size=1,
    max_size=3,
)  # fmt: skip


def pieces_of(value: Any, path: str, cut_at: int) -> list[dict[str, Any]]:
    """A value as Vertex AI streams it: each leaf with its path, texts in two pieces and an end."""
    if isinstance(value, dict):
        return [one for name, inner in value.items() for one in pieces_of(inner, f"{path}.{name}", cut_at)]
    if isinstance(value, list):
        return [one for n, inner in enumerate(value) for one in pieces_of(inner, f"{path}[{n}]", cut_at)]
    if isinstance(value, str):
        halves = [piece(path, value[:cut_at], goes_on=True), piece(path, value[cut_at:], goes_on=True)]
        return [*halves, piece(path, "")]
    return [piece(path, value)]


@given(st.lists(_trees, min_size=1, max_size=3), st.integers(0, 6), st.booleans())
def test_arguments_in_pieces_are_whole_again(trees: list[dict[str, Any]], cut_at: int, ends: bool) -> None:  # noqa: FBT001
    parts: list[dict[str, Any]] = []
    for tree in trees:
        parts += [function("f", willContinue=True), *pieces_of(tree, "$", cut_at), *([function()] if ends else [])]
    told = read(replied(DIALECT, [sse(*map(chunk, parts), STOP)]))
    assert told.calls == [("f", tree) for tree in trees]


RECORDED = sse(
    chunk(thought("thé\u2028 ")),
    chunk(text("a😀", "s0")),
    chunk(function("f", {"a": 1}, signed="s1")),
    chunk(function("g", willContinue=True)),
    chunk(piece("$.b", "}", goes_on=True)),
    chunk(piece("$.b", "")),
    chunk(function()),
    STOP,
    USAGE,
)
FINISHED = RECORDED.index(b'"STOP"')


def test_a_stream_that_is_cut_anywhere_never_ends_well_before_it_said_so() -> None:
    assert_cut_is_told(DIALECT, RECORDED, FINISHED)


def test_a_reply_that_said_why_it_ends_is_whole_however_its_tail_is_cut() -> None:
    assert_tail_may_lack(DIALECT, RECORDED, FINISHED)


test_any_bytes_make_a_stream_or_a_failure = of_any_bytes(DIALECT)
test_damage_makes_a_stream_or_a_failure = of_damage(DIALECT, RECORDED)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
_PART = ("candidates", 0, "content", "parts", 0)
PLACES = [(), ("candidates",), ("candidates", 0), ("candidates", 0, "content"), ("candidates", 0, "finishReason"), ("candidates", 0, "index"),
          ("candidates", 0, "finishMessage"), _PART,
          *((*_PART, name) for name in ("text", "thought", "thoughtSignature", "functionCall", "executableCode", "codeExecutionResult", "inlineData", "fileData", "toolCall")),
          *((*_PART, "functionCall", *rest) for rest in (("name",), ("id",), ("args",), ("partialArgs",), ("partialArgs", 0), ("partialArgs", 0, "jsonPath"), ("willContinue",))),
          *((*_PART, "inlineData", name) for name in ("data", "mimeType")), (*_PART, "executableCode", "code"), (*_PART, "codeExecutionResult", "output"),
          *(("candidates", 0, "groundingMetadata", *rest) for rest in ((), ("groundingChunks",), ("groundingChunks", 0), ("groundingChunks", 0, "web"), ("groundingChunks", 0, "web", "uri"),
            ("groundingSupports",), ("groundingSupports", 0, "segment", "endIndex"), ("groundingSupports", 0, "groundingChunkIndices"), ("webSearchQueries",))),
          ("error",), ("error", "code"), ("error", "message"), ("error", "details"), ("error", "details", 0), ("error", "status"), ("promptFeedback",), ("promptFeedback", "blockReason"),
          ("usageMetadata",), ("usageMetadata", "promptTokenCount"), ("usageMetadata", "candidatesTokenCount")]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PLACES), _json), max_size=3), st.booleans())
def test_odd_values_make_a_stream_or_a_failure(odd: list[tuple[tuple[Any, ...], Any]], stream: bool) -> None:  # noqa: FBT001
    chunks = [chunk(text("a")), *(_put(where, value) for where, value in odd), STOP]
    watch = Watch()
    out = replied(DIALECT, [sse(*chunks)], stream=stream, watch=watch)
    assert watch.over
    if stream:
        read(out, unfinished=True)


def _put(where: tuple[Any, ...], value: Any) -> Any:
    for name in reversed(where):
        value = [value] if name == 0 else {name: value}
    return value


HALF = "\ud83d"


def test_half_a_character_huge_numbers_and_deep_values_raise_nothing() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    for odd in (
        chunk(text(HALF)), chunk(thought(HALF, HALF)), chunk(function(HALF, {HALF: HALF, "a": [HALF]}, id=HALF, signed=HALF)),
        chunk(finish=HALF), {"error": HALF}, {"promptFeedback": {"blockReason": HALF}}, chunk(function("f", {"a": deep})),
        chunk({"executableCode": {"code": HALF}}), chunk(function("f", {"a": 10**30})), {"usageMetadata": {"promptTokenCount": 10**30, "candidatesTokenCount": 1e300}},
    ):  # fmt: skip
        watch = Watch()
        read(replied(DIALECT, [sse(chunk(text("a")), odd, chunk(text("b")), STOP)], watch=watch), unfinished=True)
        assert watch.over


def test_large_numbers_in_arguments_stay_what_they_are() -> None:
    assert client_gets(sse(chunk(function("f", {"a": 2**60 + 1})), STOP)).calls == [("f", {"a": 2**60 + 1})]
    assert json.loads(json.dumps(2**60 + 1)) == 2**60 + 1
