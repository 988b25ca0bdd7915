"""More than there is room for, and all at once after an outage (L-06, L-07)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from .client import Kind
from .kit import dated

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Begin

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.fault("L-06")
async def test_four_times_too_many(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    """Those that there is room for are served, the others are told to come again, and who asks gets an answer."""
    server = await begin(MAX_STREAMS="20", MAX_QUEUE="5", QUEUE_TIMEOUT="1")
    kind = Kind("paced-5-20", pieces=5)
    peak = await server.load(kind, total=500, at_once=20)
    crowd = asyncio.create_task(server.load(kind, total=4000, at_once=80, refusable=True))
    async with aiohttp.ClientSession() as session:
        alive = 0
        while not crowd.done():
            async with session.get(f"{server.proxy.url}/healthz") as answer:
                assert answer.status == 200
            alive += 1
            await asyncio.sleep(0.1)
    report = await crowd
    record_property(
        "figure",
        dated(
            f"{report.ends['200'] / report.seconds:.0f} a second served (without the crowd"
            f" {500 / peak.seconds:.0f}), {report.ends['529'] / report.seconds:.0f} told to come again"
        ),
    )
    assert report.ends.keys() == {"200", "529"}
    assert alive
    assert (await server.load(kind, total=100, at_once=20)).ends == {"200": 100}


@pytest.mark.fault("L-07")
async def test_an_outage(begin: Begin, record_property: Callable[[str, object], None]) -> None:
    """Five hundred at once while nothing works: what is tried again is bounded, and afterwards all is well."""
    server = await begin(UPSTREAM_RETRIES="2")
    before = await server.asked()
    await server.load(Kind("refused-503", breaks=True), total=500, at_once=500)
    times = (await server.asked() - before) / 500
    record_property("figure", dated(f"500 at once: the upstream was asked {times:.2f} times as often"))
    assert times <= 1.2 + 3 / 500
    assert (await server.load(Kind("paced-5-20", pieces=5), total=500, at_once=500)).ends == {"200": 500}
