"""How hard the property tests look, everywhere; the real model; and what the page of reliability is made of."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

import reliability
from real_model import local_model

if TYPE_CHECKING:
    import pytest

__all__ = ["local_model"]

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)  # how fast the machine is says nothing about the code

settings.register_profile("tests", deadline=None, max_examples=200, suppress_health_check=_SLOW, database=None)
settings.register_profile("ci", settings.get_profile("tests"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "tests")

# No test writes into the ledger of whoever runs it; those that are about it say where theirs is.
os.environ["PROXY_LEDGER"] = "off"
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="state-")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every program they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

_figures: defaultdict[str, list[str]] = defaultdict(list)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep the figures that a test recorded for the rows it proves."""
    told = [str(figure) for name, figure in item.user_properties if name == "figure"]
    for mark in item.iter_markers("fault"):
        for row in mark.args:
            _figures[row] += told


def pytest_sessionfinish() -> None:
    """Write the page, with those of this run before those of earlier ones."""
    if os.environ.get("WRITE_RELIABILITY"):
        fresh = {row: "<br>".join(told) for row, told in _figures.items() if told}
        reliability.PAGE.write_text(reliability.page(reliability.figures() | fresh), "utf-8")
