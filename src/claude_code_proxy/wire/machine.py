"""One shape for everything that turns a stream into another stream.

A machine is fed items as they arrive and closed once when no more will come. It never waits, reads a
clock or logs, so the same code serves a socket, a test that feeds it byte by byte, and a whole reply
(a stream of one chunk). Bytes in and bytes out: whoever pumps need not know what happens in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class Machine(Protocol[In_contra, Out_co]):
    """Fed items as they come; closed once, after the last."""

    def feed(self, item: In_contra, /) -> Sequence[Out_co]:
        """What follows from one more item; empty when nothing does yet."""
        ...

    def close(self) -> Sequence[Out_co]:
        """What follows from there being no more items. Nothing is fed after this."""
        ...


class Pipe:
    """Machines in a row, itself a machine: what one gives, the next is fed."""

    __slots__ = ("_stages",)

    def __init__(self, *stages: Machine[Any, Any]) -> None:
        self._stages = stages

    def feed(self, item: Any, /) -> Sequence[Any]:
        return _run(self._stages, (item,))

    def close(self) -> Sequence[Any]:
        out: list[Any] = []
        for n, stage in enumerate(self._stages, 1):
            if made := stage.close():
                out += _run(self._stages[n:], made)
        return out


def _run(stages: Sequence[Machine[Any, Any]], items: Sequence[Any]) -> Sequence[Any]:
    for stage in stages:
        if len(items) == 1:  # nearly always
            items = stage.feed(items[0])
        elif items:
            made: list[Any] = []
            for item in items:
                made += stage.feed(item)
            items = made
        else:
            break
    return items
