"""Faults of the dialects themselves: counts that are none, ends that are repeated, calls out of order."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .expected import Told
from .replies import BEFORE, Reply, calling
from .stage import EVERY, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ops import Op

STREAMED = (True,)
NUMBERS = re.compile(
    rb'("(?:prompt_tokens|completion_tokens|total_tokens|cached_tokens|reasoning_tokens|input_tokens|output_tokens'
    rb"|promptTokenCount|candidatesTokenCount|thoughtsTokenCount|cachedContentTokenCount|totalTokenCount"
    rb'|cache_read_input_tokens|cache_creation_input_tokens)": ?)\d+'
)
USAGE = re.compile(rb',? ?"(?:usage|usageMetadata)": ?\{(?:[^{}]|\{[^{}]*\})*\}')


def _counting(value: bytes) -> Callable[[Reply], list[Op]]:
    """The answer with this for every count of tokens."""
    return lambda r: r.of(*(NUMBERS.sub(rb"\g<1>" + value, piece) for piece in r.pieces))


def _count(name: str, value: bytes) -> Fault:
    """The reader of the grammar holds every count that we write to be a whole number; a native stream is not ours."""
    native = Told(lines=True, counts=False)
    return Fault(
        "U-28", f"counts that are {name}", _counting(value), Told(), but={"anthropic": native, "ollama": native}
    )


def _without_usage(made: Reply) -> list[Op]:
    return made.of(*(USAGE.sub(b"", piece) for piece in made.pieces))


def _end(made: Reply) -> bytes:
    """What ends the stream: the last event of the text and whatever follows."""
    last = max(n for n, piece in enumerate(made.pieces) if b"alpha-39" in piece)
    return b"".join(made.pieces[last + 1 :]) or made.pieces[-1]


def _twice_ended(made: Reply) -> list[Op]:
    return made.of(*made.pieces, _end(made))


def _in_one_write(made: Reply) -> list[Op]:
    return made.of(made.body + _end(made) + made.in_text)


def _more_after(made: Reply) -> list[Op]:
    return made.of(*made.pieces, made.in_text)


def _started_twice(made: Reply) -> list[Op]:
    return made.of(made.pieces[0], *made.pieces)


def _chat(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


def chat_call(
    index: int | None, ident: str | None = None, name: str | None = None, arguments: str | None = None
) -> bytes:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    made = {key: value for key, value in (("index", index), ("id", ident)) if value is not None}
    return _chat(tool_calls=[{**made, "type": "function", "function": function}])


FINISH = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}\n\ndata: [DONE]\n\n'
CALLS: dict[str, tuple[list[bytes], int]] = {
    "an index twice": ([chat_call(0, "a", "Read", "{}"), chat_call(0, "b", "Read", "{}")], 2),
    "an id twice": ([chat_call(0, "a", "Read", "{}"), chat_call(1, "a", "Read", "{}")], 2),
    "in turns": (
        [
            chat_call(0, "a", "Read", ""),
            chat_call(1, "b", "Read", ""),
            chat_call(0, arguments="{"),
            chat_call(1, arguments="{"),
            chat_call(0, arguments="}"),
            chat_call(1, arguments="}"),
        ],
        2,
    ),
    "a gap": ([chat_call(0, "a", "Read", "{}"), chat_call(2, "b", "Read", "{}")], 2),
    "no index": ([chat_call(None, "a", "Read", "{}"), chat_call(None, "b", "Read", "{}")], 2),
    "a negative index": ([chat_call(-1, "a", "Read", "{}")], 1),
    "200 at once": ([chat_call(n, f"c{n}", "Read", "{}") for n in range(200)], 200),
}
# Gemini may say more after its finishReason, and has been seen to: only the end of its stream is the end.
ENDING = tuple(name for name in EVERY if name != "gemini")


def _calls(name: str) -> Fault:
    events, count = CALLS[name]
    told = Told("", count)
    return Fault("U-20", f"calls: {name}", lambda r: r.of(*events, FINISH), told, only=("openai_chat",), modes=STREAMED)


FAULTS = [
    *map(_calls, CALLS),
    Fault(
        "U-20",
        "20 calls",
        lambda r: r.whole,
        Told(BEFORE, 20),
        of=lambda d, stream: calling(d, stream=stream, count=20),
    ),
    _count("negative", b"-7"),
    _count("beyond all", b"9" * 30),
    _count("10^12", b"1000000000000"),
    _count("strings", b'"many"'),
    _count("null", b"null"),
    _count("fractions", b"1.5"),
    _count("lists", b"[1]"),
    Fault("U-28", "no counts", _without_usage, Told(lines=True, counts=False)),
    Fault("U-29", "two ends", _twice_ended, Told(), modes=STREAMED),
    Fault("U-29", "all in one write, and more", _in_one_write, Told(), modes=STREAMED, only=ENDING),
    Fault("U-29", "more after the end", _more_after, Told(), modes=STREAMED, only=ENDING),
    Fault("U-29", "two beginnings", _started_twice, Told(), modes=STREAMED, only=("openai_chat", "openai_responses")),
]
