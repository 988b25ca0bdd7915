"""Examples, one folder each, of what becomes of a request and of a reply of Gemini's.

The files are those of test_golden.py: request.json and upstream.json, upstream.sse or upstream.json-reply and
reply.json, meta.toml. In reply.json the signature of a thinking block stands as what it carries.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from google.genai import types
from pydantic import TypeAdapter

from calls import JSON, SSE, call
from claude_code_proxy.dialects.base import Answer, Outgoing
from claude_code_proxy.dialects.gemini import DIALECT
from claude_code_proxy.wire import signature
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import ways
from upstreams.gemini_rules import STAND_IN, fault_of

GOLDEN = Path(__file__).with_name("golden_gemini")
FOLDERS = sorted(file.parent for file in GOLDEN.rglob("request.json"))
ANSWERS = {"upstream.sse": SSE, "upstream.json-reply": JSON}


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text("utf-8"))


def having(*names: str) -> pytest.MarkDecorator:
    folders = [folder for folder in FOLDERS if any((folder / name).is_file() for name in names)]
    return pytest.mark.parametrize("folder", folders, ids=[str(folder.relative_to(GOLDEN)) for folder in folders])


def made(folder: Path, *, stream: bool) -> tuple[Any, Outgoing]:
    meta = tomllib.loads((folder / "meta.toml").read_text("utf-8"))
    request = {**content(folder, "request.json"), "stream": stream}
    asking = call(request, model=meta["model"], quirks=meta.get("quirks"), cap=meta.get("cap", 0))
    outgoing = DIALECT.request(asking)
    assert isinstance(outgoing, Outgoing)
    return asking, outgoing


def carried(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] != "thinking":
        return block
    minted = signature.read(block["signature"])
    assert minted
    return {**block, "signature": (minted.state or [None])[1:]}


@having("upstream.json")
def test_a_request_leaves_as_it_should(folder: Path) -> None:
    asking, outgoing = made(folder, stream=True)
    assert json.loads(outgoing.body) == content(folder, "upstream.json")
    issued = {STAND_IN: ""}
    assert fault_of(outgoing.body, asking.model, issued) is None
    assert json.loads(made(folder, stream=False)[1].body) == content(folder, "upstream.json")


@having(*ANSWERS)
def test_a_reply_is_told_as_it_should(folder: Path) -> None:
    expected = content(folder, "reply.json")
    (name,) = (name for name in ANSWERS if (folder / name).is_file())
    answer, data = Answer(200, {"content-type": ANSWERS[name]}), (folder / name).read_bytes()
    for pieces in ways(data):
        asking, outgoing = made(folder, stream=True)
        machine = DIALECT.reply(asking, outgoing, answer, Watch())
        out = b"".join([*(told for piece in pieces for told in machine.feed(piece)), *machine.close()])
        told = asdict(read(out))
        told["blocks"] = [carried(block) for block in told["blocks"]]
        assert {key: told[key] for key in expected} == expected
    asking, outgoing = made(folder, stream=False)
    machine = DIALECT.reply(asking, outgoing, answer, Watch())
    message = json.loads(b"".join([*machine.feed(data), *machine.close()]))
    message["blocks"] = [carried(block) for block in message["content"]]
    assert {key: message[key] for key in expected} == expected


@having("upstream.json")
def test_googles_own_library_knows_every_field(folder: Path) -> None:
    body = content(folder, "upstream.json")
    known: dict[str, TypeAdapter[Any]] = {
        "contents": TypeAdapter(list[types.Content]),
        "systemInstruction": TypeAdapter(types.Content),
        "tools": TypeAdapter(list[types.Tool]),
        "toolConfig": TypeAdapter(types.ToolConfig),
        "generationConfig": TypeAdapter(types.GenerationConfig),
    }
    assert body.keys() <= known.keys()
    for name, value in body.items():
        known[name].validate_python(value)
    for tool in body.get("tools", []):
        for declared in tool.get("functionDeclarations", []):
            if schema := declared.get("parametersJsonSchema"):
                types.JSONSchema.model_validate(schema)
