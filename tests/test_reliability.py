"""Every row that can fail today is proven by a test, and the page says which."""

from __future__ import annotations

import os

import pytest

import reliability

MISSING: set[str] = set()
"""Rows without a test. It may only shrink."""

ROWS = {name: row for group in reliability.groups() for name, row in group.rows.items()}


def test_a_mark_names_a_row() -> None:
    assert set(reliability.marked()) <= set(ROWS)


def test_every_row_is_proven() -> None:
    proven = set(reliability.marked())
    missing = {name for name, row in ROWS.items() if not row.later} - proven
    assert missing == MISSING, f"to be proven: {sorted(missing - MISSING)}; proven by now: {sorted(MISSING - missing)}"


def test_the_page_tells_what_is_proven() -> None:
    if os.environ.get("WRITE_RELIABILITY"):
        pytest.skip("it is written at the end")
    assert reliability.PAGE.read_text("utf-8") == reliability.page(reliability.figures()), (
        "WRITE_RELIABILITY=1 pytest tests/test_reliability.py"
    )
