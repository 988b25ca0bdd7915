"""What a turn carries home goes back as the API demands, whatever the client keeps of it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from calls import HI, JSON, body, outgoing, replied, sent
from claude_code_proxy.dialects.openai_responses import DIALECT
from claude_code_proxy.wire.signature import Minted, mint
from sayings import words
from upstreams.responses_rules import fault_of, sealed

MODEL = "gpt-5.4"
USAGE = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
KINDS = ("message", "commentary", "call", "search", "reasoning", "unknown")


def item_of(kind: str, n: int) -> dict[str, Any]:
    """An item of an output."""
    match kind:
        case "message":
            content = [{"type": "output_text", "text": f"Text {n}.", "annotations": []}]
            return {"type": "message", "id": f"msg_{n}", "status": "completed", "role": "assistant", "content": content}
        case "commentary":
            return {**item_of("message", n), "phase": "commentary"}
        case "call":
            call = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n:09d}", "name": "Read"}
            return {**call, "arguments": f'{{"n": {n}}}', "status": "completed"}
        case "search":
            action = {"type": "search", "query": f"q{n}", "sources": [{"type": "url", "url": f"https://{n}.test/"}]}
            return {"type": "web_search_call", "id": f"ws_{n}", "status": "completed", "action": action}
        case "reasoning":
            return {"type": "reasoning", "id": f"rs_{n}", "summary": []}
        case _:
            return {"type": "file_search_call", "id": f"fs_{n}", "queries": [], "status": "completed"}


def output_of(kinds: list[str], summaries: list[list[str]]) -> list[dict[str, Any]]:
    """An output as the API would give it: reasoning is sealed for the item that comes after it."""
    items = [item_of(kind, n) for n, kind in enumerate(kinds)]
    for n, item in enumerate(items):
        if item["type"] == "reasoning":
            following = next((one for one in items[n + 1 :] if one["type"] != "reasoning"), {"id": ""})
            name = following.get("call_id") or following["id"]
            item["encrypted_content"] = sealed(MODEL, item["id"], name)
            item["summary"] = [{"type": "summary_text", "text": part} for part in summaries[n % len(summaries)]]
    return items


def blocks_of(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the client gets."""
    raw = json.dumps({"object": "response", "status": "completed", "output": output, "usage": USAGE}).encode()
    message = json.loads(replied(DIALECT, [raw], media_type=JSON, stream=False, model=MODEL))
    blocks: list[dict[str, Any]] = message["content"]
    return blocks


def next_turn(blocks: list[dict[str, Any]], **how: Any) -> dict[str, Any]:
    """The next request, with the results of the calls."""
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "done"}
        for block in reversed(blocks)
        if block["type"] == "tool_use"
    ]
    turn = {"role": "user", "content": [*results, {"type": "text", "text": "more"}]}
    return body(messages=[HI, {"role": "assistant", "content": blocks}, turn], **how)


_kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=7)
_summaries = st.lists(st.lists(st.sampled_from(["A.", "B\n\nC", "é"]), max_size=3), min_size=1, max_size=3)


@given(_kinds, _summaries)
def test_everything_that_can_goes_back_as_it_was(kinds: list[str], summaries: list[list[str]]) -> None:
    output = output_of(kinds, summaries)
    items = sent(DIALECT, next_turn(blocks_of(output)), model=MODEL)["input"]
    back = [item for item in items if item["type"] == "reasoning"]
    homeless = {sealed(MODEL, item["id"], "") for item in output}  # with nothing after it
    for item, following in pairwise(output):
        if item["type"] == "reasoning" and following["type"] == "file_search_call":
            homeless.add(item["encrypted_content"])
    said = [item for item in output if item["type"] == "reasoning"]
    for n, item in reversed(list(enumerate(output))):  # what is before reasoning that cannot go back cannot either
        chained = n + 1 < len(output) and output[n + 1]["type"] == "reasoning"
        if item["type"] == "reasoning" and chained and output[n + 1]["encrypted_content"] in homeless:
            homeless.add(item["encrypted_content"])
    assert back == [
        {
            "type": "reasoning",
            "id": item["id"],
            "summary": item["summary"],
            "encrypted_content": item["encrypted_content"],
        }
        for item in said
        if item["encrypted_content"] not in homeless
    ]
    phases = [item["phase"] for item in items if "phase" in item]
    assert phases == ["commentary"] * kinds.count("commentary")


@given(_kinds, _summaries, st.data())
def test_nothing_goes_back_that_the_api_refuses(
    kinds: list[str], summaries: list[list[str]], data: st.DataObject
) -> None:
    """Clients drop thinking, or text, or put calls last; a second turn of the same follows the first."""
    blocks = blocks_of(output_of(kinds, summaries))
    kept = [block for block in blocks if data.draw(st.integers(0, 3))]
    if data.draw(st.booleans()):
        kept.sort(key=lambda block: block["type"] == "tool_use")
    if data.draw(st.booleans()):
        kept.sort(key=lambda block: block["type"] != "text")
    request = outgoing(DIALECT, next_turn(kept or [{"type": "text", "text": "x"}]), model=MODEL)
    fault = fault_of(request.body)
    assert fault is None, fault


@given(
    st.recursive(
        st.none() | st.integers(0, 9) | words,
        lambda one: (
            st.lists(one) | st.dictionaries(st.sampled_from(["place", "id", "next", "kind", "item", "lengths"]), one)
        ),
    )
)
def test_a_damaged_state_carries_nothing(state: Any) -> None:
    thinking = {"type": "thinking", "thinking": "x", "signature": mint(Minted("openai_responses", MODEL, state))}
    request = outgoing(DIALECT, next_turn([thinking, {"type": "text", "text": "y"}]), model=MODEL)
    assert fault_of(request.body) is None
