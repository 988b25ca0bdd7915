from __future__ import annotations

import json
from typing import Any

import pytest

from calls import HI, body, call, outgoing, sent
from claude_code_proxy.dialects.base import Call, Local, Outgoing
from claude_code_proxy.dialects.gemini import DIALECT
from claude_code_proxy.wire.events import Stop
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.head import decode_head
from upstreams.gemini_rules import fault_of

PRO, FLASH3, PRO25, FLASH, LITE, OLD = (
    "gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.0-flash",
)  # fmt: skip
TOOL: dict[str, Any] = {"name": "Read", "description": "Reads.", "input_schema": {"$schema": "x", "type": "object", "properties": {"p": {"type": "string"}}, "additionalProperties": False}}  # fmt: skip


def asked(model: str = PRO, **fields: Any) -> dict[str, Any]:
    """The body that leaves, which Google would take."""
    made = outgoing(DIALECT, body(**fields), model=model)
    assert fault_of(made.body, model, {}) is None
    told: dict[str, Any] = json.loads(made.body)
    return told


PLACES = [
    ("gemini-3-pro", "models/gemini-3-pro"),
    ("models/gemini-3-pro", "models/gemini-3-pro"),
    ("tunedModels/mine-1", "tunedModels/mine-1"),
    ("a/b", "models/a%2Fb"),
    ("../../evil", "models/..%2F..%2Fevil"),
    ("models/../x?key=1#y", "models/..%2Fx%3Fkey%3D1%23y"),
    ("x:streamGenerateContent?alt=sse&", "models/x%3AstreamGenerateContent%3Falt%3Dsse%26"),
    ("größe", "models/gr%C3%B6%C3%9Fe"),
]


@pytest.mark.parametrize(("model", "path"), PLACES)
def test_where_a_model_is_asked(model: str, path: str) -> None:
    assert outgoing(DIALECT, body(), model=model).url == f"http://up.test/v1/{path}:generateContent"
    streamed = outgoing(DIALECT, body(stream=True), model=model)
    assert streamed.url == f"http://up.test/v1/{path}:streamGenerateContent?alt=sse"
    assert streamed.headers == ()


def test_the_smallest_request() -> None:
    assert asked() == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 100},
    }


def test_nothing_is_asked_for_no_tokens() -> None:
    assert DIALECT.request(call(body(max_tokens=0))) == Local((Stop("end_turn"),))


def test_a_malformed_request_is_refused() -> None:
    with pytest.raises(ApiError):
        DIALECT.request(call(body(messages=[])))


def test_the_system_prompt() -> None:
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: a"},
        {"type": "text", "text": "One."},
        {"type": "text", "text": "Two."},
    ]
    assert asked(system=system)["systemInstruction"] == {"parts": [{"text": "One.\n\nTwo."}]}


def test_settings() -> None:
    told = asked(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["a", "", "b", "c", "d", "e", "f"])
    assert told["generationConfig"] == {
        "maxOutputTokens": 100, "temperature": 0.5, "topP": 0.9, "topK": 40, "stopSequences": ["a", "b", "c", "d", "e"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "cap", "most"), [(PRO, 0, 65_536), (PRO, 1000, 1000), (OLD, 0, 8192), ("unknown", 0, 128_000)]
)
def test_the_output_limit(model: str, cap: int, most: int) -> None:
    assert sent(DIALECT, body(max_tokens=128_000), model=model, cap=cap)["generationConfig"]["maxOutputTokens"] == most


ADAPTIVE, OFF = {"type": "adaptive"}, {"type": "disabled"}


def level(name: str, *, shown: bool = True) -> dict[str, Any]:
    return {"thinkingLevel": name, **({"includeThoughts": True} if shown else {})}


def budget(tokens: int, *, shown: bool = True) -> dict[str, Any]:
    return {"thinkingBudget": tokens, **({"includeThoughts": True} if shown else {})}


THINKING: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    (PRO, {}, None),
    (PRO, {"thinking": ADAPTIVE}, level("HIGH")),
    (PRO, {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}, level("LOW")),
    (PRO, {"thinking": ADAPTIVE, "output_config": {"effort": "max"}}, level("HIGH")),
    (PRO, {"thinking": ADAPTIVE, "output_config": {"effort": "medium"}}, level("HIGH")),
    ("gemini-3.1-pro-preview", {"thinking": ADAPTIVE, "output_config": {"effort": "medium"}}, level("MEDIUM")),
    ("gemini-4-argon", {"thinking": ADAPTIVE, "output_config": {"effort": "xhigh"}}, level("HIGH")),
    (PRO, {"thinking": OFF}, level("LOW", shown=False)),
    (PRO, {"thinking": {"type": "enabled", "budget_tokens": 400}}, level("LOW")),
    (FLASH3, {"thinking": OFF}, level("MINIMAL", shown=False)),
    (FLASH3, {"thinking": {"type": "enabled", "budget_tokens": 400}}, level("MINIMAL")),
    (FLASH3, {"output_config": {"effort": "medium"}}, level("MEDIUM")),
    (PRO25, {"thinking": OFF}, budget(128, shown=False)),
    (PRO25, {"thinking": ADAPTIVE}, budget(24_576)),
    (PRO25, {"thinking": ADAPTIVE, "output_config": {"effort": "max"}}, budget(32_768)),
    (PRO25, {"thinking": {"type": "enabled", "budget_tokens": 31_999}}, budget(31_999)),
    (PRO25, {"thinking": {"type": "enabled", "budget_tokens": 5}}, budget(128)),
    (FLASH, {"thinking": OFF}, {"thinkingBudget": 0}),
    (FLASH, {"thinking": {"type": "enabled", "budget_tokens": 31_999}}, budget(24_576)),
    (LITE, {"output_config": {"effort": "low"}}, budget(1024)),
    (LITE, {"thinking": {"type": "enabled", "budget_tokens": 400}}, budget(512)),
    (FLASH, {"thinking": ADAPTIVE, "max_tokens": 4000}, budget(2000)),
    (OLD, {"thinking": ADAPTIVE}, None),
    ("gemini-2.5-flash-image", {"thinking": ADAPTIVE}, None),
    ("gemma-3-27b-it", {"thinking": OFF}, None),
    ("some-tuned-model", {"thinking": ADAPTIVE}, None),
]


@pytest.mark.parametrize(("model", "fields", "expected"), THINKING)
def test_thinking(model: str, fields: dict[str, Any], expected: dict[str, Any] | None) -> None:
    told = asked(model, **{"max_tokens": 64_000, **fields}) if model != OLD else asked(model, **fields)
    assert told["generationConfig"].get("thinkingConfig") == expected


def test_tools() -> None:
    made = asked(tools=[TOOL, {"name": "Now"}])
    assert made["tools"] == [
        {
            "functionDeclarations": [
                {"name": "Read", "description": "Reads.", "parametersJsonSchema": {"type": "object", "properties": {"p": {"type": "string"}}}},
                {"name": "Now"},
            ],
        },
    ]  # fmt: skip
    assert "toolConfig" not in made


def test_tools_in_googles_own_form() -> None:
    made = json.loads(outgoing(DIALECT, body(tools=[TOOL]), model=PRO, quirks={"schema": "openapi"}).body)
    [declared] = made["tools"][0]["functionDeclarations"]
    assert declared["parameters"] == {"type": "OBJECT", "properties": {"p": {"type": "STRING"}}}
    assert "parametersJsonSchema" not in declared


@pytest.mark.parametrize("name", ["mcp__server__tool", "1st", "-dash", "a.b/c", "x" * 80, "ünï", "9" * 80, "_"])
def test_names_are_words_and_the_same_everywhere(name: str) -> None:
    use = {"type": "tool_use", "id": "c1", "name": name, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
    messages = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    made = asked(tools=[{**TOOL, "name": name}], tool_choice={"type": "tool", "name": name}, messages=messages)
    offered = made["tools"][0]["functionDeclarations"][0]["name"]
    assert made["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [offered]
    assert made["contents"][1]["parts"][0]["functionCall"]["name"] == offered
    assert made["contents"][2]["parts"][0]["functionResponse"]["name"] == offered


CHOICES = [
    ({"type": "auto"}, {"mode": "AUTO"}),
    ({"type": "any"}, {"mode": "ANY"}),
    ({"type": "none"}, {"mode": "NONE"}),
    ({"type": "tool", "name": "Read"}, {"mode": "ANY", "allowedFunctionNames": ["Read"]}),
    ({"type": "tool", "name": "Gone"}, None),
    ({"type": "new"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_tool_choice(choice: dict[str, Any], expected: dict[str, Any] | None) -> None:
    config = asked(tools=[TOOL], tool_choice=choice).get("toolConfig")
    assert (config or {}).get("functionCallingConfig") == expected
    assert "toolConfig" not in asked(tool_choice=choice)


def test_tools_are_offered_once_they_are_loaded() -> None:
    late = {**TOOL, "name": "Late", "defer_loading": True}
    assert "tools" not in asked(tools=[late])
    use = {"type": "tool_use", "id": "c1", "name": "ToolSearch", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "tool_reference", "tool_name": "Late"}]}
    messages = [HI, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    made = asked(tools=[late, TOOL], messages=messages)
    assert [one["name"] for one in made["tools"][0]["functionDeclarations"]] == ["Read", "Late"]


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
FORM = {"format": {"type": "json_schema", "schema": SCHEMA}}


def test_an_answer_in_a_schema() -> None:
    config = asked(output_config=FORM, tools=[])["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
    }
    assert "responseJsonSchema" in asked(PRO, output_config=FORM, tools=[TOOL])["generationConfig"]
    loose = {"format": {"type": "json_schema", "schema": {"type": "array"}}}
    assert asked(output_config=loose)["generationConfig"] == {
        "maxOutputTokens": 100,
        "responseMimeType": "application/json",
    }
    told = asked(FLASH, output_config=FORM, tools=[TOOL])
    assert "responseMimeType" not in told["generationConfig"]
    large = {"format": {"type": "json_schema", "schema": {**SCHEMA, "maximum": 10**30}}}
    assert str(10**30) in asked(FLASH, output_config=large, tools=[TOOL])["systemInstruction"]["parts"][0]["text"]
    assert '"required":["title"]' in told["systemInstruction"]["parts"][0]["text"]


def test_a_web_search() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    made = asked(tools=[search], tool_choice={"type": "auto"})
    assert made["tools"] == [{"googleSearch": {}}]
    assert "toolConfig" not in made
    made = asked(tools=[{**search, "allowed_domains": ["a.test", "b.test"]}])
    assert made["systemInstruction"]["parts"][0]["text"] == "Use pages of these sites only: a.test, b.test."
    assert [one["name"] for one in asked(tools=[search, TOOL])["tools"][0]["functionDeclarations"]] == ["Read"]


def test_the_users_own_fields_are_laid_into_the_body() -> None:
    raw = json.dumps(body(temperature=0.5)).encode()
    extra = {"safetySettings": [{"category": "X"}], "generationConfig": {"temperature": 1, "seed": 7}}
    made = DIALECT.request(Call(decode_head(raw), PRO, "seed", "http://up.test", body=extra))
    assert isinstance(made, Outgoing)
    told = json.loads(made.body)
    assert told["generationConfig"] == {"maxOutputTokens": 100, "temperature": 1, "seed": 7}
    assert told["safetySettings"] == [{"category": "X"}]


def test_what_has_no_counterpart_is_left_out() -> None:
    made = asked(
        metadata={"user_id": "me"},
        context_management={"edits": []},
        safeguards=[{"live_cwd": "/home/me"}],
        service_tier="auto",
        container="x",
        unknown=1,
    )
    assert made == asked()


def test_the_clients_request_is_not_changed() -> None:
    from claude_code_proxy.dialects.schema import trimmed  # noqa: PLC0415

    schema = json.loads(json.dumps(SCHEMA))
    trimmed(schema, "json")
    trimmed(schema, "openapi")
    assert schema == SCHEMA
