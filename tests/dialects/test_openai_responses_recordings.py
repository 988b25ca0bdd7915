"""What providers really sent must come out whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from calls import JSON, replied
from claude_code_proxy.dialects.openai_responses import DIALECT
from claude_code_proxy.wire.watch import Watch
from grammar import read
from machines import ways
from recordings import NEEDED
from responses_reader import (
    FAILED,
    STREAMS,
    WHOLE,
    assert_same,
    events,
    framed,
    told_in_response,
    told_in_stream,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = NEEDED


@pytest.mark.parametrize("file", STREAMS)
def test_a_recorded_stream_comes_out_whole(file: Path) -> None:
    said = told_in_stream(events(file))
    for pieces in ways(framed(file)):
        assert_same(read(replied(DIALECT, pieces)), said)


@pytest.mark.parametrize("file", WHOLE)
def test_a_recorded_response_comes_out_whole(file: Path) -> None:
    raw = file.read_bytes()
    said = told_in_response(raw.decode())
    assert_same(read(replied(DIALECT, [raw], media_type=JSON)), said)
    message = json.loads(replied(DIALECT, [raw], media_type=JSON, stream=False))
    assert "".join(block["text"] for block in message["content"] if block["type"] == "text") == "".join(said.texts)
    calls = [(block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"]
    assert calls == said.calls


@pytest.mark.parametrize("file", FAILED)
def test_a_recorded_failure_is_told(file: Path) -> None:
    watch = Watch()
    assert replied(DIALECT, [framed(file)], watch=watch) == b""
    assert watch.failed
    assert (watch.failed.type, watch.failed.status) == ("billing_error", 402)
