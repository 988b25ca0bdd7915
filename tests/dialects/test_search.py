"""A web search that nobody can run is told to be one that failed, never refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calls import body, call, sent
from chunks import STOP, chunk, sse
from claude_code_proxy.dialects.base import Answer, Outgoing, told
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.dialects.search import Search, unavailable
from claude_code_proxy.wire.watch import Watch
from grammar import Read, read

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


OWN = {"web_search": "openrouter:web_search"}
PAGE = {"type": "url_citation", "url_citation": {"url": "http://a.test/", "title": "A", "content": "c"}}


@pytest.mark.parametrize(
    ("domains", "parameters"),
    [
        ({}, {}),
        ({"allowed_domains": ["a.test"]}, {"parameters": {"allowed_domains": ["a.test"]}}),
        ({"blocked_domains": ["b.test"]}, {"parameters": {"excluded_domains": ["b.test"]}}),
    ],
)
def test_a_provider_may_search_itself(domains: dict[str, Any], parameters: dict[str, Any]) -> None:
    request = sent(DIALECT, body(tools=[{**WEB, **domains}], messages=[ASK]), quirks=OWN)
    assert request["tools"] == [{"type": "openrouter:web_search", **parameters}]
    assert "tool_choice" not in request


def replied_to(request: dict[str, Any], *chunks: dict[str, Any]) -> Read:
    asked = call(request, quirks=OWN)
    machine = DIALECT.reply(asked, Outgoing("", b""), Answer(200, {"content-type": "text/event-stream"}), Watch())
    return read(b"".join([*machine.feed(sse(*chunks)), *machine.close()]))


def test_what_it_cites_is_what_it_found() -> None:
    request = body(tools=[WEB], messages=[ASK], stream=True)
    cited = [chunk(content="Lla"), chunk(content="mas.", annotations=[PAGE, PAGE]), STOP]
    told = replied_to(request, *cited)
    use, result, text = told.blocks
    assert (use["type"], use["input"]) == ("server_tool_use", {"query": "llamas"})
    assert [(hit["url"], hit["title"]) for hit in result["content"]] == [("http://a.test/", "A")]
    assert text["text"] == "Llamas."
    assert told.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("request_", "chunks"),
    [
        (body(tools=[WEB], messages=[ASK], stream=True), [chunk(content="I know."), STOP]),
        (body(tools=[F, WEB], messages=[ASK], stream=True), [chunk(content="I know.", annotations=[PAGE]), STOP]),
        (body(stream=True), [chunk(content="I know.", annotations=[PAGE]), STOP]),
    ],
)
def test_without_a_search_the_text_is_all(request_: dict[str, Any], chunks: list[dict[str, Any]]) -> None:
    assert [block["type"] for block in replied_to(request_, *chunks).blocks] == ["text"]
