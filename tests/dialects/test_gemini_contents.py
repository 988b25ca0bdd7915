from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, body, outgoing
from claude_code_proxy.dialects.conversation import NO_RESULT
from claude_code_proxy.dialects.gemini import DIALECT
from sayings import words
from upstreams.gemini_rules import fault_of

MODEL, OLDER = "gemini-3-pro-preview", "gemini-2.5-flash"
STAND_IN = "skip_thought_signature_validator"
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
GIF = {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"}}
PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": b64encode(b"%PDF-1.4").decode()},
}


def contents(*messages: dict[str, Any], model: str = OLDER, **how: Any) -> list[dict[str, Any]]:
    """The contents that leave, which Google would take."""
    made = outgoing(DIALECT, body(messages=list(messages)), model=model, **how)
    assert fault_of(made.body, model, {}) is None, json.loads(made.body)["contents"]
    told: list[dict[str, Any]] = json.loads(made.body)["contents"]
    return told


def user(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    return {"role": "user", "content": [_block(one) for one in blocks]}


def model(*blocks: dict[str, Any] | str) -> dict[str, Any]:
    return {"role": "assistant", "content": [_block(one) for one in blocks]}


def _block(one: dict[str, Any] | str) -> dict[str, Any]:
    return {"type": "text", "text": one} if isinstance(one, str) else one


def use(ident: str, name: str = "f", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": name, "input": given}


def result(ident: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content, **fields}


def response(ident: str, told: str = "ok", name: str = "f", key: str = "output", **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"id": ident, "name": name, "response": {key: told}, **fields}}


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def text(words_: str) -> dict[str, Any]:
    return {"text": words_}


def test_turns() -> None:
    made = contents(
        HI,
        model("Hello.", ""),
        user("a", "", "b"),
        user("c"),
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": []},
    )
    assert made == [
        said(text("hi")),
        {"role": "model", "parts": [text("Hello.")]},
        said(text("a"), text("b"), text("c"), text("<system-reminder>\nBe brief.\n</system-reminder>")),
    ]


def test_a_conversation_begins_and_ends_with_the_user() -> None:
    go = said(text("Continue."))
    assert contents(model("I began.")) == [go, {"role": "model", "parts": [text("I began.")]}, go]
    assert contents(user("")) == [go]
    assert contents(HI, model({"type": "thinking", "thinking": "x", "signature": ""})) == [said(text("hi"))]
    assert contents(HI, model({"type": "thinking", "thinking": "x", "signature": ""}), user("b")) == [
        said(text("hi"), text("b"))
    ]


def test_every_call_gets_its_response_in_order() -> None:
    made = contents(
        HI,
        model("So.", use("a"), use("b", "g"), use("c")),
        user("By the way.", result("c", "3"), result("a", "1", is_error=True), "Go."),
    )
    assert made[2] == said(
        response("a", "1", key="error"), response("b", NO_RESULT, "g", "error"), response("c", "3"),
        text("By the way."), text("Go."),
    )  # fmt: skip


def test_calls_at_the_end_get_a_response() -> None:
    assert contents(HI, model(use("a")))[2] == said(response("a", NO_RESULT, key="error"))
    assert contents(HI, model(use("a")), {"role": "system", "content": []}, model("x"))[2:] == [
        said(response("a", NO_RESULT, key="error")), {"role": "model", "parts": [text("x")]}, said(text("Continue.")),
    ]  # fmt: skip


def test_results_without_their_call_are_text() -> None:
    made = contents(
        user(result("gone", "old"), result("gone2", "bad", is_error=True)),
        model("x", use("a")),
        user(result("a"), result("a", "again")),
    )
    assert made[0] == said(text("old"), text("Error: bad"))
    assert made[2]["parts"][0] == response("a", "ok")


def test_ids_that_come_again_are_told_apart() -> None:
    made = contents(
        HI, model(use("a"), use("a")), user(result("a", "1"), result("a", "2")), model(use("a")), user(result("a", "3"))
    )
    assert [part["functionCall"]["id"] for one in made for part in one["parts"] if "functionCall" in part] == [
        "a",
        "a_2",
        "a_3",
    ]
    told = [
        part["functionResponse"]["response"]["output"]
        for one in made
        for part in one["parts"]
        if "functionResponse" in part
    ]
    assert told == ["1", "2", "3"]


def test_an_upstreams_own_id_goes_back() -> None:
    from claude_code_proxy.dialects.names import client_id  # noqa: PLC0415

    ident = client_id("fc.1:x", "seed")
    assert contents(HI, model(use(ident)), user(result(ident)))[2] == said(response("fc.1:x"))


def test_places_without_ids() -> None:
    made = contents(HI, model(use("a")), user(result("a")), quirks={"call_ids": False})
    assert made[1]["parts"] == [{"functionCall": {"name": "f", "args": {}}}]
    assert made[2]["parts"] == [{"functionResponse": {"name": "f", "response": {"output": "ok"}}}]


def test_inputs_that_are_no_object() -> None:
    made = contents(HI, model({**use("a"), "input": [1]}, {**use("b"), "input": None}), user(result("a"), result("b")))
    assert [part["functionCall"]["args"] for part in made[1]["parts"]] == [{"arguments": [1]}, {}]


def inline(block: dict[str, Any]) -> dict[str, Any]:
    return {"inlineData": {"mimeType": block["source"]["media_type"], "data": block["source"]["data"]}}


def url(address: str, kind: str = "image") -> dict[str, Any]:
    return {"type": kind, "source": {"type": "url", "url": address}}


MEDIA: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("image", PNG, [inline(PNG)]),
    ("image at a URL", url("https://x.test/a.png?b"), [{"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/a.png?b"}}]),
    ("image at a URL without an ending", url("https://x.test/a"), [{"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/a"}}]),
    ("image at an odd URL", url("http://[x"), [{"fileData": {"mimeType": "image/jpeg", "fileUri": "http://[x"}}]),
    ("image in a URL", url("data:image/png;base64,iVBORw0KGgo="), [inline(PNG)]),
    ("image in a store", {"type": "image", "source": {"type": "file", "file_id": "f"}}, [text("[An image that only Anthropic's file store holds.]")]),
    ("PDF", PDF, [inline(PDF)]),
    ("PDF with a title", {**PDF, "title": "A", "context": "B"}, [text("A:\nB"), inline(PDF)]),
    ("PDF at a URL", url("https://x.test/a", "document"), [{"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.test/a"}}]),
    ("text", {"type": "document", "title": "A", "source": {"type": "text", "data": "words"}}, [text("A:\nwords")]),
    ("content", {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}, PNG]}}, [text("x"), inline(PNG)]),
    ("document in a store", {"type": "document", "source": {"type": "file"}}, [text("[document: this model cannot read it.]")]),
    ("search_result", {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "c"}]}, [text("T (S)\nc")]),
    ("anything", {"type": "new_thing", "x": 1}, [text('{"type":"new_thing","x":1}')]),
]  # fmt: skip


@pytest.mark.parametrize(("block", "parts"), [row[1:] for row in MEDIA], ids=[row[0] for row in MEDIA])
def test_blocks_of_the_user(block: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    assert contents(user("a", block)) == [said(text("a"), *parts)]


def test_media_in_results() -> None:
    turns = (
        HI,
        model(use("a"), use("b")),
        user(result("b", [PDF]), result("a", [{"type": "text", "text": "x"}, PNG, GIF])),
    )
    newer, older = contents(*turns, model=MODEL), contents(*turns)
    assert newer[2] == said(
        response("a", "x\n[The image follows.]\n[The image follows.]", parts=[inline(PNG)]),
        response("b", "[The document follows.]", parts=[inline(PDF)]),
        inline(GIF),
    )
    assert older[2]["parts"][2:] == [inline(PNG), inline(GIF), inline(PDF)]
    assert all("parts" not in part["functionResponse"] for part in older[2]["parts"][:2])


def test_what_anthropics_servers_did_is_text() -> None:
    searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    [part] = contents(HI, model(searched), HI)[1]["parts"]
    assert json.loads(part["text"]) == searched


_uses = st.integers(0, 3).map(lambda n: use(f"call{n}"))
_results = st.integers(0, 4).map(lambda n: result(f"call{n}"))
_texts = words.map(lambda said_: {"type": "text", "text": said_})
_messages = st.lists(
    st.builds(lambda blocks: model(*blocks), st.lists(_uses | _texts, max_size=4))
    | st.builds(lambda blocks: user(*blocks), st.lists(_results | _texts | st.just(PNG), max_size=4))
    | st.builds(lambda said_: {"role": "system", "content": said_}, words),
    min_size=1,
    max_size=8,
)


@given(_messages, st.sampled_from([MODEL, OLDER]))
def test_any_conversation_is_one_that_google_takes(messages: list[dict[str, Any]], name: str) -> None:
    made = contents(*messages, model=name)
    calls = [
        block
        for one in messages
        if one["role"] == "assistant"
        for block in one["content"]
        if block["type"] == "tool_use"
    ]
    assert len([part for one in made for part in one["parts"] if "functionCall" in part]) == len(calls)
    told = json.dumps(made, ensure_ascii=False)
    for one in messages:
        for block in one["content"] if isinstance(one["content"], list) else [_block(one["content"])]:
            if block["type"] == "text" and block["text"].strip():
                assert json.dumps(block["text"], ensure_ascii=False)[1:-1] in told


_steps = st.lists(
    st.tuples(
        st.lists(_uses, max_size=3).map(lambda blocks: model("Now.", *blocks)),
        st.lists(_results, max_size=3).map(lambda blocks: user(*blocks, "And?")),
    ),
    max_size=4,
)


@given(_steps, st.sampled_from([MODEL, OLDER]))
def test_the_contents_of_a_prefix_are_a_prefix(steps: list[tuple[dict[str, Any], dict[str, Any]]], name: str) -> None:
    whole = contents(HI, *(one for step in steps for one in step), model=name)
    for n in range(len(steps)):
        assert contents(HI, *(one for step in steps[:n] for one in step), model=name) == whole[: 2 * n + 1]
