from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.json_text import Brackets, fields, items
from sayings import inputs


def _whole(*pieces: str) -> bool:
    brackets = Brackets()
    for piece in pieces:
        brackets.feed(piece)
    return brackets.whole


@given(inputs | st.lists(inputs, max_size=3), st.booleans(), st.integers(0, 30), st.data())
def test_whole_exactly_when_the_document_parses(value: Any, escaped: bool, split: int, data: st.DataObject) -> None:  # noqa: FBT001
    text = json.dumps(value, ensure_ascii=escaped)
    part = text[: data.draw(st.integers(0, len(text)))]
    try:
        parses = json.loads(part) is not None
    except ValueError:
        parses = False
    assert _whole(part[:split], part[split:]) is parses
    assert _whole(*part) is parses


@given(inputs, st.text(alphabet=" \n\t", max_size=3))
def test_space_around_a_document_means_nothing(value: Any, space: str) -> None:
    assert _whole(space, json.dumps(value), space)


@pytest.mark.parametrize("text", ["", "5", '"{}"', "null", " ", '"'])
def test_what_is_no_object_or_array_is_never_whole(text: str) -> None:
    assert not _whole(*text)


@pytest.mark.parametrize("value", [None, 1, "a", [1], True, 1.5])
def test_what_is_no_object_has_no_fields(value: object) -> None:
    assert fields(value) == {}
    assert fields({"a": value}) == {"a": value}


@pytest.mark.parametrize("value", [None, 1, "a", {"a": 1}, (1,)])
def test_what_is_no_list_has_no_items(value: object) -> None:
    assert items(value) == []
    assert items([value]) == [value]
