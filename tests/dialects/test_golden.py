"""Examples, one folder each, of what becomes of a request and of a reply.

    request.json                            what the client sends
    upstream.json                           what leaves for the upstream, exactly
    upstream.sse or upstream.json-reply     the bytes that it answers
    reply.json                              what the client reads: blocks, stop reason and usage, or an error
    meta.toml                               the upstream's model, quirks, status and headers, where they matter

Those below `responses` are of the Responses API, the others of Chat Completions.

In reply.json the signature of a thinking block stands as true, an id that the proxy makes as null, and usage
that it estimates as "estimated". The message of an error is how it begins.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from calls import JSON, SSE, call
from claude_code_proxy.dialects import openai_chat, openai_responses
from claude_code_proxy.dialects.base import Answer, Call, Dialect, Local, Outgoing
from claude_code_proxy.dialects.base import told as last_stage
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import ways

GOLDEN = Path(__file__).with_name("golden")
FOLDERS = sorted(file.parent for file in GOLDEN.rglob("request.json"))
ANSWERS = {"upstream.sse": SSE, "upstream.json-reply": JSON}
STREAMED: dict[str, dict[str, Any]] = {
    "openai_chat": {"stream": True, "stream_options": {"include_usage": True}},
    "openai_responses": {"stream": True},
}
IDENT = re.compile(r"[A-Za-z0-9_-]+")


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text("utf-8"))


def meta(folder: Path) -> dict[str, Any]:
    file = folder / "meta.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}


def dialect(folder: Path) -> Dialect:
    in_responses = folder.relative_to(GOLDEN).parts[0] == "responses"
    return openai_responses.DIALECT if in_responses else openai_chat.DIALECT


def having(*names: str, refused: bool = False) -> pytest.MarkDecorator:
    """The folders with one of these files; `refused`: those whose upstream answers an HTTP error."""
    folders = [folder for folder in FOLDERS if any((folder / name).is_file() for name in names)]
    folders = [folder for folder in folders if (meta(folder).get("status", 200) != 200) is refused]
    assert folders
    return pytest.mark.parametrize("folder", folders, ids=[str(folder.relative_to(GOLDEN)) for folder in folders])


def asked(folder: Path, **fields: Any) -> Call:
    about = meta(folder)
    request = {**content(folder, "request.json"), **fields}
    return call(request, model=about.get("model", "some-model"), quirks=about.get("quirks"), cap=about.get("cap", 0))


def made(folder: Path, asking: Call) -> Outgoing:
    outgoing = dialect(folder).request(asking)
    assert isinstance(outgoing, Outgoing)
    return outgoing


def answered(folder: Path) -> tuple[Answer, bytes]:
    """What the upstream answers."""
    about = meta(folder)
    (name,) = (name for name in ANSWERS if (folder / name).is_file())
    headers = {"content-type": about.get("content_type", ANSWERS[name]), **about.get("headers", {})}
    return Answer(about.get("status", 200), headers), (folder / name).read_bytes()


def normal(reply: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """A reply as reply.json writes it."""
    blocks = [dict(block) for block in reply["blocks"]]
    for block, wanted in zip(blocks, expected["blocks"], strict=False):
        if block["type"] == "thinking":
            block["signature"] = bool(block["signature"])
        for name in ("id", "tool_use_id"):
            if name in block and wanted.get(name, "") is None:
                assert IDENT.fullmatch(block[name])
                block[name] = None
    usage = reply["usage"]
    if expected["usage"] == "estimated":
        usage = "estimated" if usage["input_tokens"] and usage["output_tokens"] else usage
    return {
        "blocks": blocks,
        "stop_reason": reply["stop_reason"],
        "stop_sequence": reply["stop_sequence"],
        "usage": usage,
    }


def as_read(message: dict[str, Any]) -> dict[str, Any]:
    """A whole message like one that was read from a stream."""
    blocks = message["content"]
    for block in blocks:
        unparsed = block.get("input", {}).get("__unparsedToolInput")
        if unparsed:
            block["input"] = unparsed["raw"]
    return {**message, "blocks": blocks}


@having("upstream.json")
def test_a_request_leaves_as_it_should(folder: Path) -> None:
    assert json.loads(made(folder, asked(folder, stream=False)).body) == content(folder, "upstream.json")


@having("upstream.json")
def test_a_request_for_a_stream_differs_in_that_only(folder: Path) -> None:
    streamed = {**content(folder, "upstream.json"), **STREAMED[dialect(folder).name]}
    assert json.loads(made(folder, asked(folder, stream=True)).body) == streamed


@having(*ANSWERS)
def test_a_reply_is_streamed_as_it_should(folder: Path) -> None:
    expected, (answer, data) = content(folder, "reply.json"), answered(folder)
    for pieces in ways(data):
        asking, watch = asked(folder, stream=True), Watch()
        machine = dialect(folder).reply(asking, made(folder, asking), answer, watch)
        out = b"".join([*(told for piece in pieces for told in machine.feed(piece)), *machine.close()])
        if "error" not in expected:
            told = read(out, unfinished=meta(folder).get("unfinished", False))
            assert normal(asdict(told), expected) == expected
            continue
        assert watch.failed
        assert (watch.failed.type, watch.failed.status) == (expected["error"]["type"], expected["status"])
        assert expected["message"] in watch.failed.message
        told = read(out)
        assert told.blocks == expected["blocks"]
        assert (told.error or {}).get("type") == (expected["error"]["type"] if expected["blocks"] else None)


@having(*ANSWERS)
def test_a_reply_is_one_message_as_it_should(folder: Path) -> None:
    expected, (answer, data) = content(folder, "reply.json"), answered(folder)
    asking, watch = asked(folder, stream=False), Watch()
    machine = dialect(folder).reply(asking, made(folder, asking), answer, watch)
    out = b"".join([*machine.feed(data), *machine.close()])
    if "error" in expected:
        assert out == b""
        assert watch.failed
        assert (watch.failed.type, watch.failed.status) == (expected["error"]["type"], expected["status"])
    else:
        assert normal(as_read(json.loads(out)), expected) == expected


@having(*ANSWERS, refused=True)
def test_an_error_is_told_as_it_should(folder: Path) -> None:
    expected, (answer, data) = content(folder, "reply.json"), answered(folder)
    failure = dialect(folder).failure(asked(folder), answer, data)
    assert (failure.type, failure.status) == (expected["error"]["type"], expected["status"])
    assert failure.message.startswith(expected["message"])
    assert {name.decode(): value.decode() for name, value in failure.headers} == expected.get("headers", {})


@pytest.mark.parametrize("folder", sorted((GOLDEN / "local").iterdir()), ids=lambda folder: folder.name)
def test_an_answer_without_an_upstream_is_told_as_it_should(folder: Path) -> None:
    expected = content(folder, "reply.json")
    for stream in (True, False):
        asking = asked(folder, stream=stream)
        local = dialect(folder).request(asking)
        assert isinstance(local, Local)
        machine = last_stage(asking, Watch())
        out = b"".join([*(told for event in local.events for told in machine.feed(event)), *machine.close()])
        reply = asdict(read(out)) if stream else as_read(json.loads(out))
        assert normal(reply, expected) == expected
