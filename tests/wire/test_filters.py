"""Reasoning in tags and stop sequences: what comes out does not depend on the cuts, and no text is lost."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claude_code_proxy.wire.events import Signature, Stop, Text, Thinking, ToolArgs, ToolCall, Usage
from claude_code_proxy.wire.filters import StopSequences, ThinkTags
from machines import fed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event

SIGNED = Signature("s")
END = Stop("end_turn", "stop")
ESTIMATED = 77


def joined(events: Sequence[Event]) -> list[Event]:
    """The events with neighbouring pieces of text and of thinking as one."""
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, Text) and isinstance(last, Text):
            out[-1] = Text(last.text + event.text)
        elif isinstance(event, Thinking) and isinstance(last, Thinking):
            out[-1] = Thinking(last.text + event.text)
        else:
            out.append(event)
    return out


def sorted_out(*pieces: str | Event) -> list[Event]:
    """What becomes of tags in these pieces."""
    events = [Text(piece) if isinstance(piece, str) else piece for piece in pieces]
    return joined(fed(ThinkTags("s"), [*events, END]))[:-1]


TAGS: list[tuple[str, str, list[Event]]] = [
    ("none", "a", [Text("a")]),
    ("thinking and an answer", "<think>t</think>a", [Thinking("t"), SIGNED, Text("a")]),
    ("the longer tag", "<thinking>t</thinking>a", [Thinking("t"), SIGNED, Text("a")]),
    ("another tag", "<thought>t</thought>a", [Thinking("t"), SIGNED, Text("a")]),
    ("white space all around", "\n <think>\n\nt\n\n</think>\n\na\n", [Thinking("t"), SIGNED, Text("a\n")]),
    ("a line break after it", "<think>\nt</think>\na", [Thinking("t"), SIGNED, Text("a")]),
    ("white space inside", "<think>t\n\nu</think>a", [Thinking("t\n\nu"), SIGNED, Text("a")]),
    ("thinking alone", "<think>t</think>", [Thinking("t"), SIGNED]),
    ("blanks after it", "<think>t</think>\n\n", [Thinking("t"), SIGNED]),
    ("a half closing tag inside", "<think>a </thi b</think>c", [Thinking("a </thi b"), SIGNED, Text("c")]),
    ("another closing tag inside", "<think>a</thinking>b</think>c", [Thinking("a</thinking>b"), SIGNED, Text("c")]),
    ("a tag that is mentioned", "The tag <think> opens.", [Text("The tag <think> opens.")]),
    ("a tag after the answer began", "a<think>t</think>", [Text("a<think>t</think>")]),
    ("a second tag", "<think>t</think>a<think>u</think>b", [Thinking("t"), SIGNED, Text("a<think>u</think>b")]),
    ("something like a tag", "<thin>x", [Text("<thin>x")]),
    ("an upper-case tag is none", "<THINK>x", [Text("<THINK>x")]),
    ("white space is kept before text", "\n\n a", [Text("\n\n a")]),
    ("half a tag at the end", "<thi", [Text("<thi")]),
    ("a tag that never closes", "<think>t", [Thinking("t"), SIGNED]),
    ("a closing tag that is cut", "<think>t</thi", [Thinking("t</thi"), SIGNED]),
]


@pytest.mark.parametrize(("text", "events"), [row[1:] for row in TAGS], ids=[row[0] for row in TAGS])
def test_reasoning_in_tags_becomes_thinking(text: str, events: list[Event]) -> None:
    assert sorted_out(text) == events
    assert sorted_out(*text) == events
    for at in range(1, len(text)):
        assert sorted_out(text[:at], text[at:]) == events


@pytest.mark.parametrize("text", ["<think></think>a", "<think>\n\n</think>\n\na", "<think> </think>a"])
def test_tags_with_nothing_between_them_leave_no_thinking(text: str) -> None:
    for pieces in ([text], text):
        assert [event for event in sorted_out(*pieces) if event != SIGNED] == [Text("a")]


def test_what_a_template_opened_ends_at_the_closing_tag() -> None:
    said = fed(ThinkTags("s", opened=True), [Text(char) for char in "t\n</think>\n\na"])
    assert joined(said) == [Thinking("t"), SIGNED, Text("a")]


@pytest.mark.parametrize("text", ["<think>t</think>a", "\n\na", "a"])
def test_usage_between_the_pieces_of_a_tag_does_not_matter(text: str) -> None:
    for at in range(1, len(text)):
        events = sorted_out(text[:at], Usage(output=1), text[at:])
        assert joined([event for event in events if not isinstance(event, Usage)]) == sorted_out(text)


def test_a_server_that_has_a_field_for_reasoning_means_the_tags() -> None:
    assert sorted_out(Thinking("t"), "<think>a") == [Thinking("t"), Text("<think>a")]


def test_a_call_after_reasoning_keeps_its_place() -> None:
    call: list[Event] = [ToolCall(0, "toolu_1", "f"), ToolArgs(0, "{}")]
    assert sorted_out("<think>t</think>\n\n", *call) == [Thinking("t"), SIGNED, *call]
    assert sorted_out("<think>t", *call) == [Thinking("t"), SIGNED, *call]


_scraps = st.lists(
    st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "/", "thin", "k>", "\n", " ", "a", "<t"]),
    max_size=10,
).flatmap(lambda scraps: st.sampled_from([scraps, ["<think>", *scraps]]))
_cuts = st.lists(st.integers(0, 60), max_size=6)


def cut(text: str, at: list[int]) -> list[str]:
    edges = [0, *sorted({min(one, len(text)) for one in at}), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if a < b]


@given(_scraps, _cuts)
def test_any_cuts_of_tags_give_the_same(scraps: list[str], at: list[int]) -> None:
    text = "".join(scraps)
    assert sorted_out(*cut(text, at)) == (sorted_out(text) if text else [])


@given(_scraps)
@example(["<think>", "<", "thin", "</think>", "k>"])
def test_sorting_out_tags_loses_nothing_but_tags_and_blanks(scraps: list[str]) -> None:
    text = "".join(scraps)
    kept = "\0".join(event.text for event in sorted_out(text) if isinstance(event, Text | Thinking))
    tags = re.sub(r"</?(think|thinking|thought)>|\s", "", text)
    assert re.sub(r"</?(think|thinking|thought)>|\s", "", kept).replace("\0", "") == tags  # two halves make no tag


@given(st.text(max_size=40).filter(lambda text: "<" not in text), _cuts)
def test_text_without_tags_is_not_changed(text: str, at: list[int]) -> None:
    assert sorted_out(*cut(text, at)) == ([Text(text)] if text else [])


# -- stop sequences


def stopped(sequences: list[str], *pieces: str | Event) -> list[Event]:
    """What is said until the reply stops."""
    events = [Text(piece) if isinstance(piece, str) else piece for piece in pieces]
    out: list[Event] = []
    for event in joined(fed(StopSequences(sequences, prompt_tokens=lambda: ESTIMATED), [*events, END])):
        if isinstance(event, Usage) and event.input == ESTIMATED:
            continue
        if event != Text(""):
            out.append(event)
        if isinstance(event, Stop):
            break
    return out


def at(sequence: str) -> Stop:
    return Stop("stop_sequence", "stop", sequence)


STOPS: list[tuple[str, list[str], str, list[Event]]] = [
    ("none is met", ["X"], "abc", [Text("abc"), END]),
    ("one is met", ["X"], "abXc", [Text("ab"), at("X")]),
    ("at the start", ["X"], "Xc", [at("X")]),
    ("at the end", ["X"], "abX", [Text("ab"), at("X")]),
    ("a long one", ["</severity>"], "high</severity>\nmore", [Text("high"), at("</severity>")]),
    ("half of one", ["</severity>"], "a</sev b", [Text("a</sev b"), END]),
    ("half of one at the end", ["</severity>"], "a</sev", [Text("a</sev"), END]),
    ("the first of several", ["X", "Y"], "aYbX", [Text("a"), at("Y")]),
    ("one that overlaps itself", ["aab"], "aaab", [Text("a"), at("aab")]),
    ("one that repeats", ["\n\n"], "a\n\n\nb", [Text("a"), at("\n\n")]),
    ("one within another: what is whole first counts", ["abc", "b"], "abc", [Text("a"), at("b")]),
    ("one that begins another: what is whole first counts", ["ab", "abc"], "abc", [at("ab")]),
    ("one that ends another", ["bc", "c"], "abc", [Text("a"), at("bc")]),
    ("characters of several bytes", ["終"], "aé終b", [Text("aé"), at("終")]),
]


@pytest.mark.parametrize(("sequences", "text", "events"), [row[1:] for row in STOPS], ids=[row[0] for row in STOPS])
def test_a_reply_ends_at_a_stop_sequence(sequences: list[str], text: str, events: list[Event]) -> None:
    for order in (sequences, sequences[::-1]):
        assert stopped(order, text) == events
        assert stopped(order, *text) == events
        for split in range(1, len(text)):
            assert stopped(order, text[:split], text[split:]) == events


def test_usage_between_the_pieces_of_a_stop_sequence_does_not_matter() -> None:
    events = stopped(["END"], "aE", Usage(output=1), "ND", "b")
    assert [event for event in events if not isinstance(event, Usage)] == [Text("a"), at("END")]


def test_a_reply_that_is_stopped_is_counted_unless_the_upstream_did() -> None:
    machine = StopSequences(["X"], prompt_tokens=lambda: 5)
    assert [*machine.feed(Text("12345678X"))] == [Text("12345678"), Usage(5, 2), at("X")]
    counted = StopSequences(["X"], prompt_tokens=lambda: 5)
    assert fed(counted, [Usage(1, 1), Text("aX")])[1:] == [Text("a"), at("X")]


def test_what_is_not_text_is_not_searched() -> None:
    events: list[Event] = [Thinking("X"), ToolCall(0, "toolu_1", "f"), ToolArgs(0, '"X"')]
    assert stopped(["X"], *events) == [*events, END]


def test_a_call_ends_the_text_that_is_searched() -> None:
    call = ToolCall(0, "toolu_1", "f")
    assert stopped(["END"], "aE", call, "ND") == [Text("aE"), call, Text("ND"), END]


@given(
    st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    st.text("ab\n", max_size=20),
    st.lists(st.integers(0, 20), max_size=8),
)
def test_any_cuts_of_text_stop_it_at_the_same_place(sequences: list[str], text: str, where: list[int]) -> None:
    events = stopped(sequences, *cut(text, where))
    assert events == stopped(sequences, text)
    said = "".join(event.text for event in events if isinstance(event, Text))
    end = events[-1]
    assert isinstance(end, Stop)
    assert not any(one in said for one in sequences)
    assert text.startswith(said + (end.sequence or ""))
    assert end.sequence or said == text
