"""A program in our place: it has the terminal and gets our signals, and its end is ours."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FROM_TERMINAL: Final = ("SIGINT", "SIGQUIT")
"""The terminal sends these to the program itself, which makes of them what it likes."""

_PASSED_ON: Final = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


def run_in_terminal(words: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a program to its end; its exit status, or 128 and the number of the signal that ended it."""
    process = subprocess.Popen(words, env=dict(env))  # noqa: S603 # what the user asked for
    with _signals(process):
        status = _waited(process) if hasattr(os, "WUNTRACED") else process.wait()
    return 128 - status if status < 0 else status


def _waited(process: subprocess.Popen[bytes]) -> int:
    """Wait for its end, and rest while it rests: the shell brings back both at once."""
    while True:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode
        os.kill(os.getpid(), signal.SIGSTOP)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


@contextmanager
def _signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While the block runs, signals are left to the process or passed on to it."""

    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)

    def leave(_: int, __: object) -> None:
        pass

    wanted = {**dict.fromkeys(_FROM_TERMINAL, leave), **dict.fromkeys(_PASSED_ON, pass_on)}
    numbers = {getattr(signal, name): what for name, what in wanted.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, what) for number, what in numbers.items()}
    try:
        yield
    finally:
        for number, what in before.items():
            signal.signal(number, what)
