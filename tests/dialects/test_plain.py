"""What servers that speak most of Anthropic's format are sent in place of what they do not know."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from calls import body, outgoing
from claude_code_proxy.dialects.anthropic import DIALECT
from matrix.files import PDF_TEXT, pdf

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN = {"plain": True}


def sent(request: Mapping[str, Any], **quirks: bool) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(outgoing(DIALECT, request, model="claude-x", quirks=quirks).body)
    return made


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **more}


def result(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": list(content)}]}


def test_what_loads_tools_is_text() -> None:
    found = result({"type": "tool_reference", "tool_name": "late"})
    request = body(tools=[tool("late", defer_loading=True)], messages=[found])
    told = sent(request, **PLAIN)
    assert told == {**request, "messages": [result({"type": "text", "text": "Loaded tool: late"})]}
    assert sent(request) == request


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"type": "base64", "media_type": "application/pdf", "data": b64encode(pdf()).decode()}, PDF_TEXT),
        ({"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, "this model cannot read it"),
        ({"type": "text", "media_type": "text/plain", "data": "Plain words."}, "Plain words."),
        ({"type": "url", "url": "https://x.test/a.pdf"}, "this model cannot read it"),
    ],
)
def test_documents_are_text(source: dict[str, Any], text: str) -> None:
    block = {"type": "document", "source": source}
    messages = [result(block), {"role": "user", "content": [{"type": "text", "text": "And?"}, block]}]
    inside, beside = sent(body(messages=messages), **PLAIN)["messages"]
    assert text in inside["content"][0]["content"][0]["text"]
    assert text in beside["content"][1]["text"]
    assert "document" not in {one["type"] for one in beside["content"]}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"claude-x","messages":[{"role":"user","content":[{"type":"document"}]}],"max_tokens":1}',
        b'{"model":"claude-x","messages":"document","tools":[{"defer_loading":1}]}',
        b'{"model":"claude-x", "messages" :[],"max_tokens":1,"x":"\\"tool_reference\\"", "system":{"x-anthropic-billing-header:":1}}',
    ],
)
def test_what_the_server_must_judge_goes_as_it_came(raw: bytes) -> None:
    assert outgoing(DIALECT, raw, model="claude-x", quirks=PLAIN).body == raw
