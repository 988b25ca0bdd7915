"""The log on standard error, written by a thread of its own.

Whoever reads it may stop reading: a terminal that is held, a program that never empties the pipe it gave us. Then
whatever writes has to wait, and if that were the event loop, every answer would stand still.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from io import RawIOBase

MOST: Final = 10_000
"""Lines that wait to be read; those that come then are left out, and counted."""

_BATCH: Final = 1000
"""Lines that are written at once."""

_PAUSE: Final = 0.05
"""Seconds between two writes, while lines gather."""

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
    """Writes records to a stream, by default standard error, without ever waiting for it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._waiting: deque[str] = deque()
        self._left_out = 0
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def createLock(self) -> None:  # noqa: N802 -- logging's name
        """None is needed: a line is put behind the others in one step."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written, soon."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 -- as every handler does: a record that cannot be told harms nothing else
            self.handleError(record)
            return
        if len(self._waiting) >= MOST:
            self._left_out += 1
            return
        self._waiting.append(line)
        if not self._wake.is_set():
            self._wake.set()
            if not self._thread or not self._thread.is_alive():
                self._start()

    def flush(self) -> None:
        """Wait until all is written, if that can be soon."""
        by = time.monotonic() + _LAST
        while self._waiting and time.monotonic() < by:
            time.sleep(_PAUSE / 10)

    def _start(self) -> None:
        with self._starting:
            if not self._thread or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while lines := list(islice(self._waiting, _BATCH)):
                with suppress(OSError, ValueError):  # nobody is there any more, and there is nowhere to tell it
                    _write("".join(f"{line}\n" for line in lines), self._stream)
                for _ in lines:
                    self._waiting.popleft()
            if left_out := self._left_out:
                self._left_out = 0
                _log.warning("%d lines are missing here: nobody read the log.", left_out)
            time.sleep(_PAUSE)


def _write(text: str, stream: TextIO) -> None:
    """Write all of it, past the stream's own buffer: who waits with that in hand can keep the process from ending."""
    raw: RawIOBase | None = getattr(getattr(stream, "buffer", None), "raw", None)
    if raw is None:
        stream.write(text)
        stream.flush()
        return
    left = memoryview(text.encode(stream.encoding or "utf-8", "backslashreplace"))
    while left:
        if (written := raw.write(left)) is None:  # it is one that does not wait
            time.sleep(_PAUSE)
        else:
            left = left[written:]
