"""Processes under measurement: started, loaded, and asked what they have used. Linux only, loopback only."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from client import Plan, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
PATIENCE: Final = 90.0


@dataclass(frozen=True)
class Target:
    """A proxy. `paths` are those of a translated and of a native request; `where` is put into them and the command."""

    name: str
    command: tuple[str, ...]
    paths: tuple[str, str]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class Running:
    """A target that runs."""

    target: Target
    process: subprocess.Popen[bytes]
    port: int
    seconds_to_start: float

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used, to the nanosecond."""
        return sum(_clock(pid) for pid in _tree(self.process.pid))

    def memory(self) -> float:
        """Its resident memory in MiB."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) for pid in _tree(self.process.pid))
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextmanager
def upstream() -> Iterator[int]:
    """The fake upstream, by its port."""
    command = [sys.executable, str(HERE / "upstream.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pin(process.pid, 1)
        yield int(process.stdout.readline() if process.stdout else 0)
        process.communicate()


@contextmanager
def started(target: Target, up: int, home: Path, *, pinned: bool = True) -> Iterator[Running]:
    """A target that answers."""
    port = free_port()
    where = {"port": port, "upstream": f"http://127.0.0.1:{up}", "home": home}
    home.mkdir(parents=True, exist_ok=True)
    for name, text in target.files.items():
        (home / name).write_text(text % where, "utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    env |= {name: value % where for name, value in target.env.items()}
    began = time.perf_counter()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [word % where for word in target.command],
            env=env,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    if pinned:
        pin(process.pid, 0)
    try:
        _answers(port, process, home / "log")
        yield Running(target, process, port, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def played(plan: Plan) -> Report:
    """What came of a plan."""
    command = [sys.executable, str(HERE / "client.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pin(process.pid, 1)
        out, _ = process.communicate(msgspec.json.encode(plan))
    return msgspec.json.decode(out, type=Report)


def pin(pid: int, cpu: int) -> None:
    """Keep what is measured and what measures it on processors of their own, where there are two."""
    if len(allowed := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(pid, {allowed[cpu]})


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values) if values else 0.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def found(name: str) -> str:
    """A program beside this Python or on the PATH; empty if there is none."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or ""


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit(f"It does not answer:\n{log.read_text('utf-8')[-2000:]}")


def _clock(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the kernel's number for the CPU clock of another process
    except OSError:
        return 0.0


def _tree(pid: int) -> list[int]:
    """A process and all under it."""
    pids = [pid]
    for one in pids:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            pids += map(int, task.read_text("ascii").split())
    return pids
