"""What the log tells of a mistake of ours: where it was made, and never with what.

The words of an exception quote what could not be read (`invalid literal …: 'the prompt'`, a missing key's name), so
they stay out of the log; the lines of the code say enough to find the mistake.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def traced(cause: BaseException) -> str:
    """The traceback of an exception, after those of what it came of, with names of kinds in place of messages."""
    parts = []
    for one in reversed(list(_chain(cause))):
        parts += ["Traceback (most recent call last):\n", *traceback.format_tb(one.__traceback__)]
        parts.append(f"{type(one).__module__}.{type(one).__qualname__}\n")
    return "".join(parts).rstrip()


def _chain(cause: BaseException) -> Iterator[BaseException]:
    """An exception, what was raised in its group, and what it came of; each once."""
    todo, seen = [cause], set[int]()
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        todo += [before] if before else []
