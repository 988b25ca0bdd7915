"""Lines of the log at the rate of requests: what is the same for many of them is found out once."""

from __future__ import annotations

import logging
import time
from typing import Final

NAME: Final = "claude_code_proxy.access"

_FORM: Final = "%s %s → %s %d %.2fs %s%s"
_SAME: Final = vars(logging.LogRecord(NAME, logging.INFO, __file__, 0, _FORM, None, None, "line"))
"""Also the process and the thread: all requests of a process are served in one, which is its first."""


class Line(logging.LogRecord):
    """A line that says `words`, and carries `request` for programs.

    It has every attribute that `logging` gives a record. Looking all of them up would cost four times as much.
    """

    def __init__(self, words: tuple[object, ...], request: dict[str, object]) -> None:
        now = time.time()
        self.__dict__ = _SAME | {
            "args": words,
            "created": now,
            "msecs": int(now % 1 * 1000) + 0.0,
            "relativeCreated": (now - _SAME["created"]) * 1000 + _SAME["relativeCreated"],
            "request": request,
        }


class Plain(logging.Formatter):
    """Time, level and message. The time is written out once a second."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        self._second, self._told = -1, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 -- its name
        """The time of a record, which is of the same second as the last one's nearly always."""
        if (second := int(record.created)) != self._second:
            self._second, self._told = second, super().formatTime(record, datefmt)
        return self._told
