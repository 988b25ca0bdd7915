"""The port to listen on: taken at once, or it is said what holds it."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_code_proxy.cli.ending import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLES: Final = ("tcp", "tcp6")
_LISTENING: Final = "0A"
_BACKLOG: Final = 2048

_REASONS: Final = {
    errno.EACCES: "this user may not listen on it. Ports from 1024 on are free to all: --port 4000",
    errno.EADDRNOTAVAIL: "this machine has no such address. --host 127.0.0.1 is this machine only, 0.0.0.0 all of its",
}


class Holder(NamedTuple):
    """The process that listens on a port, and the user whose it is. Linux only; empty where that may not be read."""

    pid: int = 0
    name: str = ""
    uid: int = -1

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "another program"


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any free one. Raises `CommandError` that says what is in the way."""
    try:
        [family, *_, address], *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as cause:
        message = f"--host {host} is no address: {cause.strerror}. 127.0.0.1 is this machine only, 0.0.0.0 all of its."
        raise CommandError(message) from None
    # With the protocol named, or asyncio leaves Nagle's algorithm on, and small pieces wait for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as cause:
        listener.close()
        raise CommandError(_refusal(host, port, cause)) from None
    listener.set_inheritable(True)  # the processes of --workers share it
    return listener


def _refusal(host: str, port: int, cause: OSError) -> str:
    place = address(host, port)
    if cause.errno == errno.EADDRINUSE:
        from claude_code_proxy.cli.running import greeting

        free = f"Another port: claude-code-proxy --port {_next_free(host, port)}"
        if greeting(here(host), port):
            return f"{place} is taken by a Claude Code Proxy that runs already, {holder(port)}: use it. {free}"
        return f"{place} is taken by {holder(port)}. {free}"
    return f"Cannot listen on {place}: {_REASONS.get(cause.errno or 0, cause.strerror)}."


def _next_free(host: str, port: int) -> int:
    """A port nearby that could be had, for a proposal."""
    for near in range(port + 1, min(port + 50, 65536)):
        with suppress(OSError), socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, near))
            return near
    return 0


def free_port() -> int:
    """A port of this machine that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def here(host: str) -> str:
    """The name by which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def address(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def holder(port: int) -> Holder:
    """Who listens on a port of this machine."""
    for uid, inode in _listeners(port):
        return next((Holder(pid, _name(pid), uid) for pid in _processes() if inode in _sockets(pid)), Holder(uid=uid))
    return Holder()


def _listeners(port: int) -> Iterator[tuple[int, str]]:
    """User and socket of whoever listens on the port, as Linux's /proc tells (proc_pid_net(5))."""
    for table in _TABLES:
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield int(fields[7]), f"socket:[{fields[9]}]"


def _processes() -> Iterator[int]:
    with suppress(OSError):
        yield from (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())  # noqa: PTH208 # names only


def _sockets(pid: int) -> Iterator[str]:
    """What the process has open, as far as this user may know."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                yield os.readlink(entry.path)  # noqa: PTH115 # many of them


def _name(pid: int) -> str:
    """The program's name: never its arguments, which may hold a secret."""
    with suppress(OSError, IndexError):
        words = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0")
        name = Path(words[0]).name
        if name.startswith("python") and len(words) > 1:
            run = words[words.index("-m") + 1] if "-m" in words else words[1]
            name = f"{name} {Path(run).name}" if not run.startswith("-") else name
        return "".join(char for char in name if char.isprintable())[:60]
    return "a process"
