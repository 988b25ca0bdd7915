from __future__ import annotations

import pytest

from claude_code_proxy.wire.events import Usage

FIELDS = ("input", "output", "cache_read", "cache_write", "thinking", "cost")


@pytest.mark.parametrize("field", FIELDS)
def test_a_newer_figure_replaces_its_own_and_no_other(field: str) -> None:
    old = Usage(1, 2, 3, 4, 5, 6)
    new = old.updated(Usage(**{field: 9}))
    assert {name: getattr(new, name) for name in FIELDS} == {
        name: 9 if name == field else getattr(old, name) for name in FIELDS
    }


@pytest.mark.parametrize("field", FIELDS)
def test_zero_is_a_figure_and_unknown_is_none(field: str) -> None:
    assert getattr(Usage(1, 1, 1, 1, 1, 1).updated(Usage(**{field: 0})), field) == 0
    assert Usage(1, 2, 3, 4, 5, 6).updated(Usage()) == Usage(1, 2, 3, 4, 5, 6)
    assert Usage().updated(Usage(1, 2, 3, 4, 5, 6)) == Usage(1, 2, 3, 4, 5, 6)
