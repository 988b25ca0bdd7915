"""Every fault of an upstream, in every dialect, streamed and whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from . import table_answers, table_connection, table_dialects, table_framing, table_sizes, table_statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from .stage import Fault, Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLES = (table_connection, table_answers, table_framing, table_statuses, table_dialects, table_sizes)


def params() -> list[Any]:
    return [
        pytest.param(fault, id=f"{fault.row} {fault.name}", marks=[pytest.mark.fault(fault.row)])
        for table in TABLES
        for fault in table.FAULTS
    ]


@pytest.mark.parametrize("fault", params())
async def test_fault(stage: Stage, fault: Fault, record_property: Callable[[str, object], None]) -> None:
    wrong = await stage.play(fault)
    assert not wrong, "\n".join(f"{place}: {what}" for place, what in wrong.items())
    if fault.grows:
        record_property("figure", f"{fault.name}: {stage.grown >> 20} MiB more")


@pytest.mark.fault("S-04")
async def test_nobody_else_was_turned_to(stage: Stage) -> None:
    """After all of this the server has reached for the providers that were configured, and for nobody else."""
    await stage.healthy()
    configured = {f"127.0.0.1:{port}" for name, port in stage.upstream.ports.items() if name != "canary"}
    reached = set((await stage.probe())["reached"])
    assert f"127.0.0.1:{stage.upstream.ports['plain']}" in reached
    assert reached <= configured | {"127.0.0.1", "nowhere.invalid"}
