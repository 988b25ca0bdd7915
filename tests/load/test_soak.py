"""Requests of every size and end, one after the other: what is left of them (L-05). `make soak` makes 20,000."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edge.processes import descriptors

from .client import Kind
from .kit import dated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .conftest import Begin

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOTAL = int(os.environ.get("SOAK", "3000"))
ROUNDS = 20
WARM = 2  # rounds, which fill caches and pools
MOST_GROWTH = 1.0 if TOTAL >= 20_000 else 40.0  # MiB per 10,000 requests; of a few, one large prompt is seen

KINDS = [
    Kind("paced-20-0", pieces=20, weight=30),
    Kind("paced-20-1", pieces=20, size=2_000, weight=20),
    Kind("paced-10-0", pieces=10, size=170_000, weight=15),
    Kind("paced-5-0", pieces=5, size=2 << 20, weight=1),
    Kind("whole-0", stream=False, weight=15),
    Kind("whole-5", stream=False, size=20_000, weight=5),
    Kind("refused-500", breaks=True, weight=1),
    Kind("refused-429", breaks=True, stream=False, weight=1),
    Kind("refused-400", breaks=True, weight=1),
    Kind("cut-5", breaks=True, weight=2),
    Kind("paced-100-50", pieces=100, leaves=0.05, weight=5),
    Kind("whole-5000", stream=False, size=20_000, leaves=0.05, weight=5),
]


@pytest.mark.fault("L-05")
async def test_soak(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    """One in twenty fails, one in ten is left by its client. The ledger has a row for each."""
    server = await begin()
    tasks, open_before = await server.tasks(), descriptors(server.pid)
    each, memory, ends = TOTAL // ROUNDS, [], 0
    for _ in range(ROUNDS):
        report = await server.load(*KINDS, total=each, at_once=16)
        ends += sum(report.ends.values())
        await server.tasks()  # which collects what is to be collected
        memory.append(server.memory())
    growth = slope(memory[WARM:]) * 10_000 / each
    record_property("figure", dated(f"{ends} requests: {growth:+.2f} MiB per 10,000, {memory[-1]:.0f} MiB at the end"))
    assert growth <= MOST_GROWTH, memory
    await server.settled(open_before)
    assert await server.tasks() == tasks
    await server.written(ends)


def slope(values: Sequence[float]) -> float:
    """By how much they grow with each, by least squares."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * (value - mean) for at, value in enumerate(values)) / spread
