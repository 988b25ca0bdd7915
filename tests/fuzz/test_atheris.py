"""A short run of atheris: long enough to see that the targets can be run, and at times to find something."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from .run import fuzzed

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 6


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris has no wheel for this machine")
@pytest.mark.fault("F-01", "F-02", "F-05", "F-06")
@pytest.mark.parametrize("name", ["framing", "reply-openai_chat", "reply-openai_responses", "front-door", "visitors"])
def test_nothing_is_found_in_a_few_seconds(name: str, tmp_path: Path) -> None:
    good, said = fuzzed(name, SECONDS, tmp_path)
    assert good, said[-3000:]
    assert "DONE" in said
