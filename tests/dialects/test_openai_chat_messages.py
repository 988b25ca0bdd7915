from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, body, call, sent
from claude_code_proxy.dialects.base import Local, Outgoing
from claude_code_proxy.dialects.openai_chat import DIALECT
from claude_code_proxy.wire.failure import ApiError
from sayings import inputs, words

if TYPE_CHECKING:
    from collections.abc import Callable

NO_RESULT = "[The tool call was interrupted: there is no result.]"
ANYWHERE = {"system_anywhere": True}


def messages(turns: list[dict[str, Any]], **quirks: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = sent(DIALECT, body(messages=turns), quirks=quirks)["messages"]
    return made


def user(*blocks: str | dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: str | dict[str, Any]) -> dict[str, Any]:
    return {**user(*blocks), "role": "assistant"}


def system(content: str | list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "system", "content": content}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def use(ident: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": ident, "name": "f", "input": arguments}


def result(ident: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": ident, "content": content, **fields}


def calls(*idents: str, said: str | None = None, arguments: str = "{}") -> dict[str, Any]:
    made = [{"id": ident, "type": "function", "function": {"name": "f", "arguments": arguments}} for ident in idents]
    return {"role": "assistant", "content": said, "tool_calls": made}


def told(said: Any) -> dict[str, Any]:
    return {"role": "user", "content": said}


def tool(ident: str, said: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": said}


PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
PNG_OUT = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}}
LINK_OUT = {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}
PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
    "title": "paper",
}
PDF_OUT = {"type": "file", "file": {"filename": "paper.pdf", "file_data": "data:application/pdf;base64,QUJD"}}
NOTE = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "note"}
PAGES = {"type": "document", "source": {"type": "content", "content": [text("p1"), PNG]}}

TURNS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("text", [HI], [told("hi")]),
    ("text in blocks", [user("a", "b")], [told("a\n\nb")]),
    ("empty blocks", [user("", "a")], [told("a")]),
    ("users in a row", [HI, user("a")], [told("hi\n\na")]),
    ("assistants in a row", [HI, assistant("a"), assistant("b"), HI],
     [told("hi"), {"role": "assistant", "content": "a\nb"}, told("hi")]),
    ("an empty assistant", [HI, assistant(), HI], [told("hi"), told("hi")]),
    ("thinking is not sent", [HI, assistant({"type": "thinking", "thinking": "t", "signature": "s"}, "a"), HI],
     [told("hi"), {"role": "assistant", "content": "a"}, told("hi")]),
    ("redacted thinking is not sent", [HI, assistant({"type": "redacted_thinking", "data": "x"}, "a"), HI],
     [told("hi"), {"role": "assistant", "content": "a"}, told("hi")]),
    ("an answer that was begun", [HI, assistant("a")], [told("hi"), {"role": "assistant", "content": "a"}, told("Continue.")]),
    ("a call and its result", [HI, assistant("let me", use("1", a=1)), user(result("1"))],
     [told("hi"), calls("1", said="let me", arguments='{"a":1}'), tool("1")]),
    ("results in the order they came", [HI, assistant(use("1"), use("2")), user(result("2", "b"), result("1", "a"))],
     [told("hi"), calls("1", "2"), tool("1", "a"), tool("2", "b")]),
    ("results in messages of their own", [HI, assistant(use("1"), use("2")), user(result("2", "b")), user(result("1", "a"))],
     [told("hi"), calls("1", "2"), tool("1", "a"), tool("2", "b")]),
    ("calls in messages of their own", [HI, assistant(use("1")), assistant(use("2")), user(result("1"), result("2"))],
     [told("hi"), calls("1", "2"), tool("1"), tool("2")]),
    ("results among text", [HI, assistant(use("1")), user("before", result("1"), "after")],
     [told("hi"), calls("1"), tool("1"), told("before\n\nafter")]),
    ("a result that is an error", [HI, assistant(use("1")), user(result("1", "no", is_error=True))],
     [told("hi"), calls("1"), tool("1", "Error: no")]),
    ("a result in blocks", [HI, assistant(use("1")), user(result("1", [text("a"), text("b")]))],
     [told("hi"), calls("1"), tool("1", "a\nb")]),
    ("a result without content", [HI, assistant(use("1"), use("2"), use("3")),
                                  user({"type": "tool_result", "tool_use_id": "1"}, result("2", None), result("3", []))],
     [told("hi"), calls("1", "2", "3"), tool("1", "(no output)"), tool("2", "(no output)"), tool("3", "(no output)")]),
    ("a call without a result", [HI, assistant(use("1"), use("2")), user(result("2"))],
     [told("hi"), calls("1", "2"), tool("1", NO_RESULT), tool("2")]),
    ("calls without results at the end", [HI, assistant(use("1"))], [told("hi"), calls("1"), tool("1", NO_RESULT)]),
    ("a result without its call", [user(result("9", "old"), "go on")], [told("old\n\ngo on")]),
    ("a result that comes twice", [HI, assistant(use("1")), user(result("1", "a")), assistant("b"), user(result("1", "c"))],
     [told("hi"), calls("1"), tool("1", "a"), {"role": "assistant", "content": "b"}, told("c")]),
    ("images", [user("see", PNG, LINK)], [told([text("see"), PNG_OUT, LINK_OUT])]),
    ("images in results follow all results",
     [HI, assistant(use("1"), use("2")), user(result("2", [text("b"), PNG]), result("1", [LINK]), "well?")],
     [told("hi"), calls("1", "2"), tool("1", "[The image follows.]"), tool("2", "b\n[The image follows.]"),
      told([LINK_OUT, PNG_OUT, text("well?")])]),
    ("a document of text", [user(NOTE)], [told("note:\nwords")]),
    ("a document of blocks", [user(PAGES)], [told([text("p1"), PNG_OUT])]),
    ("a document that cannot be read", [user(PDF, "sum it up")], [told("[paper: this model cannot read it.]\n\nsum it up")]),
    ("a loaded tool", [HI, assistant(use("1")), user(result("1", [{"type": "tool_reference", "tool_name": "later"}]))],
     [told("hi"), calls("1"), tool("1", "Loaded tool: later")]),
    ("system messages between turns", [HI, system("rule"), assistant("a"), system([text("more")]), HI],
     [told("hi\n\n<system-reminder>\nrule\n</system-reminder>"), {"role": "assistant", "content": "a"},
      told("<system-reminder>\nmore\n</system-reminder>\n\nhi")]),
    ("an empty system message", [HI, system([]), system("")], [told("hi")]),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "expected"), [row[1:] for row in TURNS], ids=[row[0] for row in TURNS])
def test_a_conversation(turns: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert messages(turns) == expected


SYSTEMS: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([HI, system("rule"), HI], [told("hi"), system("rule"), told("hi")]),
    ([HI, system([]), HI], [told("hi\n\nhi")]),
    ([HI, assistant(use("1")), system("rule"), user("a", result("1"))],
     [told("hi"), calls("1"), tool("1"), system("rule"), told("a")]),
    ([HI, assistant("a"), system("rule")], [told("hi"), {"role": "assistant", "content": "a"}, system("rule")]),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "expected"), SYSTEMS)
def test_system_messages_stay_where_they_are_if_they_may(
    turns: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    assert messages(turns, **ANYWHERE) == expected


def test_a_document_goes_as_a_file_where_files_are_taken() -> None:
    assert messages([user(PDF)], files=True) == [told([PDF_OUT])]
    turns = [HI, assistant(use("1")), user(result("1", [PDF]))]
    assert messages(turns, files=True) == [
        told("hi"),
        calls("1"),
        tool("1", "[The document follows.]"),
        told([PDF_OUT]),
    ]


@pytest.mark.parametrize("block", [
    {"type": "unheard_of", "x": 1},
    {"type": "search_result", "title": "t", "source": "s", "content": []},
    {"type": "image", "source": {"type": "file", "file_id": "f"}},
    {"type": "document", "source": {"type": "url", "url": "u"}},
])  # fmt: skip
def test_a_block_that_has_no_counterpart_leaves_words(block: dict[str, Any]) -> None:
    (message,) = messages([user(block)])
    assert message["role"] == "user"
    assert message["content"]


@pytest.mark.parametrize(
    "arguments", [{}, {"a": [1, None]}, [], "text", None, {"__unparsedToolInput": {"raw": '{"a', "len": 3}}]
)
def test_the_input_of_a_call_is_sent_as_json(arguments: object) -> None:
    turns = [HI, assistant({"type": "tool_use", "id": "1", "name": "f", "input": arguments}), user(result("1"))]
    sent_arguments = messages(turns)[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent_arguments) == (arguments or {})


# -- any conversation

_idents = st.sampled_from(["1", "2", "3"])
_media = st.sampled_from([PNG, LINK, PDF, NOTE, PAGES])
_texts = st.builds(text, words)
_results = st.builds(result, _idents, st.none() | words | st.lists(_texts | _media, max_size=3), is_error=st.booleans())
_users = st.lists(_texts | _media | _results, max_size=4).map(lambda blocks: user(*blocks))
_calls = st.builds(lambda ident, value: {**use(ident), "input": value}, _idents, inputs)
_assistants = st.lists(_texts | _calls, max_size=4, unique_by=lambda block: block.get("id", id(block))).map(
    lambda blocks: assistant(*blocks)
)
_systems = st.builds(system, words | st.lists(_texts, max_size=2))
conversations = st.lists(_users | _assistants | _systems, min_size=1, max_size=8)
quirks_of_any = st.fixed_dictionaries({"system_anywhere": st.booleans(), "files": st.booleans()})


@given(conversations, quirks_of_any)
@pytest.mark.fault("F-04")
def test_calls_are_followed_by_their_results_and_nothing_else(
    turns: list[dict[str, Any]], quirks: dict[str, Any]
) -> None:
    waiting: list[str] = []
    for message in messages(turns, **quirks):
        if waiting:
            assert message["role"] == "tool"
            assert message["tool_call_id"] == waiting.pop(0)
            assert message["content"]
        else:
            assert message["role"] != "tool"
            waiting = [one["id"] for one in message.get("tool_calls", ())]
            assert message["content"] or waiting
    assert not waiting


@given(conversations, conversations, quirks_of_any)
def test_the_messages_of_a_beginning_are_the_beginning_of_the_messages(
    turns: list[dict[str, Any]], more: list[dict[str, Any]], quirks: dict[str, Any]
) -> None:
    turns = [*turns, HI, assistant("said")]
    assert messages(turns, **quirks)[-1] == told("Continue.")  # which is not in the conversation
    begun = messages(turns, **quirks)[:-1]
    longer = messages([*turns, HI, *more], **quirks)
    assert longer[: len(begun)] == begun


def _speaks(content: str | list[dict[str, Any]]) -> bool:
    return bool(content) if isinstance(content, str) else any(block.get("text", "x") for block in content)


@given(conversations, quirks_of_any)
def test_the_same_role_does_not_speak_twice_in_a_row(turns: list[dict[str, Any]], quirks: dict[str, Any]) -> None:
    speaking = [turn for turn in turns if _speaks(turn["content"])]
    made = messages(speaking or [HI], **quirks)
    assert all(a["role"] != b["role"] or a["role"] in {"tool", "system"} for a, b in itertools.pairwise(made))
    assert all(message["role"] != "assistant" for message in made[-1:])


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words | st.sampled_from(["type", "text", "content"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_TYPES = (
    "text",
    "image",
    "document",
    "tool_use",
    "tool_result",
    "tool_reference",
    "thinking",
    "unheard_of",
    "custom",
    "auto",
    "tool",
    "any",
)
_ODD = {
    "type": st.sampled_from(_TYPES),
    "text": words,
    "thinking": words,
    "id": words,
    "name": words,
    "tool_use_id": words,
    "tool_name": words,
    "input": _json,
    "content": _json | st.lists(st.builds(text, words), max_size=2),
    "source": st.fixed_dictionaries(
        {"type": st.sampled_from(["base64", "url", "text", "content"])}, optional={"content": _json, "data": _json}
    ),
    "title": _json,
    "format": _json,
    "input_schema": st.dictionaries(words, _json, max_size=2),
    "defer_loading": _json,
    "disable_parallel_tool_use": _json,
}


@st.composite
def _odd(draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, Any]:
    """A block, tool or choice of which most fields hold what they should."""
    names = draw(st.sets(st.sampled_from(sorted(_ODD))))
    return {name: draw(_ODD[name] if draw(st.integers(0, 5)) else _json) for name in names}


_odd_bodies = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "max_tokens": st.integers(0, 2**54),
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["user", "assistant", "system"]),
                    "content": words | st.lists(_odd(), max_size=3),
                }
            ),
            max_size=3,
        ),
    },
    optional={
        "system": words | st.lists(_odd(), max_size=2),
        "tools": st.lists(_odd(), max_size=3),
        "tool_choice": _odd(),
        "output_config": _odd(),
        "thinking": _odd(),
        "metadata": _odd(),
        "stop_sequences": st.lists(words),
        "temperature": _json,
        "stream": st.booleans(),
    },
)


@given(_odd_bodies, quirks_of_any)
@pytest.mark.fault("F-04")
def test_any_body_is_translated_or_refused_as_a_bad_request(request: dict[str, Any], quirks: dict[str, Any]) -> None:
    try:
        made = DIALECT.request(call(request, quirks=quirks))
    except ApiError as cause:
        assert cause.failed.status == 400  # noqa: PT017
    else:
        assert isinstance(made, Outgoing | Local)
