"""Each part of a request's way on its own: `make bench-micro`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from bodies import body
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Answer, Call, Outgoing
from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.encoder import Encoder
from claude_code_proxy.wire.events import Text
from claude_code_proxy.wire.framing import SSE
from claude_code_proxy.wire.head import body_of, decode_head
from claude_code_proxy.wire.watch import Watch
from upstream import CHAT, NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable

    Benchmark = Callable[..., Any]

SIZES: Final = (5_000, 173_000, 1_085_000)
PIECES: Final = 200
ROWS: Final = {one.dialect: one for row in load_providers({}).values() for one in (row, *row.spoken)}
STREAMS: Final = {
    "openai_chat": CHAT[1],
    "openai_responses": (
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":1,'
        '"item_id":"msg_1","output_index":0,"content_index":0,"delta":" a few words %d","logprobs":[]}\n\n'
    ),
    "gemini": (
        'data: {"candidates":[{"content":{"parts":[{"text":" a few words %d"}],"role":"model"},"index":0}],'
        '"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"m","responseId":"r"}\n\n'
    ),
    "anthropic": NATIVE[1],
}
RAW: Final = {size: body(size, model="m") for size in SIZES}


def call(raw: bytes, dialect: str) -> Call:
    head = decode_head(raw, whole=DIALECTS[dialect].translates)
    return Call(head, "m", "seed", "http://up.test", quirks=ROWS[dialect].quirks)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("whole", [False, True], ids=["head", "whole"])
def test_decoding(benchmark: Benchmark, size: int, whole: bool) -> None:  # noqa: FBT001
    assert benchmark(decode_head, RAW[size], whole=whole).model == "m"


@pytest.mark.parametrize("size", SIZES)
def test_checking(benchmark: Benchmark, size: int) -> None:
    asked = body_of(decode_head(RAW[size]))
    assert benchmark(checked, asked) is asked


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", STREAMS)
def test_conversion(benchmark: Benchmark, dialect: str, size: int) -> None:
    """From the client's bytes to the upstream's."""
    made = benchmark(lambda: DIALECTS[dialect].request(call(RAW[size], dialect)))
    assert isinstance(made, Outgoing)


def test_routing(benchmark: Benchmark) -> None:
    settings = load_settings({"OPENAI_API_KEY": "k"})
    assert benchmark(route, "", "claude-sonnet-5-5", settings).provider.name == "openai"


def test_framing(benchmark: Benchmark) -> None:
    data = (CHAT[1] % 0).encode() * PIECES
    assert len(benchmark(SSE().feed, data)) == PIECES


def test_encoding(benchmark: Benchmark) -> None:
    encoder, text = Encoder("msg_1", "m", Watch()), Text(" a few words")
    assert benchmark(lambda: [encoder.feed(text) for _ in range(PIECES)])


@pytest.mark.parametrize("dialect", STREAMS)
def test_reply(benchmark: Benchmark, dialect: str) -> None:
    """The whole way of 200 pieces that come at once: framing, decoder, filters, encoder."""
    asked, watch = call(RAW[5_000], dialect), Watch()
    made = DIALECTS[dialect].request(asked)
    assert isinstance(made, Outgoing)
    machine = DIALECTS[dialect].reply(asked, made, Answer(200, {"content-type": "text/event-stream"}), watch)
    if dialect == "anthropic":
        machine.feed(NATIVE[0])
    data = (STREAMS[dialect] % 0).encode() * PIECES
    assert b"a few words" in b"".join(benchmark(machine.feed, data))
