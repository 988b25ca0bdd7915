"""How this process keeps its memory: what requests use again and again is not given back in between."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

_KEPT: Final = 16 << 20
"""Bytes of freed memory that stay with the process. Else a body of 1 MB has the system map and clear its pages anew
for each request, some 760 of them."""

_LARGE: Final = 4 << 20
"""Bytes of an allocation that goes back to the system at once."""


def settle() -> None:
    """What is loaded by now stays: no collection of garbage needs to look at it again."""
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        _keep()


def _keep() -> None:
    """Tell glibc's allocator. Others have no such function, or none of these settings."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
