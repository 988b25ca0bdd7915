"""Secrets that a model says word by word, so that no event of the stream holds one.

The texts that a stream adds to are joined, each by the name of its field, and what is a secret there is masked in the
events that it came in. Amazon's frames hold their events in base64 and have checksums: one with a secret is not kept.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from claude_code_proxy.ledger.masking import MASK, edited, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SAID: Final = re.compile(
    rb'"(text|content|thinking|reasoning|reasoning_content|partial_json|arguments|delta|refusal|output|response)"'
    rb'\s*:\s*"((?:[^"\\]|\\.)*)"'
)
_IN_FRAMES: Final = re.compile(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]+)"')


def gathered(data: bytes, lengths: Sequence[int], secrets: Iterable[bytes]) -> tuple[bytes, Sequence[int]]:
    """An answer that came in pieces, and the lengths of these, without such secrets."""
    secrets = tuple(secrets)
    if any(_edits(events, secrets) or spans(events, secrets) for events in _framed(data)):
        return b"", [0] * len(lengths)
    return edited(data, lengths, _edits(data, secrets))


def _edits(data: bytes, secrets: Sequence[bytes]) -> list[tuple[int, int, bytes]]:
    texts: dict[bytes, list[tuple[int, int]]] = {}
    for match in _SAID.finditer(data):
        if match.end(2) > match.start(2):
            texts.setdefault(match[1], []).append(match.span(2))
    edits = [edit for places in texts.values() for edit in _across(data, places, secrets)]
    return sorted(edits)


def _across(
    data: bytes, places: Sequence[tuple[int, int]], secrets: Sequence[bytes]
) -> Iterator[tuple[int, int, bytes]]:
    """What is to be put into texts that follow one another, where a secret goes through several of them."""
    joined = b"".join(data[start:end] for start, end in places)
    begins = [0]
    for start, end in places:
        begins.append(begins[-1] + end - start)
    for start, end in spans(joined, secrets):
        first = bisect_right(begins, start) - 1
        put = MASK
        while first < len(places) and begins[first] < end:
            at = places[first][0] - begins[first]
            yield at + max(start, begins[first]), at + min(end, begins[first + 1]), put
            put, first = b"", first + 1


def _framed(data: bytes) -> Iterator[bytes]:
    """All events in Amazon's frames, if that is what they are."""
    events: list[bytes] = []
    for match in _IN_FRAMES.finditer(data):
        try:
            events.append(b64decode(match[1]))
        except binascii.Error:
            return
    if events:
        yield b"\n".join(events)
