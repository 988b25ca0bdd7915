"""Every fault at random, amid requests that nothing is wrong with."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from .expected import Told
from .stage import Fault
from .test_faults import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECONDS = 8.0
AT_ONCE = 12
SHARE = 0.2

# A server that sends more than was asked may hit a request that has just been sent: nobody can tell. And what comes
# a byte at a time takes long where all are busy.
FAULTS = [fault for table in TABLES for fault in table.FAULTS if not (fault.grows or fault.row in {"U-10", "U-23"})]
WELL = Fault("U-30", "nothing", lambda r: r.whole, Told())


@pytest.mark.fault("U-30", "F-09")
async def test_chaos(stage: Stage, record_property: Callable[[str, object], None]) -> None:
    """The reader of the tests and Anthropic's library judge every answer; nothing may be left at the end."""
    chance = random.Random(30)
    until = time.monotonic() + SECONDS
    wrong: list[str] = []
    played = failed = 0

    async def player() -> None:
        nonlocal played, failed
        while time.monotonic() < until:
            fault = chance.choice(FAULTS) if chance.random() < SHARE else WELL
            place, what = await stage.play_cell(fault, *chance.choice(fault.cells))
            played += 1
            failed += fault is not WELL
            if what:
                wrong.append(f"{fault.row} {fault.name}, {place}: {what}")

    await asyncio.gather(*(player() for _ in range(AT_ONCE)))
    assert not wrong, "\n".join(wrong)
    record_property("figure", f"{played} requests, {failed} of them to fail")
