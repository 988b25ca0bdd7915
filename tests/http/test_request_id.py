"""Names of requests."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from claude_code_proxy.http.request_id import new_request_id

if TYPE_CHECKING:
    import pytest


def test_they_differ_also_within_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_456_789)

    made = {new_request_id() for _ in range(10_000)}

    assert len(made) == 10_000
    assert all(re.fullmatch(r"req_018bcfe5687b[0-9a-f]{12}", name) for name in made)


def test_later_ones_sort_behind_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [0, 1_000_000, 1_700_000_000_000_000_000, 1_700_000_000_001_000_000, 99_999_999_999_000_000_000]
    made = []
    for moment in moments:
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment)
        made.append(new_request_id())

    assert made == sorted(made)
    assert {len(name) for name in made} == {28}
