"""The inspector's content: every block of a captured request, in every dialect, and its answer."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from canaries import canary, told
from claude_code_proxy.ledger.blocks import blocks
from claude_code_proxy.ledger.inspect import Section, sections
from claude_code_proxy.ledger.said import said
from faults.ops import KEEP, sized
from faults.replies import DIALECTS, calling, reply
from grammar import read
from upstreams import Call

from .capturing import capturing

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>alert(1)</script> {{ 7*7 }} \x1b[31m"
BODY: dict[str, Any] = {
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": f"Look: {HOSTILE}"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "/a"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x" * 9000}]},
    ],
}


def titled(found: list[Section], title: str) -> Section:
    [section] = [one for one in found if one.title == title]
    return section


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_every_block_is_shown(dialect: str, stream: bool, tmp_path: Path) -> None:  # noqa: FBT001
    made = calling(dialect, stream=stream, count=2)
    async with capturing(tmp_path) as stage:
        sent = await stage.ask(dialect, [made.whole], {**BODY, "stream": stream})
        await stage.written()
        found = sections(stage.sealed(stage.rows()[0].id), longest=100)
    client = titled(found, "The client's request")
    rows = {row.path: row for row in client.rows}
    order = [path.partition(".")[0] for path in rows]
    assert [name for name in order if name in {"tools", "system", "messages"}] == ["tools", "system", *["messages"] * 4]
    assert (rows["system.0"].text, rows["system.0"].marked) == ("Be kind.", True)
    assert rows["messages.0.content"].text == f"Look: {HOSTILE}"
    assert (rows["messages.1.content.1"].kind, rows["messages.1.content.1"].role) == ("tool_use Read", "assistant")
    result = rows["messages.2.content.0"]
    assert (len(result.text), result.cut) == (100, 8900)
    assert result.size > 9000
    assert result.tokens
    upstream = titled(found, "Sent upstream")
    assert any("Be kind." in row.text for row in upstream.rows)
    assert any("I look." in row.text for row in upstream.rows)
    assert ("method", "POST") in upstream.facts
    answer = titled(found, "The answer")
    kinds = [row.kind for row in answer.rows if row.kind != "thinking"]
    assert kinds == ["text", "tool_use Read", "tool_use Read"]
    assert "bravo-1" in answer.rows[-1].text
    assert ("stop", "tool_use") in answer.facts
    assert dict(answer.facts)["output tokens"].isdecimal()
    assert titled(found, "The upstream's answer").rows
    assert sent.status == 200


async def test_failures_are_shown(tmp_path: Path) -> None:
    made = reply("openai_chat", stream=True)
    async with capturing(tmp_path) as stage:
        await stage.ask("openai_chat", [[sized(made.error_body("No way.", 400), status=400), KEEP]], {"stream": True})
        await stage.written()
        found = sections(stage.sealed(stage.rows()[0].id))
    assert "No way." in titled(found, "The upstream's answer").rows[0].text
    assert ("status", "400") in titled(found, "The upstream's answer").facts
    assert "No way." in dict(titled(found, "The answer").facts)["error"]


def test_nothing_of_what_was_not_captured() -> None:
    assert sections({}) == []


def sealed(data: bytes, **about: Any) -> bytes:
    return zlib.compress(json.dumps(about).encode() + b"\n" + data)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"messages": [[[]]], "system": {"a": 1}}', b"data: {"]
)
def test_what_is_damaged_is_shown_as_it_is(data: bytes) -> None:
    parts = {name: sealed(data) for name in ("request", "outgoing", "incoming", "answer", "failed-1")}
    assert [section.title for section in sections(parts)] == [
        "The client's request",
        "Sent upstream",
        "What attempt 1 was answered",
        "The upstream's answer",
        "The answer",
    ]


def test_parts_that_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="damaged"):
        sections({"request": b"no zlib"})


def test_a_secret_that_was_said_in_pieces_is_masked() -> None:
    key = canary("said in pieces")
    events = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}}
            for one in f"sk-proj-{key}"
        ),
    ]
    data = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
    [answer] = sections({"answer": sealed(data)})
    assert [row.text for row in answer.rows] == ["[masked]"]
    assert told(str(answer), [key]) == []


def test_an_answer_is_read_as_clients_read_it() -> None:
    data = calling("anthropic", stream=True, count=3).body
    ours, theirs = said(data), read(data)
    assert [(block.kind, block.name) for block in ours.blocks] == [
        (block["type"], block.get("name", "")) for block in theirs.blocks
    ]
    assert [json.loads(block.text) for block in ours.blocks if block.kind == "tool_use"] == [
        value for _, value in theirs.calls
    ]
    assert ours.stop == theirs.stop_reason
    for end in range(0, len(data), 97):
        part = said(data[:end])
        assert len(part.blocks) <= len(ours.blocks)


def test_marks_are_no_part_of_a_block() -> None:
    plain, marked = ({"type": "text", "text": "a", **mark} for mark in ({}, {"cache_control": {"type": "ephemeral"}}))
    [one], [other] = (blocks(json.dumps({"system": [block]}).encode()) for block in (plain, marked))
    assert one.raw == other.raw
    assert (one.marked, other.marked) == (False, True)


def test_tools_of_a_call_are_named() -> None:
    call = Call("Read", {"a": 1}, "call_1")
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "{}"}}],
            }
        ]
    }
    [block] = blocks(json.dumps(body).encode())
    assert (block.path, block.kind, block.role) == ("messages.0.tool_calls.0", "function Read", "assistant")
