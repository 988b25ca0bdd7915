from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import replied
from chunks import CALLS, COUNTS, NO_CHOICES, STOP, TEXT, chunk, client_gets, part, piece, sse
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.wire.watch import Watch
from damage import assert_cut_is_told, assert_tail_may_lack, of_any_bytes, of_damage
from grammar import read
from machines import cut, cuts
from sayings import inputs, words

_deltas = (
    words.map(lambda text: chunk(content=text))
    | words.map(lambda text: chunk(reasoning_content=text))
    | st.integers(0, 9).map(lambda count: {**NO_CHOICES, "usage": {"prompt_tokens": count, "completion_tokens": count}})
)


def _answer(deltas: list[dict[str, Any]]) -> str:
    """What is said. Blank space between the thinking and the end is no answer."""
    said = blank = ""
    thinking = False
    for delta in deltas:
        blank += delta.get("content", "")
        thinking = thinking or bool(delta.get("reasoning_content"))
        if blank and not (thinking and blank.isspace()):
            said, blank, thinking = said + blank, "", False
    return said


@given(st.lists(_deltas, max_size=12), cuts(3000))
@pytest.mark.fault("U-22", "F-02")
def test_text_and_reasoning_arrive_whole_wherever_they_are_cut(chunks: list[dict[str, Any]], at: list[int]) -> None:
    told = read(replied(DIALECT, cut(sse(*chunks, STOP), at)))
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert told.text == _answer(deltas)
    assert told.thinking == "".join(delta.get("reasoning_content", "") for delta in deltas)


@given(st.lists(inputs, min_size=1, max_size=4), st.data())
@pytest.mark.fault("U-20")
def test_interleaved_calls_get_their_own_arguments(values: list[dict[str, Any]], data: st.DataObject) -> None:
    rest = [json.dumps(value) for value in values]
    chunks = [piece(part(n, f"call_{n}", f"f{n}")) for n in range(len(values))]
    while any(rest):
        n = data.draw(st.sampled_from([n for n, text in enumerate(rest) if text]))
        size = data.draw(st.integers(1, len(rest[n])))
        chunks.append(piece(part(n, args=rest[n][:size])))
        rest[n] = rest[n][size:]
    assert client_gets(sse(*chunks, CALLS)).calls == [(f"f{n}", value) for n, value in enumerate(values)]


RECORDED = sse(
    chunk(role="assistant", content=None),
    chunk(reasoning_content="thé\u2028 "),
    chunk(content="a😀"),
    piece(part(0, "c", "f", "")),
    piece(part(0, args='{"a"'), part(1, "d", "g", '{"b":')),
    piece(part(0, args=":1}")),
    piece(part(1, args='"}"}')),
    CALLS,
    {**NO_CHOICES, "usage": COUNTS},
)
FINISHED = RECORDED.index(b'"tool_calls"}')


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
PLACES = [(), ("choices",), ("choices", 0), ("choices", 0, "delta"), ("choices", 0, "finish_reason"), ("choices", 0, "index"),
          *(("choices", 0, "delta", name) for name in ("content", "reasoning", "refusal", "tool_calls", "function_call")),
          *(("choices", 0, "delta", "tool_calls", 0, *rest) for rest in ((), ("index",), ("id",), ("function",), ("function", "name"), ("function", "arguments"))),
          ("error",), ("usage",), ("usage", "prompt_tokens"), ("usage", "completion_tokens"), ("usage", "prompt_tokens_details"),
          ("error", "code"), ("error", "message"), ("error", "metadata"), ("detail",)]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PLACES), _json), max_size=3), st.booleans())
@pytest.mark.fault("F-02")
def test_odd_values_make_a_stream_or_a_failure(odd: list[tuple[tuple[Any, ...], Any]], stream: bool) -> None:  # noqa: FBT001
    chunks = [chunk(content="a"), *(_put(where, value) for where, value in odd), CALLS]
    watch = Watch()
    out = replied(DIALECT, [sse(*chunks)], stream=stream, watch=watch)
    assert watch.over
    if stream:
        read(out, unfinished=True)


def _put(where: tuple[Any, ...], value: Any) -> Any:
    for name in reversed(where):
        value = [value] if name == 0 else {name: value}
    return value


@pytest.mark.fault("U-21", "U-28")
def test_huge_numbers_and_deep_values_raise_nothing() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    for odd in (
        {**NO_CHOICES, "usage": {"completion_tokens": 10**30, "prompt_tokens": 1e300}},
        piece(part(0, "c", "f", {"a": deep})),
    ):
        watch = Watch()
        read(replied(DIALECT, [sse(TEXT, odd, CALLS)], watch=watch), unfinished=True)
        assert watch.over


HALF = "\ud83d"


@pytest.mark.parametrize(
    "odd",
    [
        chunk(content=HALF),
        chunk(reasoning=HALF),
        piece(part(0, HALF, HALF, HALF)),
        chunk(HALF),
        {"error": HALF},
        chunk(refusal=HALF),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": HALF}]},
    ],
)
@pytest.mark.fault("U-22")
def test_half_a_character_raises_nothing(odd: dict[str, Any]) -> None:
    watch = Watch()
    read(replied(DIALECT, [sse(TEXT, odd, TEXT, STOP)], watch=watch), unfinished=True)
    assert watch.over


@pytest.mark.fault("U-22")
def test_a_character_in_two_halves_is_one() -> None:
    told = client_gets(sse(chunk(content="a" + HALF), chunk(content="\ude00b"), STOP))
    assert told.text == "a😀b"
