"""Anthropic's cache marks on chat messages, for the models that take them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from calls import body, sent
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.providers import load_providers
from upstreams.chat_rules import fault_of

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
ATTRIBUTION = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"}


def text(said: str, mark: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "text", "text": said, **({"cache_control": mark} if mark else {})}


def quirks(provider: str) -> dict[str, Any]:
    return load_providers({})[provider].quirks


def asked(model: str, provider: str = "openrouter", **fields: Any) -> dict[str, Any]:
    return sent(DIALECT, body(**fields), model=model, quirks=quirks(provider))


SYSTEM = [ATTRIBUTION, text("Be kind.", HOUR), text("Be brief.", HOUR)]
CALLS = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in ("a", "b")],
}


def result(ident: str, mark: dict[str, Any] | None = None, content: Any = "done") -> dict[str, Any]:
    marked = {"cache_control": mark} if mark else {}
    return {"type": "tool_result", "tool_use_id": ident, "content": content, **marked}


def test_marks_stand_where_the_client_put_them() -> None:
    messages = [
        {"role": "user", "content": "Look."},
        CALLS,
        {"role": "user", "content": [result("b", HOUR), result("a"), text("And?")]},
    ]
    out = asked("anthropic/claude-sonnet-5.5", system=SYSTEM, messages=messages)["messages"]
    assert out[0]["content"] == [text("Be kind.", HOUR), text("Be brief.", HOUR)]
    assert out[1]["content"] == [text("Look.")]
    assert [(one["tool_call_id"], one["content"]) for one in out[3:5]] == [
        ("a", [text("done")]),
        ("b", [text("done", HOUR)]),
    ]
    assert out[5] == {"role": "user", "content": [text("And?")]}


TAKES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("openrouter", "anthropic/claude-sonnet-5.5", HOUR),
    ("openrouter", "Anthropic/Claude-Opus-5.5", HOUR),
    ("openrouter", "~anthropic/claude-sonnet-latest", HOUR),
    ("openrouter", "qwen/qwen3-coder-plus", MARK),
    ("openrouter", "qwen/qwen3-coder", None),
    ("openrouter", "google/gemini-3-pro", None),
    ("openrouter", "openai/gpt-5.6", None),
    ("dashscope", "qwen3-coder-plus", MARK),
    ("dashscope", "qwen-long", None),
    ("openai", "gpt-4.1", None),
    ("mistral", "devstral", None),
]


@pytest.mark.parametrize(("provider", "model", "mark"), TAKES)
def test_who_takes_marks_gets_them(provider: str, model: str, mark: dict[str, Any] | None) -> None:
    made = asked(model, provider, system=SYSTEM, cache_control=HOUR)
    system = made["messages"][0]["content"]
    assert system == ("Be kind.\n\nBe brief." if mark is None else [text("Be kind.", mark), text("Be brief.", mark)])
    assert made.get("cache_control") == (HOUR if mark == HOUR else None)


ON: list[tuple[str, list[dict[str, Any]], int]] = [
    ("text", [{"role": "user", "content": [text("Hi", MARK)]}], 1),
    ("a system message", [{"role": "user", "content": "Hi"}, {"role": "system", "content": [text("Now.", MARK)]}], 1),
    ("what a result holds", [CALLS, {"role": "user", "content": [result("a"), result("b", None, [text("x", MARK)])]}], 1),
    ("a document", [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "x"}, "cache_control": MARK}]}], 1),
    ("an image alone", [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://h/x.png"}, "cache_control": MARK}]}], 0),
    ("an empty text", [{"role": "user", "content": [text("Hi"), text("", MARK)]}], 0),
    ("one that is odd", [{"role": "user", "content": [text("Hi", {"type": "eternal"}), text("Ho", {"type": "ephemeral", "ttl": 5})]}], 1),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "marks"), [row[1:] for row in ON], ids=[row[0] for row in ON])
def test_what_can_be_marked(messages: list[dict[str, Any]], marks: int) -> None:
    made = asked("anthropic/claude-sonnet-5.5", messages=messages)
    parts = [
        part for message in made["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    assert [part["cache_control"] for part in parts if "cache_control" in part] == [MARK] * marks


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without(inner) for name, inner in value.items() if name != "cache_control"}
    return [without(inner) for inner in value] if isinstance(value, list) else value


def test_a_mark_that_moves_on_changes_nothing_before_it() -> None:
    """Nor does content that the client writes now as a list and now as a string."""
    turns: list[list[dict[str, Any]]] = [
        [{"role": "user", "content": [text("Look.", MARK)]}],
        [CALLS, {"role": "user", "content": [result("a"), result("b", MARK)]}],
        [{"role": "assistant", "content": [text("Seen.")]}, {"role": "user", "content": [text("Thanks."), text("Go on.", MARK)]}],
    ]  # fmt: skip
    told: list[dict[str, Any]] = []
    bodies = []
    for turn in turns:
        bodies.append(asked("anthropic/claude-sonnet-5.5", messages=[*told, *turn], system=SYSTEM))
        told += without(turn)
        told[0]["content"] = "Look."
    for before, after in pairwise(bodies):
        count = len(before["messages"])
        assert without(after["messages"][:count]) == without(before["messages"])


def test_marks_pass_where_they_are_known_and_only_there() -> None:
    encoded = json.dumps(asked("anthropic/claude-sonnet-5.5", system=SYSTEM, cache_control=MARK)).encode()
    assert fault_of(encoded, extras=True) is None
    assert fault_of(encoded) is not None
