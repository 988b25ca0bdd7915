"""What Gemini really sent must come out whole, and every signature must come home."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from calls import HI, JSON, body, call, replied, sent
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.dialects.gemini import DIALECT
from grammar import read
from machines import sized
from recordings import NEEDED, SIZES, documents
from recordings_gemini import ERRORS, STREAMS, WHOLE, assert_same, framed, listed, said_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = NEEDED
MODEL = "gemini-3-pro-preview"


@pytest.mark.parametrize("file", STREAMS)
@pytest.mark.parametrize("size", SIZES)
def test_a_recorded_stream_comes_out_whole(file: Path, size: int) -> None:
    assert_same(replied(DIALECT, sized(framed(file), size)), said_in(documents(file)))


@pytest.mark.parametrize("file", STREAMS)
def test_a_recorded_stream_as_a_list_comes_out_whole(file: Path) -> None:
    assert_same(replied(DIALECT, sized(listed(file), 1000), media_type=JSON), said_in(documents(file)))


@pytest.mark.parametrize("file", WHOLE)
def test_a_recorded_reply_comes_out_whole(file: Path) -> None:
    raw = file.read_bytes()
    said = said_in([raw.decode()])
    assert_same(replied(DIALECT, sized(raw, 1000), media_type=JSON), said)
    message = json.loads(replied(DIALECT, [raw], media_type=JSON, stream=False))
    assert "".join(block["text"] for block in message["content"] if block["type"] == "text") == said.text
    assert [
        (block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"
    ] == said.calls


def came_home(blocks: list[dict[str, Any]]) -> list[str]:
    """The signatures in the request that carries these blocks as history, as bytes in hex."""
    messages = [HI, {"role": "assistant", "content": blocks}, HI]
    contents = sent(DIALECT, body(messages=messages), model=MODEL)["contents"]
    parts = [part for content in contents for part in content["parts"]]
    return [b64decode(part["thoughtSignature"]).hex() for part in parts if "thoughtSignature" in part]


@pytest.mark.parametrize("file", STREAMS)
def test_the_signatures_of_a_recorded_stream_come_home(file: Path) -> None:
    said = said_in(documents(file))
    told = read(replied(DIALECT, [framed(file)], model=MODEL))
    # The one behind a text that ends the answer cannot: the last block is what Claude Code shows.
    assert came_home(told.blocks) == (said.signatures if said.calls else [])


@pytest.mark.parametrize("file", WHOLE)
def test_the_signatures_of_a_recorded_reply_come_home(file: Path) -> None:
    raw = file.read_bytes()
    said = said_in([raw.decode()])
    message = json.loads(replied(DIALECT, [raw], media_type=JSON, stream=False, model=MODEL))
    assert said.signatures
    assert came_home(message["content"]) == said.signatures
    assert message["content"][-1]["type"] != "thinking"


@pytest.mark.parametrize("file", ERRORS)
def test_a_recorded_error_is_told(file: Path) -> None:
    raw = file.read_bytes()
    failure = DIALECT.failure(call(body()), Answer(json.loads(raw)["error"]["code"]), raw)
    assert (failure.type, failure.status) == ("rate_limit_error", 429)
    assert failure.headers == ((b"retry-after", b"35"),)
    assert failure.message == json.loads(raw)["error"]["message"]
