"""What requests use again and again stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
from claude_code_proxy.memory import settle
if sys.argv[1] == "settled":
    settle()
def used():
    return [b"x" * 60_000 for _ in range(20)]
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        used()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is what is told")
def test_memory_that_is_freed_is_not_given_back_at_once() -> None:
    given_back, kept = (
        int(subprocess.check_output([sys.executable, "-c", _FAULTS, how], text=True)) for how in ("not", "settled")
    )
    assert kept < given_back / 10
