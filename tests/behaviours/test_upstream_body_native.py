"""Behaviours 32 and 35 to 39: images, and what Gemini, Ollama and Anthropic are sent."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import FakeOllama, Model, Msg, text

from .stage import CLIENT_KEY, KEYS, TOOL, hello, is_native, post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

DATA = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
SEEN = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}
SHOWN = [
    {"role": "user", "content": "Look."},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}]},
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Here:"}, IMAGE]}
        ],
    },
]
PARTS = {"openai": "/openai:gpt-4.1", "openrouter": "/openrouter:qwen/qwen3", "nvidia": "/nvidia:meta/llama"}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a body."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def images(body: Any) -> list[str]:
    """The images in a body, as data URLs, whatever its format."""
    found = []
    for node in nodes(body):
        if node.get("type") == "image_url":
            found.append(node["image_url"]["url"])
        elif inline := node.get("inlineData") or node.get("inline_data"):
            found.append(f"data:{inline.get('mimeType') or inline['mime_type']};base64,{inline['data']}")
    return found


@pytest.mark.parametrize("name", [*PARTS, "gemini"])
@pytest.mark.parametrize("messages", [[SEEN], SHOWN], ids=["of the user", "in a result"])
async def test_32_an_image_arrives_as_one(stage: Stage, name: str, messages: Any) -> None:
    base = PARTS.get(name, "/gemini:gemini-2.5-pro")
    assert (await post(stage.url, f"{base}/v1/messages", hello(messages=messages, tools=[TOOL]))).status == 200
    body = stage.only(name).json
    assert images(body) == [f"data:image/png;base64,{DATA}"]
    assert json.dumps(body).count(DATA) == 1  # nowhere as text


@pytest.mark.parametrize("base", ["/ollama:llava", "/anthropic:claude-sonnet-4"])
@pytest.mark.parametrize("messages", [[SEEN], SHOWN], ids=["of the user", "in a result"])
async def test_32_an_image_is_untouched_where_nothing_is_translated(stage: Stage, base: str, messages: Any) -> None:
    assert (await post(stage.url, f"{base}/v1/messages", hello(messages=messages, tools=[TOOL]))).status == 200
    assert stage.only(base[1:].partition(":")[0]).json["messages"] == messages


UNSUPPORTED = {"$schema", "additionalProperties", "default", "exclusiveMinimum"}
FORMATS = {"enum", "date-time"}


async def test_35_schemas_for_gemini(stage: Stage) -> None:
    """Whatever the form, `$schema` goes; in Gemini's own dialect of schemas all else that it does not know."""
    before = json.dumps(TOOL)
    for _ in range(2):
        assert (await post(stage.url, "/gemini:gemini-2.5-pro/v1/messages", hello(tools=[TOOL]))).status == 200
    first, second = stage.gemini.posts
    assert first.raw == second.raw
    assert json.dumps(TOOL) == before
    assert "$schema" not in first.raw.decode()
    if not is_native(first):
        [function] = [tool["function"] for tool in first.json["tools"]]
        assert function["parameters"]["properties"].keys() == TOOL["input_schema"]["properties"].keys()
        return
    [function] = [one for tool in first.json["tools"] for one in tool["functionDeclarations"]]
    schema = function.get("parameters") or function["parametersJsonSchema"]
    assert schema["properties"].keys() == TOOL["input_schema"]["properties"].keys()
    if "parameters" in function:
        assert not [node for node in nodes(schema) if UNSUPPORTED & node.keys()]
        assert {node["format"] for node in nodes(schema) if isinstance(node.get("format"), str)} <= FORMATS


RAW = (
    '{"max_tokens": 1024 ,"model":"claude-sonnet-4", "stream":false, "new_field":{"a" : [1.0, 1e3]},\n'
    '"metadata":{"user_id":"u"},"thinking":{"type":"enabled","budget_tokens":1024},'
    '"tools":[{"name":"Read","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],'
    '"messages":[{"role":"user","content":[{"type":"text","text":"\\u00e9 é"},'
    '{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBOR w0="}}]},'
    '{"role":"assistant","content":[{"type":"thinking","thinking":"Hm.","signature":"c2ln"},'
    '{"type":"tool_use","id":"t1","name":"Read","input":{"n":12345678901234567890123}}]},'
    '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"x","cache_control":{"type":"ephemeral"}}]}]}'
).encode()


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
async def test_36_ollama_gets_the_clients_bytes(stage: Stage, version: str) -> None:
    for headers, arrives in (({"anthropic-version": version}, version), ({}, "2023-06-01")):
        stage.ollama.use(Msg([text("Hello")]))
        assert (await post(stage.url, "/ollama:glm-4.7-flash:latest/v1/messages", RAW, **headers)).status == 200
        asked = stage.only("ollama")
        assert (asked.method, asked.path) == ("POST", "/v1/messages")
        assert asked.headers["anthropic-version"] == arrives
        assert not {"authorization", "x-api-key"} & asked.headers.keys()
        assert_same_but_the_model(asked.raw, RAW, "glm-4.7-flash:latest")


def assert_same_but_the_model(raw: bytes, whole: bytes, model: str) -> None:
    """Every field's own bytes are there; only the model's are others."""
    sent, asked = json.loads(raw), json.loads(whole)
    assert sent == asked | {"model": model}
    for part in (b'{"a" : [1.0, 1e3]}', b'"\\u00e9 \xc3\xa9"', b"12345678901234567890123", b'"iVBOR w0="'):
        assert part in raw
    start = whole.index(b'[{"role"')
    assert whole[start:-1] in raw


async def test_37_the_window_of_ollamas_models(stage: Stage) -> None:
    """A model of the wanted window is made and asked; the documents say so."""
    async with FakeOllama([Msg([text("Hello")])], **{"qwen3:8b": Model(window=262_144)}) as ollama:
        for number, (value, window) in enumerate((("", 128_000), ("60000", 60_000), ("0", 4096))):
            url = await stage.serve(OLLAMA_API_BASE=ollama.url, OLLAMA_NUM_CTX=value)
            assert (await post(url, "/ollama:qwen3:8b/v1/messages", hello())).status == 200
            assert (len(ollama.served), ollama.served[-1].num_ctx) == (number + 1, window)
    page = (Path(__file__).parents[2] / "docs" / "how-it-works.md").read_text("utf-8")
    assert "window of `OLLAMA_NUM_CTX`" in page


BETAS = "context-management-2025-06-27,prompt-caching-2024-07-31"


@pytest.mark.parametrize("base", ["/anthropic:claude-opus-4", "/anthropic:claude-sonnet-4"])
async def test_38_anthropic_is_passed_through(stage: Stage, base: str) -> None:
    body = RAW.replace(b'"new_field":{"a" : [1.0, 1e3]},', b'"context_management":{"a" : [1.0, 1e3]},')
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": BETAS,
        "anthropic-dangerous-direct-browser-access": "true",
        "x-api-key": CLIENT_KEY,
        "authorization": f"Bearer {CLIENT_KEY}",
    }
    for query in ("", "?beta=true"):
        stage.answer()
        assert (await post(stage.url, f"{base}/v1/messages{query}", body, **headers)).status == 200
        asked = stage.only("anthropic")
        assert_same_but_the_model(asked.raw, body, base.partition(":")[2])
        assert (asked.headers["anthropic-beta"], asked.headers["anthropic-version"]) == (BETAS, "2023-06-01")
        assert asked.headers["x-api-key"] == KEYS["ANTHROPIC_API_KEY"]
        assert "authorization" not in asked.headers
        assert CLIENT_KEY not in f"{asked.headers}"


async def test_38_the_same_model_leaves_the_body_as_it_is(stage: Stage) -> None:
    body = RAW.replace(b'"new_field":{"a" : [1.0, 1e3]},', b"")
    url = await stage.serve(PREFERRED_PROVIDER="anthropic")
    assert (await post(url, "/v1/messages", body)).status == 200
    assert stage.only("anthropic").raw == body
