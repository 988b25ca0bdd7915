"""Many streams, one very long one, and large prompts beside others (L-01, L-02, L-03, L-09, L-10, R-16).

Each stream counts, and each number must come, once and in order. Nothing is said of how fast, unless `make load` asks.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from edge.processes import descriptors

from .client import Kind, Plan
from .kit import SECONDS, beside, dated, played

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Begin

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_MEMORY = 350  # MiB


WRONG = [
    Kind("paced-5-0", pieces=6),
    Kind("paced-5-0", pieces=4),
    Kind("cut-5", pieces=5),
    Kind("refused-500"),
    Kind("refused-500", stream=False),
    Kind("paced-5-0", breaks=True),
    Kind("whole-0", stream=False, pieces=2),
]


@pytest.mark.parametrize("prefix", ["openai:", ""])
async def test_the_client_notices(begin: Begin, prefix: str) -> None:
    """What proves that nothing was lost must notice when something is."""
    server = await begin()
    port = server.port if prefix else server.upstream
    for kind in WRONG:
        report = await played(Plan(port, [kind], 3, 1, prefix=prefix))
        assert report.ends == {"wrong": 3}
        assert len(report.wrong) == 3


@pytest.mark.fault("L-01")
async def test_200_streams(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    server = await begin()
    pieces = int(SECONDS or 4) * 10
    kind = Kind(f"paced-{pieces}-100", pieces=pieces)
    direct = await server.direct(kind, total=200, at_once=200, ramp=1)
    ours = await server.load(kind, total=200, at_once=200, ramp=1)
    record_property("figure", dated(beside(ours, direct)))
    assert ours.pieces == 200 * pieces
    if SECONDS:
        added = {share: ours.delay[share] - direct.delay[share] for share in ours.delay}
        assert added["p99"] <= 50, beside(ours, direct)


@pytest.mark.fault("L-02")
async def test_1000_streams(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    """Of the prompts that Claude Code sends after some work, which nobody may keep for as long as a stream takes."""
    server = await begin()
    before, pieces = descriptors(server.pid), int(SECONDS or 5) * 5
    kind = Kind(f"paced-{pieces}-200", pieces=pieces, size=173_000)
    ours = await server.load(kind, total=1000, at_once=1000, ramp=4)
    record_property("figure", dated(f"{server.peak()} MiB with prompts of 173 KB; {ours.delay['p99']:.0f} ms p99"))
    assert server.peak() <= MOST_MEMORY
    await server.settled(before)
    if SECONDS:
        assert ours.delay["p99"] <= 2000


@pytest.mark.fault("L-03")
async def test_short_requests(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    server = await begin()
    kind, total = Kind("whole-0", stream=False), int(SECONDS or 4) * 250
    direct = await server.direct(kind, total=total, at_once=20)
    ours = await server.load(kind, total=total, at_once=20)
    rate = total / ours.seconds
    record_property("figure", dated(f"{rate:.0f} requests a second with a connection each; {beside(ours, direct)}"))
    assert ours.ends == {"200": total}
    if SECONDS:
        assert rate >= 300


@pytest.mark.fault("L-09")
async def test_a_very_long_stream(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    server = await begin()
    await server.load(Kind("paced-20000-0", pieces=20_000), total=1, at_once=1)
    before = server.memory()
    await server.load(Kind("paced-100000-0", pieces=100_000), total=1, at_once=1)
    grown = server.memory() - before
    record_property("figure", dated(f"{grown:.1f} MiB more after 100,000 events"))
    assert grown <= 5


@pytest.mark.fault("L-10")
async def test_large_prompts_beside_others(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    server = await begin()
    others = Kind("paced-40-100", pieces=40)
    alone = await server.load(others, total=20, at_once=20)
    slow = asyncio.create_task(server.load(others, total=20, at_once=20))
    large = await server.load(Kind("paced-5-100", pieces=5, size=2 << 20), total=60, at_once=20)
    beside_them = await slow
    record_property(
        "figure",
        dated(
            f"{large.ends['200']} prompts of 2 MB, 20 at once; each event of others p50 {beside_them.delay['p50']:.1f} ms,"
            f" p99 {beside_them.delay['p99']:.1f} ms (else {alone.delay['p50']:.1f} and {alone.delay['p99']:.1f})"
        ),
    )
    assert large.ends == {"200": 60}
    assert beside_them.ends == {"200": 20}


@pytest.mark.fault("R-16")
async def test_a_busy_machine(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    server = await begin()
    busy = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass") for _ in range(2)]
    try:
        kinds = Kind("paced-30-100", pieces=30), Kind("whole-10", stream=False, weight=2)
        ours = await server.load(*kinds, total=200, at_once=50)
    finally:
        for one in busy:
            one.kill()
            await one.wait()
    record_property("figure", dated(f"each event p50 {ours.delay['p50']:.1f} ms, p99 {ours.delay['p99']:.0f} ms"))
    assert ours.ends == {"200": 200}
