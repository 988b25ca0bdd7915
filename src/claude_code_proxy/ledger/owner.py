"""Which process a row belongs to, and whether that has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_ALIVE = "alive"


def this_process() -> str:
    """This process, among all that write to the same ledger."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def has_ended(owner: str) -> bool:
    """Whether a process of this machine has ended; of others that is not known."""
    host, _, rest = owner.partition("/")
    number, _, started = rest.partition("/")
    return host == socket.gethostname() and number.isdigit() and _started(int(number)) != started


def _started(number: int) -> str:
    """What tells a process from others of its number, its start where the system tells it; empty if there is none."""
    try:
        return Path(f"/proc/{number}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except OSError:
        pass
    if os.name != "posix":  # where a signal of no meaning would end it
        return _ALIVE
    if Path("/proc/self").is_dir():
        return ""
    try:
        os.kill(number, 0)
    except PermissionError:
        return _ALIVE
    except OSError:
        return ""
    return _ALIVE
