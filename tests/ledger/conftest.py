"""A real Postgres, started here, and places for ledgers in both kinds of databases."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = count(1)


def _programs() -> Path:
    """Where Debian keeps Postgres's own programs: the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.skip("no Postgres is here; .ci/run installs Debian's")
    return found[-1].parent if found else Path(str(on_path)).parent


def _as_somebody() -> list[str]:
    """What lets a command run as somebody else than root, whom Postgres refuses."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server, without a database's name."""
    programs = _programs()
    home = tmp_path_factory.mktemp("postgres")
    data = home / "data"
    data.mkdir()
    if os.getuid() == 0:
        shutil.chown(data, "nobody")
        for above in (home, *home.parents):
            if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o001)
    run = _as_somebody()
    initdb = [*run, str(programs / "initdb"), "-D", str(data), "-U", "proxy", "-A", "trust", "-N", "-E", "UTF8"]
    subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, capture_output=True, cwd="/")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-p", str(port)]
    log = home / "log"
    with log.open("wb") as told:
        server = subprocess.Popen(
            [*run, str(programs / "postgres"), "-D", str(data), *options], stdout=told, stderr=told, cwd="/"
        )
    try:
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "30"]
        while subprocess.run(ready, check=False).returncode:
            assert server.poll() is None, log.read_text()
        yield f"postgresql://proxy@127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def database(postgres: str) -> str:
    """The address of an empty database."""
    name = f"ledger{next(_numbers)}"
    with psycopg.connect(f"{postgres}postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres + name


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger may be, one for each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "ledger.db")
    return str(request.getfixturevalue("database"))
