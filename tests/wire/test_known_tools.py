"""A list of tools that was sent before is known again, and nothing else is taken for it."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Call, Outgoing
from claude_code_proxy.wire import known_tools
from claude_code_proxy.wire.head import decode_head
from claude_code_proxy.wire.known_tools import LEAST, MOST, KnownTools


def tools(count: int = 3, **more: Any) -> list[dict[str, Any]]:
    schema = {"type": "object", "properties": {"tools": {"type": "array"}}, "required": ["tools"]}
    return [{"name": f"t{n}", "description": "d" * LEAST, "input_schema": schema, **more} for n in range(count)]


def body(*, messages: object = "hello", last: bool = False, **fields: Any) -> bytes:
    said = {"role": "user", "content": messages}
    parts = {"model": "m", "max_tokens": 9, "messages": [said], "tools": tools(), **fields}
    if last:
        parts["tools"] = parts.pop("tools")
    return json.dumps(parts, separators=(",", ":")).encode()


SAME = json.dumps(tools(), separators=(",", ":"))

BODIES = {
    "the same": (body(), True),
    "another conversation": (body(messages="other", system="s"), True),
    "at the end": (body(last=True), True),
    "with spaces": (body().replace(b'"tools":[', b'"tools" : [', 1), True),
    "another list": (body(tools=tools(2)), False),
    "one more": (body(tools=tools(4)), False),
    "none": (body(tools=[]), False),
    "null": (body(tools=None), False),
    "said by the user": (body(messages=f'"tools":{SAME}', tools=[]), False),
    "in a call": (body(messages=[{"type": "tool_use", "input": {"tools": tools()}}], tools=None, last=True), False),
    "the same elsewhere, too": (body(metadata={"tools": tools()}), True),
    "the same elsewhere only": (body(metadata={"tools": tools()}, tools=[]), False),
    "in a name": (body(tools=[]).replace(b'"max_tokens"', b'"a\\"tools":%b,"max_tokens"' % SAME.encode()), False),
    "twice, the last is another": (body()[:-1] + b',"tools":[]}', False),
    "twice, the first is another": (b'{"tools":[],' + body()[1:], True),
    "small": (body(tools=[{"name": "a"}]), False),
    "no object": (b"[%b]" % body(), False),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_is_what_it_is(case: str) -> None:
    raw, is_known = BODIES[case]
    known = KnownTools()
    _, first = known.decoded(body())
    values, found = known.decoded(raw)
    assert values == msgspec.json.decode(raw)
    assert (found is first) == is_known
    if is_known:
        assert list(values) == list(msgspec.json.decode(raw))


@pytest.mark.parametrize("case", BODIES)
def test_where_a_list_stood_before_is_no_promise(case: str) -> None:
    raw, is_known = BODIES[case]
    known = KnownTools()
    for before in (body(), body(last=True), body(metadata={"a": "b"}), body(messages="a longer one, " * 99)):
        _, learned = known.decoded(before)
        _, found = known.decoded(before)
        assert found is learned
        values, tools_found = known.decoded(raw)
        assert values == msgspec.json.decode(raw)
        assert (tools_found is found) == is_known


@given(st.recursive(st.none() | st.text(max_size=8) | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tools", "a", 'x"tools']), inner, max_size=3), max_leaves=8))  # fmt: skip
def test_any_body_is_what_it_is(inner: Any) -> None:
    known = KnownTools()
    known.decoded(body())
    for raw in (body(metadata=inner), body(metadata=[inner, {"tools": tools()}]), body(messages=inner, tools=inner)):
        assert known.decoded(raw)[0] == msgspec.json.decode(raw)


@pytest.mark.parametrize("raw", [body()[:-1], body() + b"x", body().replace(b'"m"', b'"\xff"'), b"{" * 20_000])
def test_what_is_no_json_is_none(raw: bytes) -> None:
    known = KnownTools()
    known.decoded(body())
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)):
        known.decoded(raw)


def test_not_more_is_kept_than_is_allowed() -> None:
    known = KnownTools()
    for n in range(200):
        known.decoded(body(tools=tools(3, n=n)))
    held = list(known._held)
    assert sum(map(len, held)) <= MOST
    assert known.decoded(body(tools=tools(3, n=199)))[1] is known._held[held[-1]]
    _, huge = known.decoded(body(tools=[{"name": "x" * (known_tools.LARGEST // 2)}] * 3))
    assert huge is None


def test_what_was_made_is_kept_for_a_few() -> None:
    _, found = KnownTools().decoded(body())
    assert found
    made = [found.made(n, partial(list, [n])) for n in range(9)]
    assert found.made(8, list) is made[8]
    assert found.made(0, list) == []


def asked(dialect: str, raw: bytes, *, whole: bool) -> bytes:
    outgoing = DIALECTS[dialect].request(Call(decode_head(raw, whole=whole), "gpt-4.1", "seed", "http://a.test"))
    assert isinstance(outgoing, Outgoing)
    return outgoing.body


CHOICES: list[dict[str, Any]] = [
    {},
    {"tool_choice": {"type": "tool", "name": "t1"}},
    {"tools": [*tools(2), *tools(1, defer_loading=True)]},
    {"tools": [*tools(2), {"type": "web_search_20250305", "name": "web_search"}]},
    {"tools": tools(2, input_schema={"type": "object", "maximum": 2**70})},
]


@pytest.mark.parametrize("fields", CHOICES)
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "gemini"])
def test_a_translation_is_the_same_and_leaves_them_as_they_are(dialect: str, fields: dict[str, Any]) -> None:
    raw = body(**fields)
    for _ in range(2):
        head = decode_head(raw, whole=True)
        assert head.tools
        before = deepcopy(head.tools.values)
        assert msgspec.json.decode(asked(dialect, raw, whole=True)) == msgspec.json.decode(
            asked(dialect, raw, whole=False)
        )
        assert head.tools.values == before


def test_dialects_do_not_take_one_another_for_their_own() -> None:
    raw = body()
    bodies = [asked(dialect, raw, whole=True) for dialect in ("openai_chat", "openai_responses", "gemini") * 2]
    assert bodies[:3] == bodies[3:]
    assert len({*bodies}) == 3
