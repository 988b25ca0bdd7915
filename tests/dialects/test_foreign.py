"""A conversation that was with another model before it goes to Claude."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calls import body, outgoing, sent
from claude_code_proxy.dialects.anthropic import DIALECT
from claude_code_proxy.wire.signature import Minted, mint

OURS = {"type": "thinking", "thinking": "Hm.", "signature": mint(Minted("openai_chat", "m", {"x": [1]}))}
CLAUDES = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCgIYAhIM"}
UNSIGNED = {"type": "thinking", "thinking": "Hm.", "signature": ""}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"n": 2**70}}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}


def said(text: str, *, seal: str | None = None) -> dict[str, Any]:
    location = {
        "type": "web_search_result_location",
        "url": "u",
        "title": "t",
        "cited_text": "",
        "encrypted_index": seal,
    }
    return {"type": "text", "text": text} | ({} if seal is None else {"citations": [location]})


def hits(seal: str) -> dict[str, Any]:
    hit = {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": seal, "page_age": None}
    return {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [hit]}


def of(*turns: Any) -> dict[str, Any]:
    """A conversation: strings are the user's, lists the assistant's."""
    roles = [("user" if isinstance(turn, str) else "assistant", turn) for turn in turns]
    return body(messages=[{"role": role, "content": turn} for role, turn in roles])


@pytest.mark.parametrize(
    ("turn", "left"),
    [
        ([OURS, said("a"), CALL], [said("a"), CALL]),
        ([CLAUDES, OURS, said("a")], [CLAUDES, said("a")]),
        ([said("a"), OURS, said("b")], [said("a"), said("b")]),
        ([SEARCH, hits(""), said("found", seal="")], [said("found")]),
        ([SEARCH, hits("Eo8B"), said("found", seal="Eo8B"), OURS], [SEARCH, hits("Eo8B"), said("found", seal="Eo8B")]),
    ],
)
def test_what_other_models_left_is_taken_out(turn: list[Any], left: list[Any]) -> None:
    made = sent(DIALECT, of("q", turn, "go on"), model="claude-x")
    assert made["messages"] == of("q", left, "go on")["messages"]


def test_a_turn_that_was_nothing_else_is_left_out() -> None:
    assert sent(DIALECT, of("q", [OURS], "go on"), model="claude-x")["messages"] == of("q", "go on")["messages"]


@pytest.mark.parametrize(
    "request_",
    [
        of("q", [CLAUDES, said("a"), CALL], "go on"),
        of("q", [UNSIGNED, said("a")], "go on"),
        of("q", [SEARCH, hits("Eo8B"), said("found", seal="Eo8B")], "go on"),
        of(f"What does {OURS['signature']} mean, and encrypted_content?", "so?"),
        of(json.dumps([OURS, hits("")])),
        body(messages="ccp1."),
        body(messages=[5, {"role": "assistant", "content": [7, "ccp1.", {"type": "thinking", "signature": 5}]}]),
    ],
)
def test_everything_else_goes_byte_by_byte(request_: dict[str, Any]) -> None:
    raw = json.dumps(request_, indent=1, ensure_ascii=False).encode()
    assert outgoing(DIALECT, raw, model="claude-x").body == raw


def test_the_other_fields_keep_their_bytes() -> None:
    raw = json.dumps({**of("q", [OURS, said("a")], "b"), "temperature": 1.50, "x": 2**80}, indent=1).encode()
    made = outgoing(DIALECT, raw, model="other").body
    assert b'"temperature": 1.5' in made
    assert str(2**80).encode() in made
    assert b"ccp1." not in made
