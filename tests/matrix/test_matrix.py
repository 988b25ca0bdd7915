"""Every scenario on every dialect, and the table that tells of it."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.claude import PINNED, VERSION
from e2e.http_client import send

from . import scenarios_cache, scenarios_clients, scenarios_limits, scenarios_tools, scenarios_typescript
from .cells import SCENARIOS, page
from .dialects import ALL

if TYPE_CHECKING:
    from .cells import Cells

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLAYED = (scenarios_tools, scenarios_clients, scenarios_typescript, scenarios_limits, scenarios_cache)
ROWS = [name for module in PLAYED for name, play in SCENARIOS.items() if play.__module__ == module.__name__]
PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
NAMES = [dialect.name for dialect in ALL]


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("scenario", ROWS)
async def test_cell(cells: Cells, scenario: str, dialect: str) -> None:
    assert await cells.found(scenario, dialect)


async def test_the_page_tells_what_was_found(cells: Cells) -> None:
    wanted = list(product(ROWS, NAMES))
    if any(cell not in cells.tasks for cell in wanted):
        pytest.skip("only a part of the matrix was played")
    if VERSION != PINNED:
        pytest.skip(f"the page is about {PINNED}")
    found = {cell: await cells.found(*cell) for cell in wanted}
    if os.environ.get("WRITE_COMPATIBILITY"):
        PAGE.write_text(page(found, VERSION), "utf-8")
    assert PAGE.read_text("utf-8") == page(found, VERSION)


async def test_the_server_knows_all_that_was_said(cells: Cells) -> None:
    """Whatever the clients sent and the upstreams answered is in drift.toml."""
    if not cells.tasks:
        pytest.skip("nothing was played")
    told = (await send(cells.server, "/status", method="GET")).json
    _report(told["drift"])
    assert any(client.startswith(f"claude-cli/{VERSION}") for client in told["clients"])
    assert told["drift"] == {}


def _report(drift: object) -> None:
    if path := os.environ.get("DRIFT_REPORT"):
        Path(path).write_text(json.dumps(drift), "utf-8")
