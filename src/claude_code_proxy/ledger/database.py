"""A ledger's database: SQLite in a file, or Postgres by its URL. The same SQL for both, with `?` for each value.

A file is made for its owner alone before SQLite sees it, and is never reached through a symbolic link. One that is no
database any more is put aside, not written over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from claude_code_proxy.ledger.schema import MIGRATIONS, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SCHEMES: Final = ("postgresql://", "postgres://")
INSTALL: Final = 'pip install "claude-code-proxy[postgres]"'

ROWS: Final = "{rows}"
"""What stands in a statement for rows of values, of which as many are written at once as is best."""

_BUSY: Final = 5.0
"""Seconds that SQLite waits for another process's lock."""

_LOCK: Final = 0x0CCB_1ED6
"""The number of the advisory lock under which one process at a time changes Postgres's tables."""

_NO_DATABASE: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})

_log = logging.getLogger(__name__)


class LedgerError(Exception):
    """The ledger cannot be used. The message says why, and what to do."""


class Database(Protocol):
    """A connection, for one thread at a time. Each call is a transaction of its own."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """What a query gives."""

    def write(self, *statements: tuple[str, Sequence[Sequence[Any]]]) -> None:
        """Carry out each statement for each of its sets of values, at least one (see `ROWS`): all, or nothing."""

    def gone(self) -> bool:
        """Whether what it is connected to is not there any more."""

    def close(self) -> None:
        """End the connection."""


def connect(place: str) -> Database:
    """A connection to the ledger at `place`, a path or a URL; made or brought up to date if it has to be.

    Raises `LedgerError`, `sqlite3.Error`, `psycopg.Error` or `OSError`.
    """
    if place.startswith(SCHEMES):
        return Postgres(place)
    path = Path(place).expanduser()
    try:
        return SQLite(path)
    except sqlite3.DatabaseError as cause:
        if not put_aside(place, cause):
            raise
    return SQLite(path)


def faults() -> tuple[type[Exception], ...]:
    """What is raised by a ledger that cannot be used."""
    psycopg = sys.modules.get("psycopg")  # nobody else raises what it would
    return (LedgerError, OSError, sqlite3.Error, *((psycopg.Error,) if psycopg else ()))


def is_there(place: str) -> bool:
    """Whether there is a ledger to read. Of Postgres only its connection tells."""
    return place.startswith(SCHEMES) or Path(place).expanduser().is_file()


class SQLite:
    """A file, in WAL mode: readers and the writer do not wait for each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _make(path)
        self._file = _identity(path)
        self._connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        with contextlib.ExitStack() as unless_ready:
            unless_ready.callback(self._connection.close)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA secure_delete = ON")  # what was said is gone when its days are over
            self._migrate()
            unless_ready.pop_all()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(sql, values)]

    def write(self, *statements: tuple[str, Sequence[Sequence[Any]]]) -> None:
        with self._transaction():
            for sql, sets in statements:
                if ROWS in sql:
                    self._put(sql, sets)
                else:
                    self._connection.executemany(sql, sets)

    def _put(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write many rows in a few steps: after each of them the thread has to wait until others let it go on.

        They are powers of two, so that few statements have to be prepared.
        """
        width = len(rows[0])
        most = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // width
        at = 0
        while left := min(len(rows) - at, most):
            many = 1 << (left.bit_length() - 1)
            flat = [value for row in rows[at : at + many] for value in row]
            self._connection.execute(_with_rows(sql, width, many), flat)
            at += many

    def gone(self) -> bool:
        try:
            return _identity(self._path) != self._file
        except OSError:
            return True

    def close(self) -> None:
        self._connection.close()

    def _migrate(self) -> None:
        if self._connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return  # which needs no lock
        with self._transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            for statement in _steps(version, str(self._path), "BLOB"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is done in the block, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        with contextlib.ExitStack() as unless_done:
            unless_done.callback(self._undo)
            yield
            self._connection.execute("COMMIT")
            unless_done.pop_all()

    def _undo(self) -> None:
        if self._connection.in_transaction:  # some errors end it themselves
            self._connection.execute("ROLLBACK")


class Postgres:
    """A database that several machines may share."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: PLC0415 -- optional
            from psycopg.rows import dict_row  # noqa: PLC0415
        except ImportError:
            raise LedgerError(f"A ledger in Postgres needs the extra 'postgres': {INSTALL}") from None
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=5)
        with contextlib.ExitStack() as unless_ready:
            unless_ready.callback(self._connection.close)
            self._migrate()
            unless_ready.pop_all()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return self._connection.execute(_numbered(sql), values).fetchall()

    def write(self, *statements: tuple[str, Sequence[Sequence[Any]]]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for sql, sets in statements:
                one = _with_rows(sql, len(sets[0]), 1) if ROWS in sql else sql
                cursor.executemany(_numbered(one), sets)

    def gone(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        self._connection.close()

    def _migrate(self) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor.execute("CREATE TABLE IF NOT EXISTS ledger_version (version INTEGER NOT NULL)")
            found = cursor.execute("SELECT version FROM ledger_version").fetchone()
            version = found["version"] if found else 0
            for statement in _steps(version, "the database", "BYTEA"):
                cursor.execute(statement.encode())
            if version != VERSION:
                cursor.execute("DELETE FROM ledger_version")
                cursor.execute("INSERT INTO ledger_version VALUES (%s)", (VERSION,))


@cache
def _with_rows(sql: str, width: int, many: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace(ROWS, ", ".join([row] * many))


def _numbered(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _steps(version: int, where: str, kind: str) -> Iterable[str]:
    """The statements that bring the tables of this version up to date."""
    if version > VERSION:
        raise LedgerError(
            f"The ledger in {where} was made by a newer version. Install that, or set PROXY_LEDGER to another place."
        )
    return [statement.format(bytes=kind) for step in MIGRATIONS[version:] for statement in step]


def _make(path: Path) -> None:
    """Make the file, if there is none, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        found = path.lstat()
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another worker made it
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        return
    if not stat.S_ISREG(found.st_mode):
        raise LedgerError(f"{path} is a link or no file; a ledger must be a file of its own.")
    if os.name == "posix" and found.st_mode & 0o077 and found.st_uid == os.getuid():
        path.chmod(0o600)


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def put_aside(place: str, cause: Exception) -> bool:
    """Rename the file, with what belongs to it, if this error says that it is damaged, so that a new one can begin."""
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in _NO_DATABASE:
        return False
    path = Path(place).expanduser()
    aside = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(path.with_name(aside + ending))
    _log.warning("The ledger is damaged. It was put aside as %s, and a new one begins.", path.with_name(aside))
    return True
