"""Every stored input, once: what fuzzing found stays found, and the targets themselves work without atheris."""

from __future__ import annotations

import pytest

from .seeds import HERE, seeds
from .targets import TARGETS


@pytest.mark.fault("F-01", "F-02", "F-04", "F-05", "F-06", "F-08")
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_stored_is_stood(name: str) -> None:
    stored = seeds(name)
    assert stored, "a target without a corpus starts from nothing"
    for data in stored.values():
        TARGETS[name](data)


def test_every_folder_belongs_to_a_target() -> None:
    assert {folder.name for folder in (HERE / "corpus").iterdir()} <= set(TARGETS)
