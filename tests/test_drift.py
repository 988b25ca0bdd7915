"""What is not known is counted by its name, in a bounded room, and never by what it holds."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any, get_args

import pytest
from anthropic.types import AnthropicBetaParam
from anthropic.types.beta.message_create_params import MessageCreateParamsBase

from calls import replied
from claude_code_proxy.dialects import openai_responses
from claude_code_proxy.drift import EVERY, KINDS, LONGEST, MOST, NAMELESS, OTHERS, Drift, Names, known, plain
from claude_code_proxy.wire.head import decode_head
from claude_code_proxy.wire.tap import Tap
from claude_code_proxy.wire.watch import Watch
from machines import fed
from recordings import NEEDED, RECORDINGS, documents
from responses_reader import STREAMS, framed

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-prompt-plover"
CLI = {"user-agent": "claude-cli/2.1.330 (external, sdk-cli)", "anthropic-beta": "effort-2025-11-24"}
KNOWN: dict[str, Any] = {
    "model": "m",
    "max_tokens": 1,
    "stream": True,
    "system": [{"type": "text", "text": CANARY, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "metadata": {"user_id": CANARY},
    "thinking": {"type": "adaptive", "display": "updates"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {CANARY: CANARY}}},
    "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {CANARY: CANARY}}],
    "tool_choice": {"type": "auto"},
    "tools": [
        {"name": CANARY, "description": CANARY, "input_schema": {CANARY: {}}, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
    "messages": [
        {"role": "user", "content": CANARY},
        {"role": "system", "content": [], "output_config": {"effort": "high"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": CANARY, "input": {CANARY: CANARY}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": CANARY}},
                        {"type": "tool_reference", "tool_name": CANARY},
                    ],
                }
            ],
        },
    ],
}


def sse(*events: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def names(drift: Drift) -> dict[str, dict[str, Any]]:
    """The counts alone."""
    return {kind: {name: seen["count"] for name, seen in told.items()} for kind, told in drift.told().items()}


def drift_of(body: Any, **headers: str) -> Drift:
    drift = Drift()
    drift.request({**CLI, **headers}, decode_head(json.dumps(body).encode()))
    return drift


def test_what_is_known_is_no_drift() -> None:
    assert drift_of(KNOWN).told() == {}


UNKNOWN: list[tuple[dict[str, Any], str, str]] = [
    ({"mood": CANARY}, "field", "mood"),
    ({"thinking": {"type": "adaptive", "depth": CANARY}}, "field", "thinking.depth"),
    ({"output_config": {"tone": CANARY}}, "field", "output_config.tone"),
    ({"thinking": {"type": "telepathic"}}, "type", "thinking.telepathic"),
    ({"tool_choice": {"type": "perhaps"}}, "type", "tool_choice.perhaps"),
    ({"output_config": {"format": {"type": "xml", "schema": CANARY}}}, "type", "output_config.format.xml"),
    ({"context_management": {"edits": [{"type": "forget", "what": CANARY}]}}, "type", "context_management.edits.forget"),
    ({"safeguards": [{"type": "guess", CANARY: CANARY}]}, "type", "safeguards.guess"),
    ({"messages": [{"role": "oracle", "content": CANARY}]}, "role", "oracle"),
    ({"messages": [{"role": "user", "content": CANARY, "urgent": True}]}, "message_field", "urgent"),
    ({"messages": [{"role": "user", "content": [{"type": "smell", CANARY: CANARY}]}]}, "block", "smell"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": CANARY, "font": CANARY}]}]}, "block_field", "text.font"),
    ({"system": [{"type": "text", "text": CANARY, "cache_control": {"type": "eternal"}}]}, "type", "cache_control.eternal"),
    ({"tools": [{"type": "saw_20270101", "name": CANARY}]}, "tool", "saw_20270101"),
    ({"tools": [{"name": CANARY, "input_schema": {}, "cost": CANARY}]}, "tool_field", "cost"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "name"), UNKNOWN, ids=[f"{kind}-{name}" for _, kind, name in UNKNOWN])
def test_an_unknown_name_is_counted(change: dict[str, Any], kind: str, name: str) -> None:
    drift = drift_of(KNOWN | change)
    assert names(drift) == {kind: {name: 1}}
    assert CANARY not in json.dumps(drift.told())


def test_a_name_is_counted_once_in_a_request() -> None:
    blocks = [{"type": "smell"}, {"type": "smell"}, {"type": "tool_result", "content": [{"type": "smell"}]}]
    assert names(drift_of(KNOWN | {"messages": [{"role": "user", "content": blocks}]})) == {"block": {"smell": 1}}


def test_betas_and_headers() -> None:
    drift = Drift()
    drift.request({"anthropic-beta": "effort-2025-11-24, new-1,,new-2", "x-new": CANARY, "cookie": CANARY}, None)
    assert names(drift) == {"beta": {"new-1": 1, "new-2": 1}, "header": {"x-new": 1}}
    assert CANARY not in json.dumps(drift.told())


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("claude-cli/2.1.330 (external, cli)", "claude-cli/2.1.330"),
        ("Anthropic/Python 2.12.0", "Anthropic/Python"),
        (f"{CANARY} /x", NAMELESS),
        ("", NAMELESS),
    ],
)
def test_clients_are_counted_by_product_and_version(agent: str, shown: str) -> None:
    drift = Drift()
    drift.request({"user-agent": agent}, None)
    assert list(drift.clients.told()) == [shown]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": None, "tools": 1, "system": {}, "thinking": [], "output_config": "x"},
        {"messages": [1, None, "x", [], {"content": 1}, {"content": [1, None, {"type": 1}, {}]}]},
        {"messages": "x" * (3 << 20)},
        {"messages": [{"role": "user", "content": "[" * 5000}], "thinking": {"type": {"type": []}}},
    ],
)
def test_no_body_is_too_strange(body: dict[str, Any]) -> None:
    assert drift_of({"model": "m"} | body).told() == {}


def test_names_are_bounded_in_number_and_length() -> None:
    counted = Names()
    for n in range(MOST + 50):
        counted.add(f"name-{n}")
        counted.add("n" * 5000)
    told = counted.told()
    assert len(told) == MOST + 1
    assert told[OTHERS]["count"] == 51
    assert max(map(len, told)) == LONGEST


@pytest.mark.parametrize("text", ["Please tell me about my plover.", "line\nline", "\x1b[2J", "größer", "two words"])
def test_a_text_is_no_name(text: str) -> None:
    counted = Names()
    counted.add(text)
    assert list(counted.told()) == [NAMELESS]


def test_first_and_last_time() -> None:
    ticks = count(1_800_000_000)
    counted = Names(lambda: next(ticks))
    for _ in range(3):
        counted.add("new")
    assert counted.told() == {"new": {"count": 3, "first": "2027-01-15T08:00:00Z", "last": "2027-01-15T08:00:02Z"}}


def test_messages_are_looked_at_the_first_time_and_then_now_and_then() -> None:
    body = KNOWN | {"messages": [{"role": "user", "content": [{"type": "smell"}]}]}
    drift, head = Drift(), decode_head(json.dumps(body).encode())
    for _ in range(EVERY * 3):
        drift.request(CLI, head)
    assert names(drift) == {"block": {"smell": 1 + 3}}
    drift.request(CLI | {"user-agent": "claude-cli/2.1.331"}, head)  # another release
    drift.request(CLI | {"anthropic-beta": "compact-2026-01-12"}, head)
    drift.request(CLI, decode_head(json.dumps(body | {"system": CANARY * 200}).encode()))  # a longer one
    assert names(drift) == {"block": {"smell": 4 + 3}}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/messages/batches/msgbatch_01HkcT/results", "/v1/messages/batches/{id}/results"),
        ("/openrouter:stepfun/step-3.5-flash:free/v1/new_thing", "/v1/new_thing"),
        ("/openrouter:stepfun/step-3.5-flash:free/api/hello", "/api/hello"),
        ("/v1/v1/new", "/v1/new"),
        ("/api/Some secret text/x", "/api/{id}/x"),
        ("", "/"),
        ("/openrouter:vendor/some-model", "/"),
        ("/ollama:model:latest", "/"),
        ("/v1/models/a/v1/new", "/v1/new"),
    ],
)
def test_paths_without_what_is_a_users(path: str, shown: str) -> None:
    assert plain(path) == shown


def test_endpoints() -> None:
    drift = Drift()
    for method, path in [("HEAD", "/x:y/api/hello"), ("GET", "/v1/models/a-b"), ("GET", "/"), ("POST", "/v1/skills")]:
        drift.endpoint(method, path)
    assert drift.told() == {}
    drift.endpoint("POST", "/x:y/v1/messages/rewind")
    assert names(drift) == {"endpoint": {"POST /v1/messages/rewind": 1}}


def test_every_kind_has_its_known_names() -> None:
    assert all(known().names(kind) for kind in KINDS)


def test_what_the_sdk_knows_is_known() -> None:
    """A newer SDK makes this fail: then drift.toml has to learn what it brings."""
    betas = {beta for part in get_args(AnthropicBetaParam) for beta in get_args(part)}
    assert len(betas) > 20
    assert betas <= known().betas
    in_headers = {"betas", "user_profile_id", "workspace_id"}
    assert set(MessageCreateParamsBase.__annotations__) - in_headers <= known().fields


@pytest.mark.parametrize(
    ("kind", "noted"),
    [("response.hum", {"response.hum"}), ("item", {"item.hum"}), ("response.created", {"response.created"})],
)
def test_a_decoder_notes_what_tells_it_nothing(kind: str, noted: set[str]) -> None:
    watch = Watch()
    odd: dict[str, Any] = {"type": kind, "tune": CANARY}
    if kind == "item":
        odd = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "hum", "id": "x"}}
    end = {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": {}}}
    said = {"type": "response.output_text.delta", "output_index": 1, "item_id": "m", "content_index": 0, "delta": "Hi"}
    replied(openai_responses.DIALECT, [sse(odd, said, end)], watch=watch)
    assert watch.kinds == noted


def test_of_one_reply_few_kinds_are_noted() -> None:
    watch = Watch()
    for n in range(1000):
        watch.passed_over(f"hum-{n}")
        watch.passed_over(n)
    assert len(watch.kinds) == 20


def streams_of_anthropic() -> list[Any]:
    return [pytest.param(file, id=file.name) for file in sorted(RECORDINGS.glob("anthropic/*.chunks.txt"))]


@NEEDED
@pytest.mark.parametrize("file", STREAMS)
def test_what_responses_really_sent_is_known(file: Path) -> None:
    watch = Watch()
    replied(openai_responses.DIALECT, [framed(file)], watch=watch)
    assert watch.kinds <= known().events


@NEEDED
@pytest.mark.parametrize("file", streams_of_anthropic())
def test_what_anthropic_really_sent_is_known(file: Path) -> None:
    watch = Watch()
    fed(Tap(watch), [f"data: {line}\n\n".encode() for line in documents(file)])
    assert watch.stop
    assert watch.kinds <= known().events


def test_a_client_without_a_name_is_counted_each_time() -> None:
    drift = Drift()
    for _ in range(2):
        drift.request({"user-agent": f"{CANARY} /x", "anthropic-beta": "new-1, new-1,new-2"}, None)
    assert {name: told["count"] for name, told in drift.clients.told().items()} == {NAMELESS: 2}
    assert {name: told["count"] for name, told in drift.told()["beta"].items()} == {"new-1": 2, "new-2": 2}
