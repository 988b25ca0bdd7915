"""A web search that nobody can run is told to be one that failed, never refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calls import body, call, sent
from claude_code_proxy.dialects.base import told
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.dialects.search import Search, unavailable
from claude_code_proxy.wire.watch import Watch
from grammar import read

WEB = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
NEWER = {"type": "web_search_20260209", "name": "web_search"}
F = {"name": "f", "input_schema": {"type": "object"}}
ASK = {"role": "user", "content": [{"type": "text", "text": "Perform a web search for the query: llamas"}]}


def answered(**fields: Any) -> tuple[list[dict[str, Any]], str | None]:
    """What the client reads, which is the same with and without a stream."""
    both = []
    for stream in (True, False):
        asked = call(body(**{"messages": [ASK], "stream": stream, **fields}))
        search = DIALECT.request(asked)
        assert isinstance(search, Search)
        machine = told(asked, Watch())
        out = b"".join(
            [*(data for event in unavailable(search, "Sorry.") for data in machine.feed(event)), *machine.close()]
        )
        if stream:
            reply = read(out)
            both.append((reply.blocks, reply.stop_reason))
        else:
            message = json.loads(out)
            both.append((message["content"], message["stop_reason"]))
    assert both[0] == both[1]
    return both[0]


@pytest.mark.parametrize("tools", [[WEB], [NEWER], [WEB, NEWER]])
@pytest.mark.parametrize("choice", [None, {"type": "auto"}, {"type": "tool", "name": "web_search"}, {"type": "any"}])
def test_a_search_is_answered_as_one_that_failed(tools: list[Any], choice: dict[str, Any] | None) -> None:
    (use, result, text), reason = answered(tools=tools, tool_choice=choice)
    assert (use["type"], use["name"]) == ("server_tool_use", "web_search")
    assert use["input"] == {"query": "llamas"}
    assert use["id"].startswith("srvtoolu_")
    assert result == {
        "type": "web_search_tool_result",
        "tool_use_id": use["id"],
        "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
    }
    assert text["type"] == "text"
    assert "not available" in text["text"]
    assert reason == "end_turn"


@pytest.mark.parametrize(
    "content",
    [
        "llamas",
        [{"type": "text", "text": "llamas"}],
        [{"type": "image", "source": {}}, {"type": "text", "text": "llamas"}],
    ],
)
def test_the_query_is_what_was_asked(content: Any) -> None:
    blocks, _ = answered(tools=[WEB], messages=[{"role": "user", "content": content}])
    assert blocks[0]["input"]["query"] == "llamas"


@pytest.mark.parametrize("content", ["", [], [{"type": "image", "source": {}}]])
def test_a_search_for_nothing_is_answered_too(content: Any) -> None:
    blocks, _ = answered(tools=[WEB], messages=[{"role": "user", "content": content}])
    assert blocks[0]["input"] == {"query": ""}


def test_a_search_among_other_tools_is_left_out() -> None:
    request = sent(DIALECT, body(tools=[F, WEB], tool_choice={"type": "tool", "name": "web_search"}))
    assert [tool["function"]["name"] for tool in request["tools"]] == ["f"]
    assert "tool_choice" not in request


@pytest.mark.parametrize(
    "tools",
    [[F], [], None, [{"type": "bash_20250124", "name": "bash"}], [{"type": "web_fetch_20250910", "name": "web_fetch"}]],
)
def test_what_is_no_search_goes_to_the_model(tools: Any) -> None:
    assert sent(DIALECT, body(tools=tools))["messages"]


def test_a_tool_of_the_client_by_that_name_is_a_tool() -> None:
    request = sent(DIALECT, body(tools=[{"name": "web_search", "input_schema": {"type": "object"}}]))
    assert request["tools"][0]["function"]["name"] == "web_search"


def test_a_search_of_an_earlier_turn_is_told_to_the_model() -> None:
    blocks, _ = answered(tools=[WEB])
    turns = [ASK, {"role": "assistant", "content": blocks}, {"role": "user", "content": "so?"}]
    _, said, _ = sent(DIALECT, body(messages=turns))["messages"]
    assert set(said) == {"role", "content"}
    assert "web_search" in said["content"]
    assert "not available" in said["content"]
