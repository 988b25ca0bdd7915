"""Behaviours 51 and 52: whatever a client sends, for every dialect."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from e2e.claude import Claude, NoCliError, find_cli
from grammar import read

from .stage import TOOL, hello, post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

BASES = {
    "openai": "/openai:gpt-4.1",
    "openrouter": "/openrouter:qwen/qwen3",
    "nvidia": "/nvidia:nvidia/nemotron-3",
    "gemini": "/gemini:gemini-2.5-pro",
    "ollama": "/ollama:llama3:8b",
    "anthropic": "/anthropic:claude-sonnet-4",
}
TRANSLATED = ("openai", "openrouter", "nvidia", "gemini")
EACH = pytest.mark.parametrize("name", BASES)

USER: dict[str, Any] = {"role": "user", "content": "Hello"}
ASSISTANT: dict[str, Any] = {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}
SYSTEMS: list[Any] = [
    "Remember this.",
    [{"type": "text", "text": "Remember this."}],
    [{"type": "text", "text": "Remember", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "this."}],
    "",
    [],
    [{"type": "text", "text": ""}],
]


def positions(system: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Conversations with system messages in every place."""
    turns = [USER, ASSISTANT, USER, ASSISTANT, USER]
    for at in range(len(turns) + 1):
        yield [*turns[:at], system, *turns[at:]]
    yield [system, system, USER, system, system]
    yield [system]
    yield [USER, system, ASSISTANT, system]


async def assert_accepted(stage: Stage, name: str, *, streams: tuple[bool, ...] = (False, True), **fields: Any) -> None:
    """The request is answered, streamed and whole; what the upstream itself refuses is its own affair."""
    upstream = stage.upstreams[name]
    for stream in streams:
        answer = await post(stage.url, f"{BASES[name]}/v1/messages?beta=true", hello(stream=stream, **fields))
        theirs = upstream.posts[-1].refusal if upstream.posts and name not in TRANSLATED else None
        if theirs is None:
            assert answer.status == 200, (fields, answer.body)
            assert not stream or read(answer.body).ended
        else:
            assert answer.status == 400, (fields, answer.body)
            upstream.posts[-1].refusal = None  # a native upstream judges for itself, and its client is told
    if name != "openai":  # counting is the same for all
        return
    counted = await post(stage.url, f"{BASES[name]}/v1/messages/count_tokens", hello(**fields))
    assert counted.status == 200, (fields, counted.body)


@EACH
async def test_51_system_messages_in_any_place(stage: Stage, name: str) -> None:
    for content in SYSTEMS:
        for messages in positions({"role": "system", "content": content}):
            await assert_accepted(stage, name, streams=(True,), messages=messages)
            await assert_accepted(stage, name, streams=(False,), messages=messages, system="Be kind.", tools=[TOOL])


@pytest.mark.parametrize("name", TRANSLATED)
async def test_51_what_they_say_arrives(stage: Stage, name: str) -> None:
    for content in SYSTEMS[:2]:
        for messages in positions({"role": "system", "content": content}):
            await assert_accepted(stage, name, messages=messages)
            assert all(b"Remember this." in rec.raw for rec in stage.upstreams[name].posts[-2:])


async def test_51_between_a_call_and_its_result(stage: Stage) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
    system = {"role": "system", "content": "Remember this."}
    turns = [USER, {"role": "assistant", "content": [call]}, system, {"role": "user", "content": [result]}, system]
    for name in BASES:
        await assert_accepted(stage, name, messages=turns, tools=[TOOL])


@pytest.mark.parametrize("name", ["openai", "openrouter", "ollama"])
async def test_51_the_real_client(stage: Stage, tmp_path: Path, name: str) -> None:
    """Its default model is the one for which it sends system messages between the turns."""
    try:
        binary = find_cli()
    except NoCliError as missing:
        pytest.skip(str(missing))
    home, cwd = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    cwd.mkdir()
    assert (await Claude(binary, home, cwd).run(stage.url + BASES[name])).answer == "Hello"


TEXT = {"type": "text", "text": "Hello"}
PDF = base64.b64encode(b"%PDF-1.4 nothing").decode()
SEARCHED = {
    "type": "web_search_result",
    "url": "https://x.test",
    "title": "x",
    "encrypted_content": "x",
    "page_age": None,
}
BLOCKS: dict[str, Any] = {
    "an unknown one": {"type": "brand_new", "text": "x", "inner": [{"type": "text", "text": "y"}]},
    "an unknown one with nothing": {"type": "brand_new"},
    "redacted thinking": {"type": "redacted_thinking", "data": "abc"},
    "thinking": {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    "thinking without a signature": {"type": "thinking", "thinking": "Hm."},
    "thinking of nothing": {"type": "thinking", "thinking": "", "signature": ""},
    "a PDF": {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
    "a PDF that is none": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "!"},
    },
    "a PDF by URL": {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
    "a text document": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    "a document of blocks": {"type": "document", "source": {"type": "content", "content": [TEXT]}, "title": "t"},
    "a document of a string": {"type": "document", "source": {"type": "content", "content": "x"}, "context": "c"},
    "a document of odd blocks": {
        "type": "document",
        "source": {
            "type": "content",
            "content": [{"type": "tool_reference"}, {"type": "image"}, {"type": "new"}, TEXT],
        },
    },
    "a document of a file": {
        "type": "document",
        "source": {"type": "file", "file_id": "f"},
        "citations": {"enabled": True},
    },
    "a document of something new": {"type": "document", "source": {"type": "brand_new"}, "title": None},
    "an image by URL": {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
    "an image of a file": {"type": "image", "source": {"type": "file", "file_id": "f"}},
    "an image of something new": {"type": "image", "source": {"type": "brand_new"}},
    "a server's tool": {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
    "a search's result": {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [SEARCHED]},
    "a search that failed": {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
    },
    "a fetch's result": {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_2", "content": {"type": "x"}},
    "run code": {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_3", "content": {"stdout": ""}},
    "an MCP call": {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "x", "server_name": "s", "input": {}},
    "an MCP result": {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": [TEXT]},
    "a search result": {
        "type": "search_result",
        "source": "s",
        "title": "t",
        "content": [TEXT],
        "citations": {"enabled": True},
    },
    "an odd search result": {"type": "search_result", "content": [{"type": "tool_reference"}, {"type": "new"}]},
    "an upload": {"type": "container_upload", "file_id": "f"},
    "a compaction": {"type": "compaction", "content": "x"},
    "text with citations": {**TEXT, "citations": [{"type": "char_location", "cited_text": "x"}], "cache_control": None},
    "empty text": {"type": "text", "text": ""},
    "a result that nobody wanted": {
        "type": "tool_result",
        "tool_use_id": "toolu_x",
        "content": [{"type": "brand_new"}],
    },
    "a result with nothing": {"type": "tool_result", "tool_use_id": "toolu_x"},
    "a call": {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}, "caller": {"type": "direct"}},
    "a call without input": {"type": "tool_use", "id": "toolu_1", "name": "Read"},
    "a call with no id to speak of": {"type": "tool_use", "id": "", "name": "", "input": None},
}


@EACH
@pytest.mark.parametrize("case", BLOCKS)
@pytest.mark.fault("C-19")
async def test_52_blocks_of_any_kind_anywhere(stage: Stage, name: str, case: str) -> None:
    block = BLOCKS[case]
    result = {"type": "tool_result", "tool_use_id": "toolu_9", "content": [block]}
    calling = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_9", "name": "Read", "input": {}}]}
    conversations: list[Any] = [
        [{"role": "user", "content": [block]}],
        [{"role": "user", "content": [TEXT, block, TEXT]}],
        [USER, {"role": "assistant", "content": [block]}, USER],
        [USER, {"role": "assistant", "content": [block, TEXT, block]}, {"role": "user", "content": [block]}],
        [{"role": "assistant", "content": [block]}],
        [USER, calling, {"role": "user", "content": [result]}],
        [USER, calling, {"role": "user", "content": [result, block]}, {"role": "assistant", "content": [block]}],
    ]
    for number, messages in enumerate(conversations):
        await assert_accepted(stage, name, streams=(number % 2 == 0,), messages=messages, tools=[TOOL])


CONTENTS: list[Any] = ["", [], " ", [{"type": "text", "text": ""}], [{"type": "text", "text": " \n"}]]


@EACH
async def test_52_empty_contents(stage: Stage, name: str) -> None:
    for first, second in itertools.product(CONTENTS, repeat=2):
        turns = [{"role": "user", "content": first}, {"role": "assistant", "content": second}]
        for messages in (turns, turns[::-1], [*turns, USER], turns[:1], [USER, *turns[1:]]):
            await assert_accepted(stage, name, messages=messages)


FIELDS: dict[str, dict[str, Any]] = {
    "context_management": {
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "brand_new"}]}
    },
    "context_management null": {"context_management": None},
    "effort": {"output_config": {"effort": "xhigh"}},
    "a new effort": {"output_config": {"effort": "brand_new", "more": 1}},
    "a format": {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    "a new format": {"output_config": {"format": {"type": "brand_new"}, "task_budget": {"type": "tokens", "total": 1}}},
    "output_config empty": {"output_config": {}},
    "thinking adaptive": {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "max"},
    },
    "thinking enabled": {"thinking": {"type": "enabled", "budget_tokens": 31_999}},
    "thinking disabled": {"thinking": {"type": "disabled"}},
    "thinking of a new kind": {"thinking": {"type": "brand_new", "x": 1}},
    "thinking between tools": {"thinking": {"type": "between_tools"}},
    "thinking null": {"thinking": None},
    "fields of a newer client": {
        "mcp_servers": [{"type": "url", "url": "https://x.test", "name": "x"}],
        "container": "c",
        "service_tier": "auto",
        "safeguards": [{"type": "x"}],
        "diagnostics": {},
        "speed": "fast",
        "brand_new": [1],
        "cache_control": {"type": "ephemeral"},
        "inference_geo": "eu",
        "metadata": {"user_id": "u", "brand_new": 1},
    },
    "nulls": {"metadata": None, "system": None, "tools": None, "tool_choice": None, "stop_sequences": None},
    "more nulls": {"temperature": None, "top_p": None, "top_k": None, "output_config": None},
    "many stop sequences": {"stop_sequences": ["a", "", "b", "c", "d", "e", " "]},
    "all samplings": {"temperature": 1, "top_p": 0.99, "top_k": 40},
    "much output": {"max_tokens": 1_000_000},
    "one token": {"max_tokens": 1},
    "no token": {"max_tokens": 0},
}


@EACH
@pytest.mark.parametrize("case", FIELDS)
@pytest.mark.fault("C-19")
async def test_52_fields_of_any_kind(stage: Stage, name: str, case: str) -> None:
    await assert_accepted(stage, name, **FIELDS[case])
    await assert_accepted(stage, name, **{"tools": [TOOL]} | FIELDS[case])


SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "a search alone": [SEARCH],
    "a newer search": [{"type": "web_search_20260209", "name": "web_search", "allowed_callers": ["direct"]}, TOOL],
    "a search beside others": [SEARCH, TOOL],
    "a fetch": [{"type": "web_fetch_20250910", "name": "web_fetch"}],
    "code": [{"type": "code_execution_20250825", "name": "code_execution"}],
    "a shell and an editor": [{"type": "bash_20250124", "name": "bash"}, {"type": "text_editor_20250728", "name": "e"}],
    "a computer": [{"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1}],
    "a tool search": [{"type": "tool_search_tool_regex_20251119", "name": "t"}, {**TOOL, "defer_loading": True}],
    "an MCP toolset": [{"type": "mcp_toolset", "mcp_server_name": "x"}],
    "something new": [{"type": "brand_new_20300101"}],
    "memory": [{"type": "memory_20250818", "name": "memory"}],
    "without a description": [{"name": "Read", "input_schema": {"type": "object"}}],
    "an empty schema": [{"name": "Read", "input_schema": {}}],
    "no schema": [{"name": "Read"}],
    "a null schema": [{"name": "Read", "input_schema": None, "description": None, "type": None}],
    "a schema without a type": [{"name": "Read", "input_schema": {"properties": {"x": {"type": "string"}}}}],
    "a schema of two shapes": [{"name": "Read", "input_schema": {"anyOf": [{"type": "object"}, {"type": "object"}]}}],
    "an odd name": [{"name": "mcp__höchst.odd name/" + "x" * 90, "input_schema": {"type": "object"}}],
    "more of a newer client": [
        {**TOOL, "strict": True, "eager_input_streaming": True, "input_examples": [{}], "new": 1}
    ],
}


@EACH
@pytest.mark.parametrize("case", TOOLS)
async def test_52_tools_of_any_kind(stage: Stage, name: str, case: str) -> None:
    tools = TOOLS[case]
    for choice in (None, {"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "gone"}):
        fields: dict[str, Any] = {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}
        await assert_accepted(stage, name, **fields)
    await assert_accepted(stage, name, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
