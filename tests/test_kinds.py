"""What kind of request it is, by what Claude Code sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_code_proxy.kinds import AGENT, kind_of
from claude_code_proxy.tables import KINDS, Kinds, LongContext
from claude_code_proxy.wire.head import decode_head

CLI = {"user-agent": "claude-cli/2.1.330 (external, sdk-cli)"}
SDK = {"user-agent": "Anthropic/Python 2.12.0"}
AGENTS = {**CLI, AGENT: "a1b2"}
TOOL = {"name": "Read", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
SEES = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
THINKS = {"thinking": {"type": "adaptive"}}
EVERY = Kinds("s:m", "i:m", LongContext(400, "l:m"), "a:m", "b:m", "t:m")


def kind(headers: dict[str, str], kinds: Kinds = EVERY, **fields: Any) -> str:
    body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
    return kind_of(decode_head(json.dumps(body).encode()), headers, kinds)


def said(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [SEES]}


@pytest.mark.parametrize(
    ("expected", "headers", "fields"),
    [
        ("web_search", CLI, {"tools": [SEARCH]}),
        ("thinking", CLI, {"tools": [SEARCH, TOOL], **THINKS}),
        ("image", SDK, {"messages": said(SEES)}),
        ("image", SDK, {"messages": said({"type": "text", "text": "x" * 4000}, SEES)}),
        ("image", CLI, {"messages": said(RESULT), "tools": [TOOL]}),
        ("", SDK, {"messages": said({"type": "text", "text": 'say "image"'})}),
        ("", SDK, {"thinking": {"type": [1]}}),
        ("", SDK, {"tools": [{**TOOL, "input_schema": {"properties": {"type": {"const": "image"}}}}]}),
        ("long_context", CLI, {"messages": said({"type": "text", "text": "x" * 4000}), "tools": [TOOL]}),
        ("", SDK, {"messages": said({"type": "text", "text": "x" * 800}), "tools": [TOOL]}),
        ("subagent", AGENTS, {"tools": [TOOL], **THINKS}),
        ("background", CLI, {"tools": []}),
        ("background", CLI, {}),
        ("", CLI, {"thinking": {"type": "disabled"}}),
        ("", SDK, {"tools": []}),
        ("", CLI, {"tools": [TOOL]}),
        ("thinking", CLI, {"tools": [TOOL], **THINKS}),
        ("thinking", SDK, {"thinking": {"type": "enabled", "budget_tokens": 5}}),
        ("", SDK, {"thinking": None, "tools": None}),
        ("", SDK, {"thinking": "yes", "tools": "none", "messages": 5}),
        ("", SDK, {"messages": [5, {"content": [7, {"content": 8}]}]}),
    ],
)
def test_a_request_is_of_its_kind(expected: str, headers: dict[str, str], fields: dict[str, Any]) -> None:
    assert kind(headers, **fields) == expected


def test_a_kind_without_a_target_is_none() -> None:
    assert kind(AGENTS, Kinds(), messages=said(SEES), **THINKS) == ""
    assert kind(AGENTS, Kinds(thinking="t:m"), messages=said(SEES), **THINKS) == "thinking"


def test_a_body_that_cannot_be_counted_is_not_long() -> None:
    assert kind(SDK, Kinds(long_context=LongContext(1, "l:m")), messages="x" * 100) == ""


def test_the_kinds_are_those_of_the_documentation() -> None:
    assert KINDS == ("web_search", "image", "long_context", "subagent", "background", "thinking")
