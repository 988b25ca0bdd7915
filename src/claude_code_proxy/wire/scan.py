"""Whether a large body holds a few bytes. The C library searches some five times faster than `bytes` does."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def holds(body: bytes, *signs: bytes) -> bool:
    """Whether any of the signs stands in the body."""
    return any(_find(body, len(body), sign, len(sign)) for sign in signs)


def _slowly(body: bytes, _: int, sign: bytes, __: int) -> object:
    return sign in body


def _memmem() -> Callable[[bytes, int, bytes, int], object]:
    """The C library's `memmem`, where it has one: it is not in the C standard, and Windows lacks it.

    It is called without letting other threads run meanwhile, which would take longer than the search.
    """
    try:
        found = ctypes.PyDLL(None).memmem
    except (AttributeError, OSError, TypeError):
        return _slowly
    found.restype = ctypes.c_void_p
    found.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    return found


_find = _memmem()
