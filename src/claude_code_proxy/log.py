"""The log on standard error, which holds up nobody.

Whoever reads it may stop reading: a terminal that is held, a program that never empties the pipe it gave us. Then
whatever writes has to wait, and if that were the event loop, every answer would stand still.
"""

from __future__ import annotations

import logging
import select
import sys
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from io import RawIOBase

MOST: Final = 10_000
"""Lines that wait to be read; those that come then are left out, and counted."""

_SHORT: Final = 4096
"""Bytes that a pipe, a terminal or a socket takes at once when the system calls it writable (a page; PIPE_BUF)."""

_BATCH: Final = 1000
"""Lines that are written at once when they have waited."""

_PAUSE: Final = 0.05
"""Seconds until it is tried again with a stream that takes no more but does not let us wait for it either."""

_LAST: Final = 1.0
"""Seconds that the lines which are left have at the end."""

TEXT: Final = "%(asctime)s %(levelname)s %(message)s"
TIME: Final = "%H:%M:%S"
"""A line for people, and the time in it."""

_log = logging.getLogger(__name__)


def to_stderr() -> None:
    """Show this package's log where nothing else was arranged, and once: uvicorn's access log says less."""
    log = logging.getLogger(__package__)
    if not log.handlers and not logging.getLogger().handlers:
        handler = Lines()
        handler.setFormatter(logging.Formatter(TEXT, TIME))
        log.addHandler(handler)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True


class Lines(logging.Handler):
    """Writes records to a stream, by default standard error: at once if it takes them, else in a thread."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._raw: RawIOBase | None = getattr(getattr(self._stream, "buffer", None), "raw", None)
        self._poll = _poll(self._raw)
        self._waiting: deque[bytes] = deque()
        self._left_out = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or let it wait. One at a time: `handle` sees to that."""
        try:
            line = f"{self.format(record)}\n"
            if not self._raw:  # it is in memory
                self._stream.write(line)
                return
        except Exception:  # noqa: BLE001 -- as every handler does: a record that cannot be told harms nothing else
            self.handleError(record)
            return
        data = line.encode(self._stream.encoding or "utf-8", "backslashreplace")
        if not self._waiting and len(data) <= _SHORT and self._is_ready():
            data = data[self._taken(data) :]
        if data:
            self._keep(data)

    def flush(self) -> None:
        """Wait until all is written, if that can be soon."""
        by = time.monotonic() + _LAST
        while self._waiting and time.monotonic() < by:
            time.sleep(_PAUSE / 10)

    def _is_ready(self) -> bool:
        return self._poll is not None and any(events & select.POLLOUT for _, events in self._poll.poll(0))

    def _taken(self, data: bytes) -> int:
        """How many of these bytes were written; all of them if nobody is there any more, as nobody can be told."""
        try:
            return (self._raw and self._raw.write(data)) or 0
        except (OSError, ValueError):
            return len(data)

    def _keep(self, data: bytes) -> None:
        if len(self._waiting) >= MOST:
            self._left_out += 1
            return
        self._waiting.append(data)
        self._wake.set()
        if not self._thread or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while lines := list(islice(self._waiting, _BATCH)):
                data = b"".join(lines)
                while data:
                    taken = self._taken(data)
                    data = data[taken:]
                    if not taken:  # it is one that neither takes more nor lets us wait
                        time.sleep(_PAUSE)
                for _ in lines:
                    self._waiting.popleft()
            if left_out := self._left_out:
                self._left_out = 0
                _log.warning("%d lines are missing here: nobody read the log.", left_out)


def _poll(raw: RawIOBase | None) -> select.poll | None:
    """What tells whether a file takes a line without waiting; None where there is no such thing (Windows)."""
    if not raw or not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(raw, select.POLLOUT)
    return poll
