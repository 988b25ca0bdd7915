"""`claude-code-proxy import FILE`: the settings of another proxy as ours: shown, and written if that is wanted."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.commands import PROGRAM
from claude_code_proxy.cli.config.changes import planned, shown, write
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.paint import painted, printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from claude_code_proxy.cli.config.changes import Change
    from claude_code_proxy.cli.import_.made import Made
    from claude_code_proxy.settings import Settings

_ENDS: Final = {
    ".json": "claude-code-router",
    ".json5": "claude-code-router",
    ".jsonc": "claude-code-router",
    ".sqlite": "claude-code-router",
    ".db": "claude-code-router",
    ".yaml": "litellm",
    ".yml": "litellm",
}
"""Whose file it is, by how its name ends; any other is a .env."""

_MOST: Final = 4 << 20


def command(arguments: Namespace) -> int:
    """Show what becomes of the file, and write it with --write; the exit status."""
    from claude_code_proxy.cli.init.looking import gathered
    from claude_code_proxy.settings import config_folder

    source = Path(arguments.source).expanduser()
    folder = Path(arguments.into).expanduser().absolute() if arguments.into else config_folder()
    made = _made(source, arguments.kind or _ENDS.get(source.suffix.lower(), "env"))
    held = gathered(folder)
    for name, value in made.values.items():
        if place := held.wins(name, value, folder / ".env"):
            made.note(f"{name} comes from {place}, which wins over this: unset it there.")
    changes = planned(folder, made.values, made.tables)
    settings = _tried(changes, folder)
    sys.stdout.write(_report(made, changes, settings))
    if not changes:
        return 0
    if not arguments.write:
        sys.stdout.write(f"\nNothing was written: {PROGRAM} import {arguments.source} --write\n")
        return 0
    if any(change.replaces for change in changes) and not arguments.force and not _agreed():
        return 1
    write(changes)
    sys.stdout.write("\n" + "".join(f"Wrote {change.path}\n" for change in changes))
    sys.stdout.write(f"\nSee whether it works, then start Claude Code:\n\n  {PROGRAM} doctor\n  {PROGRAM} code\n")
    return 0


def _made(source: Path, kind: str) -> Made:
    """What the file becomes. Raises `CommandError`."""
    from claude_code_proxy.cli.import_ import claude_code_router, litellm, seed
    from claude_code_proxy.cli.import_.made import UnusableError

    readers: dict[str, Any] = {
        "claude-code-router": claude_code_router.made_of,
        "litellm": lambda text: litellm.made_of(text, os.environ),
        "env": seed.made_of,
    }
    try:
        with source.open("rb") as file:
            text = file.read(_MOST).decode("utf-8", "replace")
        made: Made = readers[kind](text)
    except OSError as cause:
        raise CommandError(f"{source} cannot be read: {cause.strerror}", 2) from None
    except UnusableError as cause:
        raise CommandError(f"{source} was read as {kind}: {cause}. --from says whose file it is.") from None
    return made


def _tried(changes: Sequence[Change], folder: Path) -> Settings:
    """The settings that the files will make. Raises `CommandError` if they cannot be used."""
    from claude_code_proxy.cli.config import env_file
    from claude_code_proxy.settings import SettingsError, load_settings

    after = {change.path.name: change.after for change in changes}
    with tempfile.TemporaryDirectory() as place:
        held: dict[str, str] = {}
        for name in (".env", "config.toml"):
            file = folder / name
            held[name] = after.get(name, file.read_text("utf-8") if file.is_file() else "")
        config = Path(place, "config.toml")
        config.write_text(held["config.toml"], "utf-8")
        try:
            return load_settings({**env_file.read(held[".env"]), "CLAUDE_CODE_PROXY_CONFIG": str(config)})
        except SettingsError as cause:
            raise CommandError(f"What would become of it cannot be used:\n{cause}") from None


def _report(made: Made, changes: Sequence[Change], settings: Settings) -> str:
    lines = [shown(changes, settings).rstrip()] if changes else ["Your settings say all of it already."]
    if made.notes:
        lines += ["", painted("To know:", "strong", sys.stdout), *(f"  {printable(note)}" for note in made.notes)]
    if made.left:
        lines += ["", painted("No counterpart here:", "strong", sys.stdout)]
        lines += [f"  {printable(what)}: {why}" for what, why in made.left]
    return "\n".join([*lines, ""])


def _agreed() -> bool:
    """Whether what is there may be replaced. Raises `CommandError` where nobody can be asked."""
    from claude_code_proxy.cli.init.asking import yes

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("That would replace what is there: --force does it.")
    try:
        if yes("\nReplace what is there?", default=False):
            return True
    except (EOFError, KeyboardInterrupt):
        raise CommandError("\nNothing was written.", 130) from None
    sys.stdout.write("Nothing was written.\n")
    return False
