"""Every behaviour has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_number_has_a_test() -> None:
    sources = "".join(file.read_text("utf-8") for file in HERE.glob("test_*.py"))
    named = {int(number) for number in re.findall(r"^(?:async )?def test_(\d\d)_", sources, re.MULTILINE)}
    assert sorted(set(range(1, 61)) - named) == []
