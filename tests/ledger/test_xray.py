"""The cache X-ray: the first block that differs from the turn before, whatever was changed, and what it cost."""

from __future__ import annotations

import copy
import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.inspect import xray_section
from claude_code_proxy.ledger.reading import read
from claude_code_proxy.ledger.turns import inspected, turn_before, xrayed
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.ledger.xray import Sight, sight, xray
from claude_code_proxy.wire.events import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MARK = {"cache_control": {"type": "ephemeral"}}
TURN: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "tools": [
        {"name": name, "description": f"What {name} does.", "input_schema": {"type": "object", "properties": {}}}
        for name in ("Bash", "Edit", "Read")
    ],
    "system": [{"type": "text", "text": "You are a program. " * 50}, {"type": "text", "text": "Be kind.", **MARK}],
    "messages": [
        {"role": "user", "content": "Read the file."},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I will."},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "/a", "lines": 3}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "one\ntwo\nthree", **MARK}],
        },
    ],
}
MORE = [{"role": "assistant", "content": "There."}, {"role": "user", "content": [{"type": "text", "text": "Go on."}]}]


def grown(body: Mapping[str, Any]) -> dict[str, Any]:
    """The next turn: more messages, and the mark of the cache at the end of them."""
    made = copy.deepcopy(dict(body))
    made["messages"][-1]["content"][-1].pop("cache_control", None)
    made["messages"] += copy.deepcopy(MORE)
    made["messages"][-1]["content"][-1].update(MARK)
    return made


def seen(before: Mapping[str, Any], now: Mapping[str, Any], usage: Usage | None = None, price: Any = None) -> Sight:
    return sight("client", json.dumps(before).encode(), json.dumps(now).encode(), usage, price)


def flipped(body: dict[str, Any]) -> None:
    block = body["messages"][1]["content"][1]
    block["input"] = {"lines": 3, "path": "/a"}


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "a tool is added at the end": (lambda b: b["tools"].append({"name": "Zip"}), "tools.3", "added"),
    "a tool is added in between": (lambda b: b["tools"].insert(1, {"name": "Cat"}), "tools.1", "added"),
    "a tool is gone": (lambda b: b["tools"].pop(1), "tools.1", "removed"),
    "the last tool is gone": (lambda b: b["tools"].pop(), "tools.2", "removed"),
    "two tools change places": (lambda b: b["tools"].reverse(), "tools.0", "changed"),
    "a tool's description": (lambda b: b["tools"][2].update(description="What?"), "tools.2", "changed"),
    "the system prompt": (lambda b: b["system"][0].update(text="You are a progrom. " * 50), "system.0", "changed"),
    "its last block": (lambda b: b["system"][1].update(text="Be kind!"), "system.1", "changed"),
    "a block of it is gone": (lambda b: b["system"].pop(0), "system.0", "removed"),
    "a message is edited": (lambda b: b["messages"][0].update(content="Read a file."), "messages.0.content", "changed"),
    "its role": (lambda b: b["messages"][0].update(role="system"), "messages.0.content", "changed"),
    "a message is gone": (lambda b: b["messages"].pop(0), "messages.0.content", "removed"),
    "the fields of an input in another order": (flipped, "messages.1.content.1", "changed"),
    "an id": (lambda b: b["messages"][1]["content"][1].update(id="toolu_2"), "messages.1.content.1", "changed"),
    "a result": (
        lambda b: b["messages"][2]["content"][0].update(content="one\ntwo\n3"),
        "messages.2.content.0",
        "changed",
    ),
    "cleared messages": (lambda b: b.update(messages=[]), "messages.0.content", "changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_block_that_differs(change: str) -> None:
    made, path, kind = CHANGES[change]
    now = copy.deepcopy(TURN)
    made(now)
    found = seen(TURN, grown(now) if now["messages"] else {**now, "messages": MORE})
    assert found.first
    assert (found.first.path, found.first.kind) == (path, kind)
    assert found.first.before != found.first.after
    assert found.same < found.before


def test_what_only_grows_differs_in_nothing() -> None:
    found = seen(TURN, grown(TURN))
    assert found.first is None
    assert found.same == found.before > 0


def test_a_text_and_a_block_with_it_are_the_same() -> None:
    now = copy.deepcopy(TURN)
    now["messages"][0]["content"] = [{"type": "text", "text": "Read the file."}]
    assert seen(TURN, now).first is None


def test_where_in_the_block() -> None:
    now = copy.deepcopy(TURN)
    now["system"][0]["text"] = now["system"][0]["text"][:500] + "X" + now["system"][0]["text"][501:]
    first = seen(TURN, now).first
    assert first
    assert first.at == 500
    assert "X" in first.after
    assert first.before.startswith("…")
    assert first.before.endswith("…")


def test_it_is_told_in_words() -> None:
    now = copy.deepcopy(TURN)
    now["system"][1]["text"] = "Be brief."
    found = xray_section(seen(TURN, now, Usage(1000, 1, 0, 0), Rates(3, 0.3)))
    facts = dict(found.facts)
    assert facts["first difference"] == "system.1 was changed, 3 characters into it"
    assert facts["could have been read, and were not"].isdecimal()
    assert float(facts["what that cost, in US dollars"]) > 0
    assert [(row.role, row.text) for row in found.rows] == [("before", "Be kind."), ("after", "Be brief.")]
    unknown = dict(xray_section(seen(TURN, now)).facts)
    assert unknown["what that cost, in US dollars"] == unknown["could have been read, and were not"] == "not known"


def test_settings_that_may_matter() -> None:
    now = {**TURN, "tool_choice": {"type": "any"}, "max_tokens": 7, "thinking": {"type": "enabled"}}
    assert seen(TURN, now).settings == ["thinking", "tool_choice"]


class Rates(NamedTuple):
    input: float
    cache_read: float | None


@pytest.mark.parametrize(
    ("usage", "price", "lost", "cost"),
    [
        (Usage(100, 1, 900, 0), Rates(3, 0.3), True, True),
        (Usage(1000, 1, 0, 0), Rates(3, 0.3), True, True),
        (Usage(1000, 1, 0, 0), Rates(3, None), True, False),
        (Usage(1000, 1, 0, 0), None, True, None),
        (Usage(1000, 1), Rates(3, 0.3), None, None),
        (None, Rates(3, 0.3), None, None),
    ],
)
def test_what_it_cost(usage: Usage | None, price: Rates | None, lost: bool | None, cost: bool | None) -> None:  # noqa: FBT001
    now = copy.deepcopy(TURN)
    now["system"][0]["text"] = "Another."
    found = seen(TURN, now, usage, price)
    assert (found.lost is None) is (lost is None)
    assert (found.cost is None) is (cost is None)
    if found.lost is not None and usage and usage.cache_read is not None:
        assert found.read == usage.cache_read
        assert found.lost == max(0, min(found.before, 1000) - usage.cache_read)
        if price and found.cost is not None:
            each = price.input - (price.input if price.cache_read is None else price.cache_read)
            assert found.cost == pytest.approx(found.lost * each / 1e6)


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "chat": (
        {
            "messages": [{"role": "system", "content": "Be."}, {"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "Read", "parameters": {}}}],
        },
        "messages.1.content",
    ),
    "responses": (
        {"instructions": "Be.", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
        "input.0.content.0",
    ),
    "gemini": (
        {
            "systemInstruction": {"parts": [{"text": "Be."}]},
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "Read"}]}],
        },
        "contents.0.parts.0",
    ),
}


@pytest.mark.parametrize("dialect", OTHERS)
def test_in_every_dialect(dialect: str) -> None:
    body, path = OTHERS[dialect]
    now = json.loads(json.dumps(body).replace('"Hi"', '"Ho"'))
    first = seen(body, now).first
    assert first
    assert first.path == path
    assert seen(body, body).first is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 1, "tools": null}', b'{"messages": [[], 1, null]}'])
def test_what_is_no_request_differs_in_something_or_nothing(body: bytes) -> None:
    found = sight("client", body, json.dumps(TURN).encode(), None, None)
    assert found.before >= 0


def sealed(body: Mapping[str, Any]) -> bytes:
    return zlib.compress(b"{}\n" + json.dumps(body).encode())


def test_both_the_clients_and_what_was_sent() -> None:
    now = grown(TURN)
    other = copy.deepcopy(now)
    other["tools"].pop()
    before = {"request": sealed(TURN), "outgoing": sealed(TURN)}
    client, upstream = xray(before, {"request": sealed(now), "outgoing": sealed(other)})
    assert (client.whose, client.first) == ("client", None)
    assert upstream.whose == "upstream"
    assert upstream.first


def test_the_turn_before(tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.db")
    rows: dict[str, dict[str, Any]] = {
        "first": {"began": 1.0},
        "another agent's": {"began": 2.0, "agent": "a"},
        "another model's": {"began": 3.0, "model": "small"},
        "of another session": {"began": 4.0, "session": "other"},
        "a count": {"began": 5.0, "endpoint": "count_tokens"},
        "not captured": {"began": 6.0},
        "this": {"began": 7.0, "input": 100, "cache_read": 0},
        "later": {"began": 8.0},
        "without a session": {"began": 9.0, "session": ""},
    }
    usual = {"session": "s", "endpoint": "messages", "provider": "p", "model": "m"}
    ledger = Ledger(place, interval=0.01, clock=lambda: 10.0)
    for name, row in rows.items():
        ledger.ended(Entry(id=name, **{**usual, **row}))
        if name != "not captured":
            ledger.keep(name, "request", 1.0, sealed(grown(TURN) if name == "this" else TURN))
    ledger.start()
    ledger.close()
    with read(place) as reader:
        this = reader.one("this")
        assert this
        found = turn_before(reader, this)
        assert found
        assert found.id == "first"
        [client] = xrayed(reader, this)
        assert (client.first, client.read) == (None, 0)
        assert [section.title for section in inspected(reader, this)] == [
            "Cache X-ray: what the client sent",
            "The client's request",
        ]
        for name in ("first", "without a session"):
            one = reader.one(name)
            assert one
            assert turn_before(reader, one) is None
            assert xrayed(reader, one) == []
