"""A loop that stands still is told of, once."""

from __future__ import annotations

import asyncio
import time

import pytest

from claude_code_proxy.http.watchdog import watched


def stand_still(seconds: float) -> None:
    time.sleep(seconds)


@pytest.mark.fault("R-14")
async def test_where_it_stood(caplog: pytest.LogCaptureFixture) -> None:
    with watched(0.2):
        await asyncio.sleep(0)
        stand_still(1.0)
        await asyncio.sleep(0)
    assert len(caplog.records) == 1
    assert "stand_still" in caplog.text


async def test_once_each_time(caplog: pytest.LogCaptureFixture) -> None:
    with watched(0.2):
        for _ in range(2):
            await asyncio.sleep(0.1)
            stand_still(0.6)
        await asyncio.sleep(0)
    assert len(caplog.records) == 2


async def test_one_that_goes_on_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with watched(20):
        await asyncio.sleep(0.1)
    assert caplog.records == []
