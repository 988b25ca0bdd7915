"""What an upstream says that its answer cost arrives, whichever format it speaks, and goes no further."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import JSON, replied
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.wire.billed import DEAREST, cost_in
from claude_code_proxy.wire.watch import Watch
from recordings import NEEDED, RECORDINGS, framed

if TYPE_CHECKING:
    from pathlib import Path

ROUTED: dict[str, Any] = {"cost": 0.00014, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.00014}}
"""As OpenRouter writes it: for its own key the cost of the upstream is in it already."""

OWN_KEY: dict[str, Any] = {"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.95}}


NO_SUMS: list[Any] = [-1, -0.01, True, "0.1", None, [], float("nan"), float("inf"), 10**400, 10**17]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, None),
        ({"prompt_tokens": 3}, None),
        (ROUTED, 0.00014),
        (OWN_KEY, 1.0),
        ({**OWN_KEY, "cost_details": {}}, None),
        ({**OWN_KEY, "cost_details": None}, None),
        ({**OWN_KEY, "cost": 0}, 0.95),
        ({**OWN_KEY, "is_byok": "true"}, 0.05),
        ({"cost": 0}, 0),
        ({"cost": 2}, 2),
        ({"cost": {"input_tokens_cost": 0.1, "output_tokens_cost": 0.2, "total_cost": 0.3}}, 0.3),
        ({"cost": {}}, None),
        ({"estimated_cost": 1.25e-06}, 1.25e-06),
        ({"cost": 0.5, "estimated_cost": 9}, 0.5),
        ({"cost": None, "cost_in_usd_ticks": 1466250}, 0.000146625),
        ({"cost_in_usd_ticks": 0}, 0),
        *(({name: value}, None) for name in ("cost", "estimated_cost", "cost_in_usd_ticks") for value in NO_SUMS),
    ],
)
def test_the_cost_is_read_where_it_makes_sense(usage: dict[str, Any], expected: float | None) -> None:
    assert cost_in(usage) == (None if expected is None else pytest.approx(expected, rel=1e-12))


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["total_cost", "upstream_inference_cost"]), inner, max_size=2),
    max_leaves=3,
)
_NAMES = st.sampled_from(["cost", "estimated_cost", "cost_in_usd_ticks", "is_byok", "cost_details"])


@given(st.dictionaries(_NAMES, _ANYTHING))
def test_whatever_is_said_is_a_sum_of_money_or_unknown(usage: dict[str, Any]) -> None:
    cost = cost_in(usage)
    assert cost is None or (isfinite(cost) and 0 <= cost <= 2 * DEAREST)


def _chat(usage: dict[str, Any]) -> list[dict[str, Any]]:
    chunk = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return [
        {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]},
        {**chunk, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, **usage}},
    ]


def _responses(usage: dict[str, Any]) -> list[dict[str, Any]]:
    response = {"id": "r", "object": "response", "status": "in_progress", "output": [], "model": "m"}
    text = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": [text]}
    counted = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11, **usage}
    done = {**response, "status": "completed", "output": [item], "usage": counted}
    place = {"output_index": 0, "item_id": "m_1", "content_index": 0}
    return [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.output_text.delta", **place, "delta": "Hello"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]


def _messages(usage: dict[str, Any]) -> list[dict[str, Any]]:
    empty = {"type": "message", "id": "gen-1", "role": "assistant", "model": "m", "content": []}
    start = {**empty, "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 0}}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 2, **usage}},
        {"type": "message_stop"},
    ]


def _stream(events: list[dict[str, Any]]) -> bytes:
    return "".join(
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events
    ).encode()


TOLD = {"ROUTED": (ROUTED, 0.00014), "OWN_KEY": (OWN_KEY, 1.0), "TICKS": ({"cost_in_usd_ticks": 5}, 5e-10)}
WAYS = [
    pytest.param("openai_chat", _chat, {}, id="chat"),
    pytest.param("openai_responses", _responses, {}, id="responses"),
    pytest.param("anthropic", _messages, {}, id="native"),
    pytest.param("anthropic", _messages, {"native": "mended"}, id="mended"),
]


@pytest.mark.parametrize(("usage", "expected"), TOLD.values(), ids=TOLD)
@pytest.mark.parametrize(("dialect", "said", "quirks"), WAYS)
def test_the_cost_arrives_at_the_end_of_a_stream(
    dialect: str, said: Any, quirks: dict[str, Any], usage: dict[str, Any], expected: float
) -> None:
    watch = Watch()
    out = replied(DIALECTS[dialect], [_stream(said(usage))], watch=watch, quirks=quirks)
    assert watch.stop
    assert (watch.usage.input, watch.usage.output) == (9, 2)
    assert watch.usage.cost == pytest.approx(expected, rel=1e-12)
    assert b"Hello" in out
    assert (b"cost" in out) == (dialect == "anthropic" and not quirks)  # what is native passes as it came


def test_a_translated_whole_reply_keeps_its_cost_to_us() -> None:
    chat = {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, **ROUTED},
    }
    watch = Watch()
    raw = json.dumps(chat).encode()
    out = replied(DIALECTS["openai_chat"], [raw], media_type=JSON, stream=False, watch=watch)
    assert watch.usage.cost == 0.00014
    assert b"cost" not in out


def test_a_native_whole_reply_tells_its_cost() -> None:
    message = {
        "type": "message",
        "id": "gen-1",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 2, **OWN_KEY},
    }
    watch = Watch()
    replied(DIALECTS["anthropic"], [json.dumps(message).encode()], media_type=JSON, stream=False, watch=watch)
    assert watch.usage.cost == 1.0


@NEEDED
@pytest.mark.parametrize("name", ["xai-text", "xai-tool-call"])
@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
def test_recorded_answers_of_xai_tell_theirs(name: str, *, whole: bool) -> None:
    file: Path = RECORDINGS / "xai" / f"{name}{'.json' if whole else '.chunks.txt'}"
    recorded = file.read_text("utf-8")
    ticks = max(int(text.split(",")[0].split("}")[0].strip()) for text in recorded.split('"cost_in_usd_ticks":')[1:])
    watch = Watch()
    if whole:
        replied(DIALECTS["openai_chat"], [recorded.encode()], watch=watch, media_type=JSON, stream=False)
    else:
        replied(DIALECTS["openai_chat"], [framed(file)], watch=watch)
    assert ticks > 0
    assert watch.usage.cost == pytest.approx(ticks * 1e-10)
