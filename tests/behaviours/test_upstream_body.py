"""Behaviours 27 to 31 and 33 to 34: what upstreams of OpenAI's format are sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from .stage import TOOL, hello, post

if TYPE_CHECKING:
    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLACES = {
    "openai": "/openai:gpt-4.1",
    "openrouter": "/openrouter:qwen/qwen3",
    "nvidia": "/nvidia:meta/llama",
    "ollama": "/ollama:llama3:8b",
    "anthropic": "/anthropic:claude-sonnet-4",
}
CHAT = ("openai", "openrouter", "nvidia")


async def sent(stage: Stage, name: str, body: dict[str, Any], *, base: str = "", url: str = "") -> dict[str, Any]:
    """What this provider is sent for a request."""
    upstream = stage.upstreams[name]
    before = len(upstream.posts)
    answer = await post(url or stage.url, f"{base or PLACES[name]}/v1/messages", body)
    assert answer.status == 200, answer.body
    assert len(upstream.posts) == before + 1
    made: dict[str, Any] = upstream.posts[-1].json
    return made


def limits(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body}


FIELDS = {"openai": "max_completion_tokens"}


@pytest.mark.parametrize("name", PLACES)
async def test_27_max_tokens_becomes_the_providers_own_field(stage: Stage, name: str) -> None:
    """Never both; the cap holds everywhere, and 0 is none."""
    field = FIELDS.get(name, "max_tokens")
    capped = await stage.serve(MAX_OUTPUT_TOKENS="500")
    for url, asked, limit in ((stage.url, 9000, 9000), (capped, 9000, 500), (capped, 100, 100), (capped, 500, 500)):
        for stream in (False, True):
            body = await sent(stage, name, hello(stream=stream) | {"max_tokens": asked}, url=url)
            assert limits(body) == {field: limit}


@pytest.mark.parametrize("name", CHAT)
async def test_28_stop_top_p_and_temperature(stage: Stage, name: str) -> None:
    body = await sent(stage, name, hello(stop_sequences=["END", "###"], top_p=0.5, temperature=0.25))
    assert (body["stop"], body["top_p"], body["temperature"]) == (["END", "###"], 0.5, 0.25)
    assert (await sent(stage, name, hello(temperature=0)))["temperature"] == 0
    plain = await sent(stage, name, hello())
    assert not {"temperature", "top_p", "top_k", "stop", "stop_sequences"} & plain.keys()


async def test_28_top_k_is_not_for_openai(stage: Stage) -> None:
    assert "top_k" not in await sent(stage, "openai", hello(top_k=5))
    assert (await sent(stage, "openrouter", hello(top_k=5)))["top_k"] == 5


@pytest.mark.parametrize("model", ["o3", "o4-mini", "o1", "gpt-5", "gpt-5-mini", "gpt-5.4"])
async def test_28_models_that_reason_take_no_temperature(stage: Stage, model: str) -> None:
    body = await sent(stage, "openai", hello(temperature=0.2, top_p=0.9), base=f"/openai:{model}")
    assert not {"temperature", "top_p"} & body.keys()


def call(name: str = "Read", ident: str = "toolu_1", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": name, "input": given}


def result(content: Any, ident: str = "toolu_1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content, **fields}


OTHER = {"name": "Write", "input_schema": {"type": "object", "properties": {}}}
CHOICES: list[tuple[Any, Any]] = [
    (None, None),
    ({"type": "auto"}, "auto"),
    ({"type": "any"}, "required"),
    ({"type": "none"}, "none"),
    ({"type": "tool", "name": "Read"}, {"type": "function", "function": {"name": "Read"}}),
]


@pytest.mark.parametrize("name", CHAT)
async def test_29_tools_are_functions_and_the_choice_among_them(stage: Stage, name: str) -> None:
    for choice, wanted in CHOICES:
        for stream in (False, True):
            fields = {} if choice is None else {"tool_choice": choice}
            body = await sent(stage, name, hello(tools=[TOOL, OTHER], stream=stream, **fields))
            assert body.get("tool_choice") == wanted
            assert "parallel_tool_calls" not in body
            schema = {key: value for key, value in TOOL["input_schema"].items() if key != "$schema"}
            first, second = body["tools"]
            assert first["type"] == second["type"] == "function"
            assert first["function"] == {"name": "Read", "description": "Read a file.", "parameters": schema}
            assert second["function"] == {"name": "Write", "parameters": OTHER["input_schema"]}


@pytest.mark.parametrize("name", CHAT)
@pytest.mark.parametrize("kind", ["auto", "any", "tool"])
async def test_29_one_call_at_a_time(stage: Stage, name: str, kind: str) -> None:
    choice = {"type": kind, "disable_parallel_tool_use": True} | ({"name": "Read"} if kind == "tool" else {})
    body = await sent(stage, name, hello(tools=[TOOL], tool_choice=choice))
    assert body["parallel_tool_calls"] is False
    for value in (False, None):
        choice = {**choice, "disable_parallel_tool_use": value}
        assert "parallel_tool_calls" not in await sent(stage, name, hello(tools=[TOOL], tool_choice=choice))


@pytest.mark.parametrize("kind", ["custom", None])
async def test_29_a_tool_may_say_that_it_is_the_clients_own(stage: Stage, kind: str | None) -> None:
    body = await sent(stage, "openai", hello(tools=[{**TOOL, "type": kind}]))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["Read"]


BILLING = "x-anthropic-billing-header: cc_version=2.1.197; cch=0;"
SYSTEMS: list[tuple[Any, str]] = [
    ("Be kind.", "Be kind."),
    ([{"type": "text", "text": "Be kind."}], "Be kind."),
    ([{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}], "A\n\nB"),
    ([{"type": "text", "text": BILLING}, {"type": "text", "text": "A"}, {"type": "text", "text": "B"}], "A\n\nB"),
    ([{"type": "text", "text": "A"}, {"type": "text", "text": BILLING}], "A"),
    ("", ""),
    ([], ""),
    ([{"type": "text", "text": ""}], ""),
    ([{"type": "text", "text": BILLING}], ""),
    (None, ""),
]


@pytest.mark.parametrize("name", CHAT)
@pytest.mark.parametrize(("system", "said"), SYSTEMS, ids=[str(n) for n in range(len(SYSTEMS))])
async def test_30_one_system_message(stage: Stage, name: str, system: Any, said: str) -> None:
    body = await sent(stage, name, hello(system=system))
    expected = [{"role": "system", "content": said}] if said else []
    assert body["messages"] == [*expected, {"role": "user", "content": "Hello"}]


async def test_31_a_tool_loop(stage: Stage) -> None:
    given: dict[str, Any] = {"path": "/a b", "n": 12345678901234567890, "nested": {"é": [1, None, True]}}
    messages = [
        {"role": "user", "content": "Look."},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Looking."}, call(**given), call("Write", "toolu_2")],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "By the way"},
                result([{"type": "text", "text": "line 1"}, {"type": "text", "text": "line 2"}], "toolu_2"),
                result("It broke.", is_error=True),
                {"type": "text", "text": "and then?"},
            ],
        },
    ]
    for name in CHAT:
        body = await sent(stage, name, hello(tools=[TOOL, OTHER], messages=messages))
        _, asked, first, second, after = body["messages"]
        assert asked["content"] == "Looking."
        assert [(one["id"], one["function"]["name"]) for one in asked["tool_calls"]] == [
            ("toolu_1", "Read"),
            ("toolu_2", "Write"),
        ]
        assert [json.loads(one["function"]["arguments"]) for one in asked["tool_calls"]] == [given, {}]
        told = {message["tool_call_id"]: message["content"] for message in (first, second)}
        assert {first["role"], second["role"]} == {"tool"}
        assert told["toolu_2"] == "line 1\nline 2"
        assert "It broke." in told["toolu_1"]
        assert "error" in told["toolu_1"].lower()
        assert after["role"] == "user"
        assert after["content"].index("By the way") < after["content"].index("and then?")


@pytest.mark.parametrize(
    "content", ["", [], None, [{"type": "text", "text": ""}], [{"type": "brand_new", "x": 1}]], ids=str
)
async def test_31_results_of_any_kind(stage: Stage, content: Any) -> None:
    for given in (result(content), {"type": "tool_result", "tool_use_id": "toolu_1"}):
        messages = [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [call()]},
            {"role": "user", "content": [given]},
        ]
        body = await sent(stage, "openai", hello(tools=[TOOL], messages=messages))
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
        assert body["messages"][2]["tool_call_id"] == "toolu_1"


NEMOTRONS = ["nvidia/nemotron-3-nano-30b-a3b", "nvidia/llama-3.3-Nemotron-super-49b", "nvidia/NEMOTRON-x"]


@pytest.mark.parametrize("base", ["/nvidia:", "/openai:"])
async def test_33_nemotron_is_told_how_to_think(stage: Stage, base: str) -> None:
    for model in NEMOTRONS:
        for stream in (False, True):
            body = await sent(stage, "nvidia", hello(stream=stream), base=base + model)
            assert body["reasoning_budget"] == 16384
            assert body["chat_template_kwargs"] == {"enable_thinking": True}
    for name, other in (("nvidia", "meta/llama-3.3"), ("nvidia", "nvidia/other"), ("openrouter", "qwen/nemotron")):
        body = await sent(stage, name, hello(), base=f"/{name}:{other}")
        assert not {"reasoning_budget", "chat_template_kwargs"} & body.keys()


THINKING = {"true": True, "1": True, "yes": True, "TRUE": True, "on": True, "false": False, "0": False, "No": False}


async def test_33_the_two_settings(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    for said, means in THINKING.items():
        url = await stage.serve(NVIDIA_REASONING_BUDGET="2048", NVIDIA_ENABLE_THINKING=said)
        body = await sent(stage, "nvidia", hello(), base=f"/nvidia:{NEMOTRONS[0]}", url=url)
        assert (body["reasoning_budget"], body["chat_template_kwargs"]) == (2048, {"enable_thinking": means}), said
    for budget, thinking in (("lots", "perhaps"), ("-3", "2"), ("1.5", "")):
        caplog.clear()
        url = await stage.serve(NVIDIA_REASONING_BUDGET=budget, NVIDIA_ENABLE_THINKING=thinking)
        body = await sent(stage, "nvidia", hello(), base=f"/nvidia:{NEMOTRONS[0]}", url=url)
        assert (body["reasoning_budget"], body["chat_template_kwargs"]) == (16384, {"enable_thinking": True})
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any("NVIDIA_REASONING_BUDGET" in line and budget in line for line in warned)


ENDINGS: list[Any] = [
    "Sure, here",
    [{"type": "text", "text": "Sure"}],
    "",
    [],
    [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}],
    [call()],
]


@pytest.mark.parametrize("name", CHAT)
@pytest.mark.parametrize("ending", ENDINGS, ids=str)
async def test_34_an_assistant_at_the_end(stage: Stage, name: str, ending: Any) -> None:
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": ending}]
    body = await sent(stage, name, hello(messages=messages))
    assert body["messages"][-1]["role"] in {"user", "tool"}
    assert (await sent(stage, name, hello(messages=messages[1:])))["messages"][-1]["role"] in {"user", "tool"}
