"""Anything that a model may say, as events, and what a client must have read of it in the end."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from claude_code_proxy.wire.events import Block, Signature, Text, Thinking, ToolArgs, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_code_proxy.wire.events import Event

words = st.text(max_size=12, alphabet=st.characters(exclude_categories=["Cs"]))
_some = words.filter(bool)
_counts = st.none() | st.integers(0, 10**6)
usages = st.builds(Usage, _counts, _counts, _counts, _counts, _counts)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
inputs = st.dictionaries(words | st.sampled_from(['{"', '"}', "\\", "]["]), _values, max_size=3)
_blocks: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    ],
)


@dataclass(frozen=True)
class Saying:
    """Events without an end, and the blocks that come of them."""

    events: list[Event]
    blocks: list[dict[str, Any]]


def texts_of(value: dict[str, Any], *, escaped: bool) -> str:
    return json.dumps(value, ensure_ascii=escaped)


@st.composite
def sayings(draw: Callable[[st.SearchStrategy[Any]], Any], *, whole: bool = True) -> Saying:
    """Text, thinking, signatures, blocks, usage and tool calls in any order.

    The pieces of the arguments of each call come at any time after it began. Unless `whole`, the last pieces
    of some are missing.
    """
    base: list[Any] = draw(
        st.lists(
            st.builds(Text, words)
            | st.builds(Thinking, words)
            | st.builds(Signature, _some)
            | st.builds(Block, _blocks)
            | usages
            | inputs,
            max_size=12,
        ),
    )
    events: list[Event] = []
    late: list[list[ToolArgs]] = [[] for _ in base]
    inputs_read: dict[int, Any] = {}
    for at, item in enumerate(base):
        if isinstance(item, dict):
            pieces = _pieces(draw, item, whole=whole)
            places = sorted(draw(st.integers(at, len(base) - 1)) for _ in pieces)
            for place, piece in zip(places, pieces, strict=True):
                late[place].append(ToolArgs(at, piece))
            inputs_read[at] = _read("".join(pieces))
            item = ToolCall(at, f"toolu_{at}", f"tool{at}")  # noqa: PLW2901
        events += [item, *late[at]]
    return Saying(events, _folded(events, inputs_read))


def _pieces(draw: Callable[[st.SearchStrategy[Any]], Any], value: dict[str, Any], *, whole: bool) -> list[str]:
    """The JSON of an input in pieces; sometimes none at all for an empty one."""
    if not value and draw(st.booleans()):
        return []
    text = texts_of(value, escaped=draw(st.booleans()))
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=4))), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    return pieces if whole else pieces[: draw(st.integers(0, len(pieces)))]


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _folded(events: Sequence[Event], inputs_read: dict[int, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for event in events:
        last = blocks[-1] if blocks else {"type": ""}
        match event:
            case Text(text) if text:
                if last["type"] != "text":
                    blocks.append({"type": "text", "text": ""})
                blocks[-1]["text"] += text
            case Thinking(text) if text:
                if last["type"] != "thinking" or last["signature"]:
                    blocks.append({"type": "thinking", "thinking": "", "signature": ""})
                blocks[-1]["thinking"] += text
            case Signature(value):
                if last["type"] != "thinking" or last["signature"]:
                    blocks.append({"type": "thinking", "thinking": "", "signature": ""})
                blocks[-1]["signature"] = value
            case ToolCall(key, ident, name):
                blocks.append({"type": "tool_use", "id": ident, "name": name, "input": inputs_read[key]})
            case Block(content):
                blocks.append(dict(content))
            case _:
                pass
    return blocks
