"""How far the fetching and starting of a local model is, for a person: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from claude_code_proxy.local import Progress, Stage
    from claude_code_proxy.local.fetch import Model

_TITLES: Final[dict[Stage, str]] = {
    "download": "Downloading {}",
    "check": "Checking {}",
    "load": "Starting {}",
}

_PARTS: Final[dict[Stage, int]] = {"download": 4}
"""Lines that a stage is told in where no bar can be drawn, beside the one at its start."""


@contextmanager
def shown(model: Model) -> Iterator[tuple[Progress, Callable[[], None]]]:
    """A `Progress` for standard error, and what clears it away: bars on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(model), lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[Stage, Any] = {}

    def draw(stage: Stage, done: int, total: int | None) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(_TITLES[stage].format(model.name), amount="", total=total)
        amount = "" if stage == "load" else _amount(done, total)
        bars.update(tasks[stage], completed=done, total=total, amount=amount)

    with bars:
        yield draw, bars.stop


def _lines(model: Model) -> Progress:
    told: dict[Stage, int] = {}

    def tell(stage: Stage, done: int, total: int | None) -> None:
        part = done * _PARTS.get(stage, 0) // total if total else 0
        if told.get(stage, -1) < part:
            told[stage] = part
            amount = f": {_amount(done, total)}" if part else " ..."
            sys.stderr.write(f"{_TITLES[stage].format(model.name)}{amount}\n")
            sys.stderr.flush()

    return tell


def _amount(done: int, total: int | None) -> str:
    return f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
