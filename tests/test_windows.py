"""Whose word counts for a model's window, and what surely does not fit one."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from calls import body
from claude_code_proxy.calibration import Factor
from claude_code_proxy.catalogue import described
from claude_code_proxy.settings import Settings, load_settings
from claude_code_proxy.tables import Limits
from claude_code_proxy.windows import SILENT, limits_of, too_long
from claude_code_proxy.wire.counting import at_most, count, count_surely
from claude_code_proxy.wire.head import decode_head
from sayings import words

if TYPE_CHECKING:
    from claude_code_proxy.wire.head import Head

TOLD = Limits(65_536, 4096)
BARE = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": ""})


def having(models: dict[str, Limits], **fields: Any) -> Settings:
    return replace(BARE, models=models, **fields)


WHOSE: list[tuple[str, str, dict[str, Limits], Limits, tuple[int, int]]] = [
    # provider, model, the user's table, what the list told, window and output
    ("openai", "gpt-4.1", {}, Limits(), (1_047_576, 32_768)),
    ("openai", "gpt-4.1", {}, TOLD, (65_536, 4096)),
    ("openai", "gpt-4.1", {"openai:gpt-4.1": Limits(200_000, 9000)}, TOLD, (200_000, 9000)),
    ("openai", "gpt-4.1", {"openai:gpt-4.1": Limits(context=200_000)}, TOLD, (200_000, 4096)),
    ("openai", "gpt-4.1", {"openai:gpt-4.1": Limits(max_output=9000)}, Limits(), (1_047_576, 9000)),
    ("openai", "gpt-4.1", {"openrouter:gpt-4.1": Limits(200_000)}, Limits(), (1_047_576, 32_768)),
    ("openrouter", "house/model:free", {}, Limits(), (0, 0)),
    ("openrouter", "house/model:free", {"openrouter:house/model:free": Limits(8192)}, Limits(), (8192, 0)),
    ("openrouter", "house/model:free", {}, Limits(0, 4096), (0, 4096)),
    ("ollama", "house:8b", {}, Limits(262_144), (128_000, 0)),
    ("ollama", "house:8b", {}, Limits(40_960), (40_960, 0)),
    ("ollama", "house:8b", {"ollama:house:8b": Limits(16_384)}, Limits(262_144), (16_384, 0)),
    ("ollama", "house:8b", {"ollama:house:8b": Limits(200_000)}, Limits(262_144), (128_000, 0)),
    ("ollama", "house:8b", {}, Limits(), (0, 0)),
]


@pytest.mark.parametrize(("provider", "model", "models", "told", "expected"), WHOSE)
def test_whose_word_counts(
    provider: str, model: str, models: dict[str, Limits], told: Limits, expected: tuple[int, int]
) -> None:
    settings = having(models)
    limits = limits_of(settings.providers[provider], model, settings, told)
    assert (limits.context, limits.max_output) == expected
    assert limits_of(settings.providers[provider], model, settings, limits) == limits


HELD: list[tuple[int | None, int, int, int]] = [
    # the window that the model was made with, OLLAMA_NUM_CTX, the user's word, the window
    (40_960, 128_000, 0, 40_960),
    (40_960, 128_000, 16_384, 16_384),
    (40_960, 128_000, 200_000, 40_960),
    (262_144, 128_000, 0, 262_144),  # it runs elsewhere
    (0, 128_000, 0, 0),  # it could not be made: nobody knows
    (0, 128_000, 16_384, 16_384),
    (None, 0, 0, 65_536),
    (None, 0, 16_384, 16_384),
]


@pytest.mark.parametrize(("held", "num_ctx", "own", "window"), HELD)
def test_the_window_of_an_ollama_model_is_what_it_was_made_with(
    held: int | None, num_ctx: int, own: int, window: int
) -> None:
    settings = having({"ollama:m": Limits(own)} if own else {}, ollama_num_ctx=num_ctx)
    assert limits_of(settings.providers["ollama"], "m", settings, TOLD, held=held).context == window


def test_the_list_of_models_shows_the_users_word() -> None:
    settings = having({"openrouter:house/model": Limits(50_000, 5000)})
    row = {"context_length": 262_144, "max_completion_tokens": 32_000}
    model = described("house/model", row, settings.providers["openrouter"], settings)
    assert model
    assert (model.context, model.max_output) == (50_000, 5000)


def saying(text: str, **fields: Any) -> Head:
    request = body(messages=[{"role": "user", "content": text}], **fields)
    return decode_head(json.dumps(request, ensure_ascii=False).encode())


LONG = saying("word " * 70_000)  # about 100,000 tokens
CALIBRATED = Factor(1.0, 0.01, 20)
UNSURE = Factor(1.0, 0.2, 20)

FITS: list[tuple[int, Factor, bool]] = [
    (0, Factor(), True),
    (400_000, Factor(), True),  # more than it has bytes
    (100_100, Factor(), True),
    (61_000, Factor(), True),
    (59_000, Factor(), False),
    (97_500, CALIBRATED, True),
    (96_500, CALIBRATED, False),
    (96_500, UNSURE, True),
    (59_000, UNSURE, False),
    (59_000, Factor(0.5, 0.0, 20), True),
    (48_000, Factor(0.5, 0.0, 20), False),
    (190_000, Factor(2.0, 0.0, 20), False),
    (61_000, Factor(3.0, 0.0, 2), True),  # two replies are no calibration
]


@pytest.mark.parametrize(("context", "factor", "fits"), FITS)
def test_what_surely_does_not_fit(context: int, factor: Factor, *, fits: bool) -> None:
    refusal = too_long(LONG, context, factor, SILENT)
    assert (refusal is None) == fits
    if refusal:
        assert (refusal.type, refusal.status) == ("invalid_request_error", 400)
        said = refusal.message.split()
        assert refusal.message == f"prompt is too long: {said[4]} tokens > {context} maximum"
        assert int(said[4]) > context


def test_what_cannot_be_counted_is_left_to_the_upstream() -> None:
    assert too_long(decode_head(b'{"model":"m","messages":5,"x":"' + b"y" * 9000 + b'"}'), 100, Factor()) is None


def test_where_the_upstream_says_so_itself_more_is_left_to_it() -> None:
    assert too_long(LONG, 91_000, CALIBRATED) is None
    assert too_long(LONG, 91_000, CALIBRATED, SILENT)
    assert too_long(LONG, 89_000, CALIBRATED)


TOOL = {"name": "f", "input_schema": {"type": "object"}, "description": "x" * 900_000}


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [{"type": kind, **fields}]}])


DATA = base64.b64encode(b"x" * 900_000).decode()
ANYBODYS: list[tuple[str, dict[str, Any], bool]] = [
    ("text", block("text", text=DATA), False),
    ("a call", block("tool_use", id="a", name="f", input={"x": DATA}), False),
    ("a result", block("tool_result", tool_use_id="a", content=[{"type": "text", "text": DATA}]), False),
    ("the system's text", body(system=[{"type": "text", "text": DATA}]), False),
    ("a tool", body(tools=[TOOL]), False),
    ("a tool that is loaded later", body(tools=[{**TOOL, "defer_loading": True}]), True),
    ("an image", block("image", source={"type": "base64", "media_type": "image/png", "data": DATA}), True),
    ("a PDF", block("document", source={"type": "base64", "media_type": "application/pdf", "data": DATA}), True),
    ("thinking", block("thinking", thinking=DATA, signature=DATA), True),
    ("what is hidden", block("redacted_thinking", data=DATA), True),
    ("what is unheard of", block("unheard_of", data=DATA), True),
]


@pytest.mark.parametrize(("request_", "fits"), [row[1:] for row in ANYBODYS], ids=[row[0] for row in ANYBODYS])
def test_only_what_every_upstream_counts_is_held_against_it(request_: dict[str, Any], *, fits: bool) -> None:
    refusal = too_long(decode_head(json.dumps(request_).encode()), 100_000, Factor())
    assert (refusal is None) == fits


IMAGE = {"type": "image", "source": {"type": "url", "url": "u"}}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
_blocks = st.one_of(words.map(lambda text: {"type": "text", "text": text}), st.just(IMAGE), st.just(CALL))
_contents = st.lists(_blocks)


@given(st.lists(_contents, min_size=1, max_size=4), words)
def test_what_is_sure_is_less_than_the_estimate_and_what_the_bytes_allow(
    contents: list[list[dict[str, Any]]], system: str
) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    head = decode_head(json.dumps(body(messages=messages, system=system), ensure_ascii=False).encode())
    assert count_surely(head) <= at_most(head) + 1
    assert count_surely(head) <= count(head) + 1
