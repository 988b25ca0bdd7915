from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.collect import Collector, parsed_input
from claude_code_proxy.wire.encoder import Encoder
from claude_code_proxy.wire.events import Block, Failed, Signature, Stop, Text, Thinking, ToolArgs, ToolCall
from claude_code_proxy.wire.failure import failed
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import fed
from sayings import Saying, sayings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_code_proxy.wire.events import Event

FAILURE = failed("overloaded_error", "busy")


def collected(events: Sequence[Event], watch: Watch | None = None) -> dict[str, Any]:
    (body,) = fed(Collector("msg_1", "claude-x", watch or Watch()), events)
    message: dict[str, Any] = json.loads(body)
    return message


@given(sayings(), st.sampled_from([Stop("end_turn"), Stop("tool_use"), Stop("stop_sequence", "stop", "END")]))
def test_a_message_is_what_a_client_makes_of_the_stream(saying: Saying, stop: Stop) -> None:
    events = [*saying.events, stop]
    streaming, whole = Watch(), Watch()
    told = read(b"".join(fed(Encoder("msg_1", "claude-x", streaming), events)))
    message = collected(events, whole)
    assert message == {
        **told.message,
        "content": told.blocks,
        "stop_reason": told.stop_reason,
        "stop_sequence": told.stop_sequence,
        "usage": told.usage,
    }
    assert message["content"] == saying.blocks
    assert (whole.usage, whole.stop, whole.failed, whole.started) == (streaming.usage, stop, None, True)


@given(sayings(whole=False))
def test_an_unfinished_call_keeps_the_text_of_its_arguments(saying: Saying) -> None:
    message = collected([*saying.events, Stop("max_tokens")])
    expected = [_unparsed(block) for block in saying.blocks]
    assert message["content"] == expected
    assert message["stop_reason"] == "max_tokens"


def _unparsed(block: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(block.get("input"), str):
        return block
    return {**block, "input": {"__unparsedToolInput": {"raw": block["input"], "len": len(block["input"])}}}


@given(sayings(), st.sampled_from([FAILURE, None]))
def test_of_a_reply_that_breaks_off_nothing_is_given(saying: Saying, end: Failed | None) -> None:
    watch = Watch()
    collector = Collector("msg_1", "claude-x", watch)
    assert fed(collector, [*saying.events, *([end] if end else [])]) == []
    assert watch.failed == (end or watch.truncation())
    assert watch.stop is None


@given(sayings(), sayings())
def test_what_comes_after_the_end_is_ignored(saying: Saying, more: Saying) -> None:
    end = Stop("end_turn")
    assert collected([*saying.events, end, *more.events, end, FAILURE]) == collected([*saying.events, end])


def test_a_signature_belongs_to_the_thinking_before_it() -> None:
    events: list[Event] = [Thinking("a"), Signature("1"), Thinking("b"), Text("t"), Signature("2"), Stop("end_turn")]
    assert collected(events)["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "1"},
        {"type": "thinking", "thinking": "b", "signature": ""},
        {"type": "text", "text": "t"},
        {"type": "thinking", "thinking": "", "signature": "2"},
    ]


def test_arguments_of_no_call_are_dropped() -> None:
    assert collected([ToolArgs(3, "{}"), Text("a"), Stop("end_turn")])["content"] == [{"type": "text", "text": "a"}]


def test_a_call_that_began_already_begins_no_other() -> None:
    call = ToolCall(0, "toolu_1", "f")
    assert len(collected([call, ToolArgs(0, "{"), call, ToolArgs(0, "}"), Stop("tool_use")])["content"]) == 1


def test_text_after_a_text_block_that_passes_as_it_is_does_not_replace_it() -> None:
    cited = {"type": "text", "text": "so they say", "citations": [{"type": "char_location"}]}
    content = collected([Block(cited), Text("and more"), Stop("end_turn")])["content"]
    assert "".join(block["text"] for block in content) == "so they sayand more"


INPUTS: list[tuple[str, Any]] = [
    ("{}", {}),
    ('{"a":[1]}', {"a": [1]}),
    ("[1]", [1]),
    ("null", None),
    ("", {}),
    ('{"a', {"__unparsedToolInput": {"raw": '{"a', "len": 3}}),
    ("{}{}", {"__unparsedToolInput": {"raw": "{}{}", "len": 4}}),
]


@pytest.mark.parametrize(("arguments", "value"), INPUTS)
def test_arguments_as_an_input(arguments: str, value: object) -> None:
    assert parsed_input(arguments) == value
