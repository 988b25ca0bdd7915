"""What /proc tells of processes; there is none but on Linux."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def resident(pid: int) -> int:
    """The most memory that a process has had, in MiB."""
    return _status(pid, "VmHWM:") >> 10


def held(pid: int) -> float:
    """The memory that a process has, in MiB."""
    return _status(pid, "VmRSS:") / 1024


def _status(pid: int, name: str) -> int:
    told = (PROC / str(pid) / "status").read_text("utf-8")
    return int(told.partition(name)[2].split()[0])


def busy(pid: int) -> float:
    """Seconds that a process has had of the processor."""
    columns = _columns(PROC / str(pid))
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list((PROC / str(pid) / "fd").iterdir()))


def workers_of(pid: int) -> set[int]:
    """The workers of uvicorn's supervisor, without the process that looks after their resources."""
    found = set()
    for place in PROC.glob("[0-9]*"):
        try:
            if int(_columns(place)[1]) == pid and b"spawn_main" in (place / "cmdline").read_bytes():
                found.add(int(place.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def holders(port: int, client: int, pids: set[int]) -> set[int]:
    """Which of these processes hold the connection from port `client` to their `port`."""
    inodes = set()
    for row in (PROC / "net" / "tcp").read_text("utf-8").splitlines()[1:]:
        columns = row.split()
        if columns[1].endswith(f":{port:04X}") and columns[2].endswith(f":{client:04X}"):
            inodes.add(f"socket:[{columns[9]}]")
    found = set()
    for pid in pids:
        for place in (PROC / str(pid) / "fd").iterdir():
            try:
                if str(place.readlink()) in inodes:
                    found.add(pid)
            except FileNotFoundError:
                continue
    return found


def _columns(place: Path) -> list[str]:
    """What follows the name in `stat`: the state, the parent, and so on."""
    return (place / "stat").read_text("utf-8").rpartition(")")[2].split()
