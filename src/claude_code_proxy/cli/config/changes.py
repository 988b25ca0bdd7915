"""What will become of the files of settings: shown first, then written, all of it or nothing."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_code_proxy.cli.config import env_file, toml_file
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.paint import painted, printable

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from claude_code_proxy.settings import Settings


class Change(NamedTuple):
    """A file, what it holds and what it will."""

    path: Path
    before: str
    after: str

    @property
    def replaces(self) -> bool:
        """Whether something that is there goes."""
        return any(mark == "-" for mark, _ in _differences(self))


def planned(
    folder: Path, values: Mapping[str, str], tables: Mapping[tuple[str, ...], Mapping[str, Any]]
) -> list[Change]:
    """What it takes to have these variables and tables in the files of the folder. Raises `CommandError`."""
    wanted = [(folder / ".env", env_file.edited, values), (folder / "config.toml", toml_file.edited, tables)]
    changes: list[Change] = []
    for path, edited, more in wanted:
        before = _text(path)
        after = edited(before, more) if more else before  # type: ignore[operator]
        if after != before:
            changes.append(Change(path, before, after))
    return changes


def shown(changes: Sequence[Change], settings: Settings) -> str:
    """The changes for a person, without secrets: what is named like one, and the keys of these settings' providers."""
    keys = {row.api_key_env for row in settings.providers.values()}
    lines: list[str] = []
    for change in changes:
        lines.append(f"{change.path}:" if change.before else f"{change.path} (new):")
        for mark, text in _differences(change, keys):
            style = "good" if mark == "+" else "bad"
            lines.append(painted(f"  {mark} {printable(text)}", style, sys.stdout))
    return "".join(f"{line}\n" for line in lines)


def write(changes: Sequence[Change]) -> None:
    """Write them, for this user's eyes only. What is interrupted or fails leaves every file as it was.

    Raises `CommandError`.
    """
    staged: list[tuple[str, Path]] = []
    try:
        for change in changes:
            path = change.path.resolve()  # a link to the file stays one
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
            staged.append((name, path))
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(change.after)
                file.flush()
                os.fsync(file.fileno())
        with _undisturbed():
            for name, path in staged:
                Path(name).replace(path)
    except OSError as cause:
        raise CommandError(f"{cause.filename or 'The files'} cannot be written: {cause.strerror}") from None
    finally:
        for name, _ in staged:
            with suppress(OSError):
                Path(name).unlink()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No Ctrl-C between one file and the next."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandError(f"{path} cannot be read: {cause}") from None


def _differences(change: Change, keys: Container[str] = ()) -> Iterator[tuple[str, str]]:
    before, after = (
        env_file.pieces(text, keys) if change.path.name == ".env" else toml_file.pieces(text)
        for text in (change.before, change.after)
    )
    matcher = SequenceMatcher(None, [one for one, _ in before], [one for one, _ in after], autojunk=False)
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag != "equal":
            yield from (("-", text) for _, text in before[first:last])
            yield from (("+", text) for one, text in after[start:end] if one.strip())
