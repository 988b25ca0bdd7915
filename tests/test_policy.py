from __future__ import annotations

import pytest

from claude_code_proxy.policy import falls_back, told
from claude_code_proxy.wire.failure import Failed


def failure(status: int) -> Failed:
    return Failed("api_error", str(status), status)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 409, 429, 500, 501, 502, 503, 504, 529])
def test_what_another_target_may_do_better(status: int) -> None:
    assert falls_back(failure(status))


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_no_other_target_can_mend(status: int) -> None:
    assert not falls_back(failure(status))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([401, 529, 429], 529), ([404, 401], 404), ([429, 500], 429), ([403], 403), ([402, 404, 408], 408)],
)
def test_the_client_is_told_what_may_pass(statuses: list[int], expected: int) -> None:
    assert told([failure(status) for status in statuses]).status == expected
