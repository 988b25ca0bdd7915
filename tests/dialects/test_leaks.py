"""Tool calls that a server left in the text, in every notation of wire.md §9.7."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.dialects.openai_chat.leaks import LeakedCalls
from claude_code_proxy.wire.events import Stop, Text, Thinking, ToolArgs, ToolCall, Usage
from machines import fed
from notations import (
    CLOSED,
    DSML,
    NOTATIONS,
    ONE,
    OTHER,
    RARE,
    TOOLS,
    TWO,
    TWO_IN_ONE,
    VALUES,
    WHOLE,
    as_json,
    glm,
    invoked,
    notations_of,
    qwen,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Tool


def each(table: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("text", table.values(), ids=list(table))


def heard(*pieces: str | Event, tools: dict[str, Tool] = TOOLS) -> list[Any]:
    """What comes of it: text as a string, a call as its name and arguments."""
    events = [Text(piece) if isinstance(piece, str) else piece for piece in pieces if piece != ""]
    said: list[Any] = []
    for event in fed(LeakedCalls("seed", tools), [*events, Stop("end_turn")]):
        if isinstance(event, Text) and said and isinstance(said[-1], str):
            said[-1] += event.text
        elif isinstance(event, Text):
            said.append(event.text)
        elif isinstance(event, ToolArgs):
            said[-1] = (said[-1].name, json.loads(event.json))
        elif isinstance(event, ToolCall | Thinking):
            said.append(event)
    return said


CALL = ("Read", VALUES)
SECOND = ("mcp__a.long", OTHER)


@each(WHOLE)
def test_a_leaked_call_becomes_a_call(text: str) -> None:
    assert heard(text) == [CALL]


@each(RARE)
def test_a_leaked_call_in_a_rare_notation_becomes_a_call(text: str) -> None:
    assert heard(text) == [CALL]


@each(WHOLE)
def test_it_does_not_matter_where_a_leaked_call_is_cut(text: str) -> None:
    text = f"So:\n{text}"
    whole = heard(text)
    assert heard(*text) == whole
    for at in range(1, len(text)):
        assert heard(text[:at], text[at:]) == whole


@each(WHOLE)
def test_usage_between_the_pieces_of_a_leaked_call_does_not_matter(text: str) -> None:
    for at in (1, len(text) // 2, len(text) - 1):
        assert heard(text[:at], Usage(output=1), text[at:]) == [CALL]


@each(TWO_IN_ONE)
def test_two_calls_in_one_notation_are_two(text: str) -> None:
    assert heard(text) == [CALL, SECOND]
    assert heard(*text) == [CALL, SECOND]


@each(CLOSED)
@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
def test_two_notations_in_a_row_are_two_calls(text: str, between: str) -> None:
    assert heard(text + between + text) == [CALL, CALL]
    assert heard(*text, *between, *text) == [CALL, CALL]


@each(TWO_IN_ONE)
def test_leaked_calls_have_ids_and_keys_of_their_own(text: str) -> None:
    said = fed(LeakedCalls("seed", TOOLS), [Text(text), Stop("end_turn")])
    made = [event for event in said if isinstance(event, ToolCall)]
    assert len({call.id for call in made}) == len({call.key for call in made}) == 2
    assert all(call.id.replace("_", "").isalnum() for call in made)


@each(WHOLE)
def test_a_call_of_a_tool_that_was_not_offered_stays_text(text: str) -> None:
    assert heard(text, tools={"Write": TOOLS["Read"]}) == [text]


@each(WHOLE)
def test_without_tools_nothing_is_a_call(text: str) -> None:
    assert heard(text, tools={}) == [text]


@each(WHOLE)
@pytest.mark.parametrize(
    ("before", "closing"),
    [
        ("```\n", "```"),
        ("```xml\n", "```"),
        ("See:\n\n  ```\nx\n", "  ```"),
        ("````md\n```\nx\n```\n", "````"),
        ("~~~\n", "~~~"),
    ],
)
def test_a_call_in_a_code_block_stays_text(text: str, before: str, closing: str) -> None:
    said = f"{before}{text}\n{closing}\nThat is how."
    assert heard(said) == [said]
    assert heard(*said) == [said]


@each(WHOLE)
@pytest.mark.parametrize("closing", ["```", "  ```", "```\n"])
def test_a_call_after_a_code_block_is_one(text: str, closing: str) -> None:
    before = f"```py\nx = 1\n{closing}\n"
    assert heard(before + text) == [before, CALL]
    assert heard(*before, *text) == [before, CALL]


@each(WHOLE)
@pytest.mark.parametrize("before", ["The notation is ", "`", "> ", "- ", "x" * 200])
def test_a_call_in_the_middle_of_a_line_stays_text(text: str, before: str) -> None:
    text = text.replace("\n", " ")
    assert heard(before + text) == [before + text]
    assert heard(before, text) == [before + text]
    assert heard(*before, *text) == [before + text]


def test_a_long_line_that_began_with_blanks_has_a_middle_too() -> None:
    before, text = " " * 100 + "x ", WHOLE["Hermes"].replace("\n", "")
    assert heard(before, text) == heard(*before, *text) == heard(before + text) == [before + text]


BROKEN = {
    "JSON that is cut": f"<tool_call>{as_json(*ONE)[:-2]}</tool_call>",
    "JSON with single quotes": "<tool_call>{'name': 'Read', 'arguments': {}}</tool_call>",
    "no name": '<tool_call>{"arguments": {}}</tool_call>',
    "a name that is a list": '<tool_call>{"name": ["Read"], "arguments": {}}</tool_call>',
    "arguments that are a list": '<tool_call>{"name": "Read", "arguments": []}</tool_call>',
    "an empty list": "<TOOLCALL>[]</TOOLCALL>",
    "words": "<tool_call>\nis how models call tools\n</tool_call>",
    "words in a function": "<tool_call>\n<function=Read>\nis how it begins\n</function>\n</tool_call>",
    "words after a function": f"<tool_call>\n{qwen(*ONE)}\nis how it looks\n</tool_call>",
    "words between pairs": "<tool_call>Read\nwith <arg_key>path</arg_key>\n<arg_value>x</arg_value>\n</tool_call>",
    "a key without a value": "<tool_call>Read\n<arg_key>path</arg_key>\n</tool_call>",
    "Kimi, broken JSON": WHOLE["Kimi K2"].replace("}<|tool_call_end", "<|tool_call_end"),
    "Kimi, words inside": WHOLE["Kimi K2"].replace("<|tool_calls_section_end", "and so on <|tool_calls_section_end"),
    "DeepSeek, broken JSON": WHOLE["DeepSeek V3.1"].replace(": 5", ": "),
    "DSML, broken JSON": WHOLE["DSML"].replace(">5<", ">{5<"),
    "DSML, words inside": WHOLE["DSML"].replace("<" + DSML + "invoke", "I call <" + DSML + "invoke"),
    "MiniMax, nothing inside": "<minimax:tool_call></minimax:tool_call>",
    "Mistral, broken JSON": WHOLE["Mistral"][:-1],
    "Mistral, words after": WHOLE["Mistral v11"] + " and so on",
    "one known and one unknown tool": notations_of(ONE, ("Unknown", {}))["DSML"][0] + notations_of()["DSML"][1],
}  # fmt: skip


@each(BROKEN)
def test_what_does_not_read_without_an_error_stays_text(text: str) -> None:
    assert heard(text) == [text]
    assert heard(*text) == [text]


# Of those whose arguments may go on nothing is a call without its end.
ENDLESS = {name: NOTATIONS[name][0] for name in NOTATIONS if name not in {"Qwen3-Coder without a wrapping", "GLM"}}


@each(ENDLESS)
def test_a_call_whose_closing_is_missing_at_the_end_is_one(text: str) -> None:
    assert heard(text) == [CALL]


@each(ENDLESS)
@pytest.mark.parametrize("end", [[Stop("max_tokens")], []])
def test_what_is_held_of_a_reply_that_was_cut_stays_text(text: str, end: list[Event]) -> None:
    said = fed(LeakedCalls("seed", TOOLS), [Text(text), *end])
    assert "".join(event.text for event in said if isinstance(event, Text)) == text


@each(WHOLE)
def test_a_call_that_was_cut_is_no_other_call_and_no_text_is_lost(text: str) -> None:
    for at in range(1, len(text)):
        assert heard(text[:at]) in ([CALL], [text[:at]]), text[:at]


@each({name: start for name, (start, _) in notations_of(ONE, TWO).items()})
def test_the_second_of_two_calls_that_was_cut_is_not_lost(text: str) -> None:
    cut = text[: text.index("second") + 3]
    said = heard(cut)
    assert said == [cut] or (said[0] == CALL and isinstance(said[-1], str) and said[-1].endswith("sec"))


@each(CLOSED)
@pytest.mark.parametrize(
    ("before", "after"), [("Let me look.\n", "\nDone."), ("\n\n", "Done.\n\nReally."), ("a\n\n  ", "\n\nDone.\n")]
)
def test_text_around_a_call_is_kept(text: str, before: str, after: str) -> None:
    first, call, last = heard(before + text + after)
    assert (first, call) == (before, CALL)
    assert last.lstrip("\n") == after.lstrip("\n")
    assert heard(*before, *text, *after) == [first, call, last]


NESTED = {
    "Hermes": as_json("Read", {"path": "<tool_call>x</tool_call>"}),
    "Qwen3-Coder": qwen("Read", {"path": "say </tool_call> and\n\n<b>x</b>"}),
}


@each(NESTED)
def test_a_closing_tag_in_an_argument_does_not_lose_text(text: str) -> None:
    said = heard(f"<tool_call>{text}</tool_call>")
    spoken = "".join(one for one in said if isinstance(one, str))
    called = [one for one in said if not isinstance(one, str)]
    assert spoken == f"<tool_call>{text}</tool_call>" or (spoken == "" and len(called) == 1)


TYPED: list[tuple[str, str, Any]] = [
    ("path", "5", "5"),
    ("path", "true", "true"),
    ("path", "", ""),
    ("path", " a\n b ", " a\n b "),
    ("path", "a < b & c > d", "a < b & c > d"),
    ("path", "<b>x</b>", "<b>x</b>"),
    ("n", "5", 5),
    ("n", " 5 ", 5),
    ("n", "five", "five"),
    ("x", "1.5", 1.5),
    ("flag", "true", True),
    ("flag", "True", True),
    ("flag", "FALSE", False),
    ("flag", "yes", "yes"),
    ("list", '["a"]', ["a"]),
    ("list", "not a list", "not a list"),
    ("list", "[" * 20_000, "[" * 20_000),
    ("object", '{"a": {"b": null}}', {"a": {"b": None}}),
    ("object", "{", "{"),
    ("maybe", "5", 5),
    ("maybe", "null", None),
    ("either", "5", 5),
    ("unknown", "5", "5"),
]


@pytest.mark.parametrize(("key", "text", "value"), TYPED)
@pytest.mark.parametrize("style", ["qwen", "glm", "xml"])
def test_arguments_get_the_types_of_the_schema(style: str, key: str, text: str, value: Any) -> None:
    made = {
        "qwen": f"<tool_call>{qwen('Read', {key: text})}</tool_call>",
        "glm": f"<tool_call>{glm('Read', {key: text})}</tool_call>",
        "xml": f"<minimax:tool_call>{invoked('', 'Read', {key: text})}</minimax:tool_call>",
    }
    assert heard(made[style]) == [("Read", {key: value})]


SCHEMAS: list[Any] = [{}, {"properties": None}, {"properties": []}, {"properties": ["n"]}, {"properties": {"n": True}},
                      {"properties": {"n": {"type": {}}}}, {"properties": {"n": {"type": []}}}]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_of_any_shape_leaves_the_text(schema: Any) -> None:
    tools: dict[str, Tool] = {"Read": {"name": "Read", "input_schema": schema}}
    assert heard(f"<tool_call>{glm('Read', {'n': '5'})}</tool_call>", tools=tools) == [("Read", {"n": "5"})]


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-0", "NaN"])
def test_a_number_of_any_size_raises_nothing(number: str) -> None:
    said = heard(f'<tool_call>{{"name": "Read", "arguments": {{"n": {number}}}}}</tool_call>')
    assert len(said) == 1


ANSWERS = [
    '{"name": "Read", "description": "Reads a file."}',
    '{"name": "Read", "version": "1.0.0"}',
    '{"name": "Read"}',
    '{"name":"Read","arguments":{}}\nand so on',
    "[Read(1)]",
    '[Read(**{"n": 1})]',
    "[Read(n=1) for x in y]",
    "[Read(n=" + "[" * 3000 + ")]",
    "[Read(n=" + "9" * 5000 + ")]",
    "[Read(",
    "a\x00" + WHOLE["Hermes"],
]


@pytest.mark.parametrize("text", ANSWERS, ids=[text[:30] for text in ANSWERS])
def test_an_answer_that_only_looks_like_a_call_is_text(text: str) -> None:
    assert heard(text) == [text]
    assert heard(*text) == [text]


@pytest.mark.parametrize(
    "value",
    ["...", "1j", "{[]: 1}", "{(1, 2): 3}", "{None: 1}", "'\\ud800'", "b'x'", "{1, 2}", "(1, 2)", "1e999", "-1"],
)
def test_any_python_value_raises_nothing(value: str) -> None:
    assert len(heard(f"[Read(n={value})]")) == 1


@pytest.mark.parametrize("notation", ["Hermes", "Qwen3-Coder", "Qwen3-Coder without a wrapping", "GLM"])
def test_a_long_argument_full_of_tags_is_read_once(notation: str) -> None:
    said = "<function=x></function></tool_call>\n" * 40
    arguments = {"path": said.strip()}
    text = {
        "Hermes": f"<tool_call>{as_json('Read', arguments)}</tool_call>",
        "Qwen3-Coder": f"<tool_call>{qwen('Read', arguments)}</tool_call>",
        "Qwen3-Coder without a wrapping": qwen("Read", arguments),
        "GLM": f"<tool_call>{glm('Read', arguments)}</tool_call>",
    }[notation]
    assert heard(*text) == [("Read", arguments)]


def test_other_events_keep_their_place() -> None:
    calls: list[Event] = [ToolCall(0, "toolu_1", "Read"), ToolArgs(0, "{}")]
    events: list[Event] = [Text("<tool"), Thinking("t"), Text("a"), *calls]
    assert fed(LeakedCalls("seed", TOOLS), events) == [Text("<tool"), Thinking("t"), Text("a"), *calls]


# -- any text

_SCRAPS = ["<tool_call>", "</tool_call>", "<function=Read>", "</function>", "<parameter=n>", "</parameter>", "[TOOL_CALLS]",
           "[ARGS]", "<|python_tag|>", "<|tool_call|>", "<|call|>", "<|channel|>commentary", "to=Read<|message|>", "```", "`", "\n",
           " ", "\t", "Read", as_json("Read", {"n": 1}), "{", "}", "x", "<", "[", "<minimax:tool_call>", "<arg_key>n</arg_key>", "\x00", "~~~", "● ",
           "[Read(", "n=1)", "]", "</|eot_id|>"]  # fmt: skip
_scraps = st.lists(st.sampled_from(_SCRAPS), max_size=14)
_plain = st.text(max_size=80).filter(lambda text: "<" not in text and "[" not in text)


@given(st.lists(_plain | st.sampled_from(["```", "<b>", "[1]", "a < b", "<tool", "<|", "\n[x]\n"]), max_size=8))
def test_text_without_a_notation_is_not_changed(pieces: list[str]) -> None:
    assert heard(*pieces) == [text for text in ["".join(pieces)] if text]


def _cut(text: str, at: Iterable[int]) -> Sequence[str]:
    edges = [0, *sorted({min(one, len(text)) for one in at}), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@given(_scraps, st.lists(st.integers(0, 200), max_size=8))
def test_any_cuts_of_any_text_give_the_same(scraps: list[str], at: list[int]) -> None:
    text = "".join(scraps)
    assert heard(*_cut(text, at)) == heard(text)


@given(_scraps)
def test_text_is_neither_lost_nor_made_up(scraps: list[str]) -> None:
    text = "".join(scraps)
    said = heard(text)
    at = 0
    for one in said:
        if isinstance(one, str):
            at = text.index(one, at) + len(one)
    assert len(said) != 1 or isinstance(said[0], tuple) or said[0] == text
    if not any(isinstance(one, tuple) for one in said):
        assert "".join(said) == text


@each(WHOLE)
def test_a_call_that_ends_the_reasoning_is_made_unless_another_is(text: str) -> None:
    thoughts: list[Event] = [Thinking("I read it.\n"), Thinking(text)]
    assert heard(*thoughts, "Well.")[-1] == CALL
    said = heard(*thoughts, ToolCall(0, "toolu_1", "Read"), ToolArgs(0, "{}"))
    assert [one for one in said if isinstance(one, tuple)] == [("Read", {})]
    assert CALL not in heard(*thoughts, Thinking("But no."), "Well.")
