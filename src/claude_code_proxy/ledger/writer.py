"""Writes the ledger beside the traffic, in a thread of its own: no request waits for it or fails by it.

What cannot be written now waits, up to a bound; what is more is lost, and counted. Requests that take long have a row
from their first second on, so that those of a process that was killed are known.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy.ledger.database import ROWS, connect, put_aside
from claude_code_proxy.ledger.entry import COLUMNS, bounded, values
from claude_code_proxy.ledger.owner import has_ended, this_process
from claude_code_proxy.ledger.project import Projects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from claude_code_proxy.ledger.database import Database
    from claude_code_proxy.ledger.entry import Entry

MOST: Final = 10_000
"""Rows that wait to be written; more are lost."""

MOST_BYTES: Final = 64 << 20
"""Bytes of captures that wait to be written; more are lost."""

BATCH: Final = 500
"""Rows that are written at once."""

PARTS: Final = 50
"""Parts of captures that are masked, compressed and written at once: no row waits long for them."""

INTERVAL: Final = 0.5
"""Seconds between two batches."""

FIRST: Final = 0.3
"""Seconds that a start waits for a database."""

LAST: Final = 3.0
"""Seconds for what is left at the end."""

_SETTLED: Final = 4
"""Intervals within which what was captured last is written, if anything is."""

_RETRY: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds of patience after the first, second, … failure in a row; then always the last."""

_LATEST: Final = 50
"""Requests that have ended and are at hand without the database."""

_WARN: Final = 60.0
_CLEAN: Final = 3600.0
_DAY: Final = 86_400.0

_PUT: Final = (
    f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES {ROWS} "  # noqa: S608 -- names of ours
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS if name != 'id')}"
)
_KEEP: Final = "INSERT INTO captures (id, part, began, data) VALUES (?, ?, ?, ?) ON CONFLICT (id, part) DO NOTHING"
_ABORT: Final = "UPDATE requests SET state = 'aborted' WHERE owner = ? AND state = 'running'"
_OWNERS: Final = "SELECT DISTINCT owner FROM requests WHERE state = 'running'"

_log = logging.getLogger(__name__)


class Told(Struct, frozen=True):
    """How the ledger does: rows written, waiting and lost since the start, and what keeps it from writing, or empty."""

    written: int
    waiting: int
    lost: int
    failing: str


class _Waiting(Struct):
    """A part of a capture that waits to be written, and the room that it was given."""

    id: str
    part: str
    began: float
    data: bytes | Callable[[], bytes]
    size: int

    def row(self) -> tuple[str, str, float, bytes]:
        """Its values. It is made once, when its turn comes."""
        if not isinstance(self.data, bytes):
            self.data = self.data()
        return self.id, self.part, self.began, self.data


class Ledger:
    """The ledger of this process. `place` is a path or a URL; `days` are kept, `capture_days` of captures.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        place: str,
        *,
        days: int = 90,
        capture_days: int = 3,
        clock: Callable[[], float] = time.time,
        interval: float = INTERVAL,
    ) -> None:
        self.place, self.owner = place, this_process()
        self._days, self._capture_days, self._clock, self._interval = days, capture_days, clock, interval
        self.projects = Projects()
        self._rows: deque[Entry] = deque()
        self._captures: deque[_Waiting] = deque()
        self._taken = self._given = 0  # bytes: each counted by one thread only
        self._running: dict[str, Callable[[], Entry]] = {}
        self._latest: deque[Entry] = deque(maxlen=_LATEST)
        self._noted: set[str] = set()
        self._wake, self._end, self._ready = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._database: Database | None = None
        self._written = self._lost = 0
        self._failing, self._failures = "", 0
        self._warned = self._cleaned = float("-inf")

    def start(self) -> None:
        """Begin to write. Blocks for a moment, so that what is wrong with the place is told before anything else."""
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        self._ready.wait(FIRST)

    def began(self, id: str, so_far: Callable[[], Entry]) -> None:  # noqa: A002 -- the row's own name for it
        """A request runs. `so_far` tells what is known of it, from another thread."""
        self._running[id] = so_far
        if not self._wake.is_set():
            self._wake.set()

    def ended(self, entry: Entry) -> None:
        """A request is over; this is its row."""
        self._running.pop(entry.id, None)
        entry.owner = self.owner
        self._latest.append(bounded(entry))
        if len(self._rows) >= MOST:
            self._lost += 1
            return
        self._rows.append(entry)
        if not self._wake.is_set():
            self._wake.set()

    def reserve(self, size: int) -> bool:
        """Make room for so many bytes of a capture; whether there is any. What there is none for is lost."""
        if self._taken - self._given + size > MOST_BYTES:
            self._lost += 1
            return False
        self._taken += size
        return True

    def release(self, size: int) -> None:
        """Give room back that was not needed."""
        self._taken -= size

    def keep(self, id: str, part: str, began: float, data: bytes | Callable[[], bytes], held: int = 0) -> None:  # noqa: A002
        """Keep a part of a captured request, masked and compressed, or what makes it so in the writer's thread.

        `held`: bytes for which there is room already.
        """
        if isinstance(data, bytes) and not held:
            held = len(data)
            if not self.reserve(held):
                return
        self._captures.append(_Waiting(id, part, began, data, held))

    def settle(self, id: str) -> None:  # noqa: A002
        """Wait until what was captured of a request is written, if that can be done soon. Blocks."""
        by = time.monotonic() + _SETTLED * self._interval
        while time.monotonic() < by and any(waiting.id == id for waiting in self._captures.copy()):
            time.sleep(self._interval / 10)

    def running(self) -> list[Entry]:
        """What is known of the requests that this process is answering, the oldest first."""
        return self._so_far()

    def _so_far(self, without: Collection[str] = ()) -> list[Entry]:
        """The same of those that are not among these."""
        entries = [so_far() for id, so_far in self._running.copy().items() if id not in without]  # noqa: A001
        for entry in entries:
            entry.owner = self.owner
            bounded(entry)
        return entries

    def latest(self) -> list[Entry]:
        """The requests that this process has answered last, the oldest first."""
        return list(self._latest)

    def told(self) -> Told:
        """How it does."""
        return Told(self._written, len(self._rows), self._lost, self._failing)

    def close(self) -> None:
        """Write what is left, if that can be done soon. Blocks."""
        self._end.set()
        self._wake.set()
        if self._thread:
            self._thread.join(LAST)
        if waiting := len(self._rows):
            _log.warning("The last %d rows of the ledger were not written: %s", waiting, self._failing or "no time")

    def _run(self) -> None:
        self._turn()
        self._ready.set()
        while not self._end.is_set():
            self._wake.wait(_CLEAN)
            self._wake.clear()
            self._end.wait(self._interval)
            while self._turn() and (len(self._rows) >= BATCH or len(self._captures) >= PARTS):
                pass  # what is left has come since, and waits for more
            if self._failures:
                self._end.wait(_RETRY[min(self._failures, len(_RETRY)) - 1])
            if self._rows or self._captures or self._running:
                self._wake.set()
        while self._turn() and (self._rows or self._captures):
            pass
        if self._database:
            self._database.close()

    def _turn(self) -> bool:
        """Write a batch; whether that was possible."""
        ended = list(islice(self._rows, BATCH))
        running = self._so_far(without=self._noted)
        try:
            captured = [waiting.row() for waiting in islice(self._captures, PARTS)]
            database = self._opened()
            if statements := _statements((*running, *ended), captured):
                database.write(*statements)
            self._clean(database)
        except Exception as cause:  # noqa: BLE001 -- whatever keeps it from writing, requests go on
            self._failed(cause)
            return False
        for _ in ended:
            self._rows.popleft()
        for _ in captured:
            self._given += self._captures.popleft().size
        self._noted.update(entry.id for entry in running)
        self._noted.intersection_update(self._running.copy())
        self._written += len(ended)
        if self._failures:
            self._failures, self._failing = 0, ""
            _log.warning("The ledger is written again.")
        return True

    def _opened(self) -> Database:
        if self._database and self._database.gone():
            self._database.close()
            self._database = None
        if self._database is None:
            self._database = connect(self.place)
            self._abort(self._database)
        return self._database

    def _abort(self, database: Database) -> None:
        """Those that ran in processes which are no more were not ended by anyone."""
        owners = (row["owner"] for row in database.rows(_OWNERS))
        dead = [(owner,) for owner in owners if owner != self.owner and has_ended(owner)]
        if dead:
            database.write((_ABORT, dead))

    def _clean(self, database: Database) -> None:
        """Delete what is older than it is to be, once an hour."""
        now = self._clock()
        if now - self._cleaned < _CLEAN:
            return
        database.write(
            ("DELETE FROM requests WHERE began < ?", [(now - self._days * _DAY,)]),
            ("DELETE FROM captures WHERE began < ?", [(now - self._capture_days * _DAY,)]),
        )
        self._cleaned = now

    def _failed(self, cause: Exception) -> None:
        """What was to be written waits; the database is opened anew, as it may be another one by then."""
        self._failures += 1
        self._failing = f"{type(cause).__name__}: {cause}"
        if self._database:
            self._database.close()
            self._database = None
        if put_aside(self.place, cause):
            return
        now = time.monotonic()
        if now - self._warned >= _WARN:
            self._warned = now
            _log.warning(
                "The ledger cannot be written (%s); %d rows wait, %d are lost.",
                *(self._failing, len(self._rows), self._lost),
            )


def _statements(
    entries: Iterable[Entry], captured: Sequence[tuple[str, str, float, bytes]]
) -> list[tuple[str, Sequence[Sequence[object]]]]:
    rows = [values(entry) for entry in entries]
    return [*([(_PUT, rows)] if rows else []), *([(_KEEP, captured)] if captured else [])]
