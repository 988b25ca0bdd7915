"""Names and ids of tools that both sides accept, and that map back to what they were."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, JSON, body, call, outgoing, sent
from chunks import CALLS, part, piece, sse
from claude_code_proxy.dialects.base import Answer, Outgoing
from claude_code_proxy.dialects.names import client_id, upstream_id, upstream_name
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.http.request_id import new_request_id
from claude_code_proxy.wire.watch import Watch
from grammar import read

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]+")
RULES = {"openai": re.compile(r"[A-Za-z0-9_-]{1,40}"), "mistral": re.compile(r"[A-Za-z0-9]{9}")}

LONG = "mcp__" + "a_server_with_a_long_name__" + "and_a_tool_with_a_longer_one_" * 2
NAMES = [
    LONG,
    LONG + "2",
    "a.b",
    "a:b",
    "a/b",
    "日本語",
    "日本話",
    "name with blanks",
    "é" * 64,
    "😀",
    "a" * 65,
    "a\n",
    ".",
]


@pytest.mark.parametrize("name", ["Read", "mcp__server__tool", "a", "a-b_C9", "a" * 64])
def test_a_name_that_is_taken_stays(name: str) -> None:
    assert upstream_name(name) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_taken_gets_one_that_is(name: str) -> None:
    assert NAME.fullmatch(upstream_name(name))
    assert upstream_name(name) == upstream_name(name)


def test_names_stay_different() -> None:
    assert len({upstream_name(name) for name in NAMES}) == len(NAMES)


@given(st.sets(st.text(max_size=90), max_size=10))
def test_any_names_stay_different_and_are_taken(names: set[str]) -> None:
    made = {upstream_name(name) for name in names}
    assert len(made) == len(names)
    assert all(NAME.fullmatch(name) for name in made)


def use(ident: str, name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": name, "input": {}}


def result(ident: str, content: str = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content}


def turn(*idents: str, name: str = "f") -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": [use(ident, name) for ident in idents]},
        {"role": "user", "content": [result(ident) for ident in idents]},
    ]


def conversation(*turns: list[dict[str, Any]], **quirks: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = sent(
        DIALECT, body(messages=[HI, *(one for messages in turns for one in messages)]), quirks=quirks
    )["messages"]
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_mapped_alike_in_the_offer_the_choice_and_the_history_and_comes_back(name: str) -> None:
    request = body(
        tools=[{"name": name}], tool_choice={"type": "tool", "name": name}, messages=[HI, *turn("toolu_123", name=name)]
    )
    made = outgoing(DIALECT, request)
    told = sent(DIALECT, request)
    (offered,) = (tool["function"]["name"] for tool in told["tools"])
    assert (
        offered == told["tool_choice"]["function"]["name"] == told["messages"][1]["tool_calls"][0]["function"]["name"]
    )
    assert NAME.fullmatch(offered)
    assert called(made, offered) == [name]


def called(made: Outgoing, name: str) -> list[str]:
    """The names that the client reads for a call of this one."""
    stream = sse(piece(part(0, "call_1234567", name, "{}")), CALLS)
    machine = DIALECT.reply(call(body(stream=True)), made, Answer(200, {"content-type": "text/event-stream"}), Watch())
    return [block["name"] for block in read(b"".join([*machine.feed(stream), *machine.close()])).blocks]


@pytest.mark.parametrize("said", ["Read", "functions.Read", " Read ", "Read<|channel|>json"])
def test_what_a_server_makes_of_a_name_is_the_name(said: str) -> None:
    assert called(outgoing(DIALECT, body(tools=[{"name": "Read"}])), said) == ["Read"]


@pytest.mark.parametrize("said", ["Unknown", "read", "x.y"])
def test_a_name_that_nobody_knows_passes(said: str) -> None:
    assert called(outgoing(DIALECT, body(tools=[{"name": "Read"}])), said) == [said]


# -- ids

IDS = ["call_0123456789abcdef", "toolu_01A2b3C4d5", "functions.Bash:0", "functions.mcp__a__b:12", "Bash_0", "0", "c", "call_1",
       "a b", "é", "日本語", "x" * 41, "x" * 64, "x" * 200, "chatcmpl-tool-9af1", "ccp_", "ccp_abc", "ccp_12345678QUJD", "\n", "fc_" + "9" * 50]  # fmt: skip


@pytest.mark.parametrize("ident", IDS)
def test_the_client_gets_an_id_it_accepts_and_the_upstream_its_own_again(ident: str) -> None:
    seen = client_id(ident, "a1b2c3d4e5")
    assert CLIENT_ID.fullmatch(seen)
    assert upstream_id(seen, "any") == ident


@given(
    st.text(min_size=1, max_size=60, alphabet=st.characters(exclude_categories=["Cs"])), st.text("0123abcd", min_size=1)
)
def test_any_id_comes_back(ident: str, seed: str) -> None:
    seen = client_id(ident, seed)
    assert CLIENT_ID.fullmatch(seen)
    assert upstream_id(seen, "any") == ident


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ident", [*IDS, ""])
def test_an_upstream_gets_ids_by_its_rule(rule: str, ident: str) -> None:
    made = upstream_id(ident, rule)
    assert RULES[rule].fullmatch(made)
    assert made == upstream_id(ident, rule)
    assert upstream_id(made, rule) == made
    if RULES[rule].fullmatch(ident) and not ident.startswith("ccp_"):
        assert made == ident


@pytest.mark.parametrize("rule", RULES)
def test_ids_stay_different(rule: str) -> None:
    assert len({upstream_id(ident, rule) for ident in IDS}) == len(IDS)


@given(st.text(max_size=80), st.sampled_from(["any", "openai", "mistral"]))
def test_any_id_of_a_client_is_mapped(ident: str, rule: str) -> None:
    made = upstream_id(f"ccp_{ident}", rule)
    assert made
    assert rule == "any" or RULES[rule].fullmatch(made)


@pytest.mark.parametrize("ident", ["call_0", "0", "Bash:0", "functions.Bash:0", "call_1"])
def test_ids_that_are_counted_in_every_turn_differ_for_the_client(ident: str) -> None:
    seeds = [new_request_id().removeprefix("req_") for _ in range(100)]  # most of them of one millisecond

    assert len({client_id(ident, seed) for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("rule", ["any", "openai", "mistral"])
@pytest.mark.parametrize("ident", [one for one in IDS if one.isascii()])
def test_calls_and_results_of_the_history_have_the_same_id(rule: str, ident: str) -> None:
    seen = client_id(ident, "a1b2c3d4")
    _, said, heard = conversation(turn(seen), tool_ids=rule)
    assert said["tool_calls"][0]["id"] == heard["tool_call_id"]
    assert heard["tool_call_id"] == ident if rule == "any" else RULES[rule].fullmatch(heard["tool_call_id"])


def test_the_same_id_twice_in_a_turn_becomes_two() -> None:
    # wire.md §9.2: duplicate tool_use ids are made unique, consistently in the results
    _, said, *heard = conversation(turn("toolu_same", "toolu_same"))
    idents = [one["id"] for one in said["tool_calls"]]
    assert len(set(idents)) == 2
    assert [message["tool_call_id"] for message in heard] == idents


def test_the_same_id_in_two_turns_becomes_two() -> None:
    messages = conversation(turn("toolu_same"), turn("toolu_same"))
    idents = [message["tool_calls"][0]["id"] for message in messages if "tool_calls" in message]
    assert len(set(idents)) == 2
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == idents


def test_a_prefix_of_the_history_keeps_its_ids() -> None:
    long = conversation(turn("toolu_same"), turn("toolu_same"), turn("toolu_other"))
    assert conversation(turn("toolu_same"), turn("toolu_same")) == long[:5]
    assert conversation(turn("toolu_same")) == long[:3]


@pytest.mark.parametrize("media_type", ["text/event-stream", JSON])
def test_calls_of_one_reply_never_share_an_id(media_type: str) -> None:
    parts = [part(n, "functions.f:0", "f", "{}") for n in range(3)]
    message = {"choices": [{"message": {"tool_calls": parts}, "finish_reason": "tool_calls"}]}
    stream = sse(piece(*parts), CALLS) if media_type != JSON else sse(message, end=b"")[6:]
    answer = Answer(200, {"content-type": media_type})
    machine = DIALECT.reply(call(body(stream=True)), Outgoing("", b""), answer, Watch())
    told = read(b"".join([*machine.feed(stream), *machine.close()]))
    assert len({block["id"] for block in told.blocks}) == len(told.blocks) == 3
