from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import HI, body
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.head import decode_head
from sayings import words


def counted(request: Any) -> int:
    return count(decode_head(json.dumps(request, ensure_ascii=False).encode()))


def image(width: int, height: int, *, whole: bool = True) -> dict[str, Any]:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x06\x00\x00\x00" * 20
    data = base64.b64encode(png if whole else png[:12]).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": list(blocks)}])


TEXT = {"type": "text", "text": "x" * 350}


def test_text_costs_what_it_is_long() -> None:
    assert 80 < counted(user(TEXT)) < 130
    assert counted(user(TEXT, TEXT)) == pytest.approx(2 * counted(user(TEXT)), rel=0.1)


def test_both_forms_of_content_cost_the_same() -> None:
    assert counted(body(messages=[{"role": "user", "content": TEXT["text"]}])) == counted(user(TEXT))


MORE: list[dict[str, Any]] = [
    {"system": "x" * 100},
    {"system": [{"type": "text", "text": "x" * 100}]},
    {"tools": [{"name": "f", "description": "x" * 100, "input_schema": {"type": "object"}}]},
    {
        "messages": [
            HI,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"a": "x" * 100}}]},
        ]
    },
    {
        "messages": [
            HI,
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x" * 100}]},
        ]
    },
    {"messages": [HI, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [TEXT]}]}]},
    {
        "messages": [
            HI,
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "x" * 100}}]},
        ]
    },
    {"messages": [HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x" * 100}]}]},
    {"messages": [HI, {"role": "user", "content": [{"type": "unheard_of", "x": "x" * 100}]}]},
]


@pytest.mark.parametrize("fields", MORE)
def test_everything_that_is_sent_counts(fields: dict[str, Any]) -> None:
    assert counted(body(**fields)) > counted(body()) + 20


IMAGES = [(image(28, 28), 1), (image(280, 280), 100), (image(10_000, 10_000), 1568), (image(28, 28, whole=False), 1568)]


@pytest.mark.parametrize(("block", "tokens"), IMAGES)
def test_an_image_costs_what_it_is_large(block: dict[str, Any], tokens: int) -> None:
    empty = counted(user({"type": "text", "text": ""}))
    assert abs(counted(user(block)) - empty - tokens) <= 1


@pytest.mark.parametrize("data", ["", "!", "é", "QUJD" * 100, 5, None])
def test_odd_images_cost_something(data: object) -> None:
    assert counted(user({"type": "image", "source": {"type": "base64", "data": data}})) > 1000


def test_a_pdf_costs_pages_and_not_characters() -> None:
    data = "A" * 1_000_000
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}
    assert 2_000 < counted(user(document)) < len(data) / 10


def test_a_count_needs_no_limit_of_the_output() -> None:
    assert counted({"model": "m", "messages": [HI]}) == counted(body())


def test_a_malformed_request_is_a_bad_request() -> None:
    with pytest.raises(ApiError, match=r"messages\.0\.content"):
        counted(body(messages=[{"role": "user"}]))


def test_deep_values_are_counted_or_a_bad_request() -> None:
    for depth in (100, 300, 600, 900):
        deep: Any = "x"
        for _ in range(depth):
            deep = [deep]
        for block in ({"type": "tool_use", "id": "a", "name": "f", "input": deep}, {"type": "unheard_of", "x": deep}):
            try:
                assert counted(user(block)) > 0
            except ApiError as cause:
                assert cause.failed.status == 400  # noqa: PT017


_json = st.recursive(
    st.none() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
_blocks = st.dictionaries(
    st.sampled_from(["type", "text", "source", "content", "tool_use_id", "x"]),
    _json | st.sampled_from(["text", "image", "document", "tool_result"]),
)


@given(st.lists(_blocks, max_size=4), _json)
def test_any_request_is_counted_or_a_bad_request(blocks: list[dict[str, Any]], system: object) -> None:
    try:
        assert counted({**user(*blocks), "system": system}) > 0
    except ApiError as cause:
        assert cause.failed.status == 400  # noqa: PT017
