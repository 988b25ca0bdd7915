"""Ways to feed a machine: the cuts between its pieces of input must never matter."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from claude_code_proxy.wire.machine import Machine

_SIZES = (1, 2, 3, 7, 64)
_BYTE_BY_BYTE_UP_TO = 100_000


def fed(machine: Machine[Any, Any], pieces: Iterable[Any]) -> list[Any]:
    """All that the machine gives for these pieces and its close."""
    return [*(out for piece in pieces for out in machine.feed(piece)), *machine.close()]


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """The data in pieces, cut at these offsets (those beyond its end mean its end); no piece is empty."""
    edges = [0, *sorted({min(max(0, offset), len(data)) for offset in at}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def sized(data: bytes, size: int) -> list[bytes]:
    """The data in pieces of this size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def cuts(up_to: int = 2000) -> st.SearchStrategy[list[int]]:
    """Offsets to cut at."""
    return st.lists(st.integers(0, up_to), max_size=20)


def ways(data: bytes) -> Iterator[Sequence[bytes]]:
    """The data whole, in pieces of one size, and in pieces of random sizes (the same ones in each run)."""
    yield [data]
    yield from (sized(data, size) for size in _SIZES if size > 1 or len(data) <= _BYTE_BY_BYTE_UP_TO)
    random = Random(len(data))
    for _ in range(5):
        yield cut(data, (random.randint(0, len(data)) for _ in range(random.randint(1, 30))))


def items_every_way(factory: Callable[[], Machine[bytes, Any]], data: bytes) -> list[Any]:
    """The items that a machine gives, which are the same in every way of feeding."""
    first, *others = (fed(factory(), pieces) for pieces in ways(data))
    for other in others:
        assert other == first
    return first


def fed_every_way(factory: Callable[[], Machine[bytes, bytes]], data: bytes) -> bytes:
    """The bytes that a machine gives, which are the same in every way of feeding."""
    first, *others = (b"".join(fed(factory(), pieces)) for pieces in ways(data))
    for other in others:
        assert other == first
    return first
