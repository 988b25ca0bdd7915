"""`claude-code-proxy init`: from nothing to settings that work, by a few questions or by options."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_code_proxy.cli.commands import PROGRAM
from claude_code_proxy.cli.config.changes import planned, shown, write
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.tables import Tiers

if TYPE_CHECKING:
    from argparse import Namespace

    from claude_code_proxy.cli.config.changes import Change
    from claude_code_proxy.cli.init.looking import Held
    from claude_code_proxy.cli.init.plan import Plan
    from claude_code_proxy.settings import Settings

_HOW = f"""\
Without a terminal nobody can be asked: pass the answers, for example
  {PROGRAM} init --yes --provider openrouter --key-from-env
  {PROGRAM} init --yes --provider ollama --big gpt-oss:20b"""

_WITH_YES: Final = ("provider", "key_from_env", "key_stdin", "big", "small", "share", "no_check", "force", "json")


class Outcome(NamedTuple):
    """What will become of the files, and what is to be known of it."""

    changes: list[Change]
    notes: list[str]
    settings: Settings


def command(arguments: Namespace) -> int:
    """Ask or take the options, show, write; the exit status."""
    from claude_code_proxy.cli.init.looking import gathered
    from claude_code_proxy.settings import config_folder

    if not arguments.yes and (given := [name for name in _WITH_YES if getattr(arguments, name)]):
        raise CommandError(f"--{given[0].replace('_', '-')} goes with --yes: without it you are asked.", 2)
    if not arguments.yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError(_HOW, 2)
    folder = Path(arguments.into).expanduser().absolute() if arguments.into else config_folder()
    if arguments.yes:
        from claude_code_proxy.cli.init.told import told

        held = gathered(folder)
        plan = told(arguments, held, folder)
        outcome = _outcome(plan, held, folder)
        if any(change.replaces for change in outcome.changes) and not arguments.force:
            raise CommandError(
                f"{shown(outcome.changes, outcome.settings)}That would replace what is there: --force does it."
            )
        return _done(arguments, folder, plan, outcome)
    try:
        held, plan = _asked(arguments, folder)
        outcome = _outcome(plan, held, folder)
        wanted = _agreed(outcome)
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\nNothing was written.\n")
        return 130
    if not wanted:
        sys.stdout.write("Nothing was written.\n")
        return 1
    return _done(arguments, folder, plan, outcome)


def _outcome(plan: Plan, held: Held, folder: Path) -> Outcome:
    from claude_code_proxy.cli.init.looking import settings_of

    settings = settings_of(held, folder)
    values = plan.values(settings)
    file = folder / ".env"
    notes = [
        f"{name} comes from {place}, which wins over this file: unset it, or it stays as it was."
        for name, value in values.items()
        if (place := held.wins(name, value, file))
    ]
    if settings.tables.tiers != Tiers() and not plan.tiers:
        notes.append("[routing.tiers] of your config.toml comes before BIG_MODEL and SMALL_MODEL.")
    return Outcome(planned(folder, values, plan.tables), notes, settings)


def _asked(arguments: Namespace, folder: Path) -> tuple[Held, Plan]:
    from msgspec.structs import replace

    from claude_code_proxy.cli.init.asking import asked
    from claude_code_proxy.cli.init.looking import gathered
    from claude_code_proxy.cli.init.plan import tiers_of

    tiers = tiers_of(arguments.tier)
    held = gathered(folder)
    return held, replace(asked(held, folder), tiers=tiers)


def _agreed(outcome: Outcome) -> bool:
    from claude_code_proxy.cli.init.asking import say, yes

    changes = outcome.changes
    if not changes:
        say("\nThe files say that already.")
        return True
    say(f"\n{shown(changes, outcome.settings)}")
    replaces = any(change.replaces for change in changes)
    return yes("Replace what is there?" if replaces else "Write this?", default=not replaces)


def _done(arguments: Namespace, folder: Path, plan: Plan, outcome: Outcome) -> int:
    """Write, and say what comes next."""
    changes, notes, _ = outcome
    write(changes)
    following = _next(folder, arguments)
    if arguments.json:
        from msgspec.structs import asdict

        checks = [{**asdict(one), "models": len(one.models)} for one in plan.seen]
        files = [str(change.path) for change in changes]
        told: dict[str, object] = {"provider": plan.provider, "big": plan.big, "small": plan.small, "files": files}
        told |= {"checks": checks, "notes": notes, "next": following}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    lines = [f"Wrote {change.path}" for change in changes] + notes
    if plan.shared:
        lines.append(
            f"Others need PROXY_API_KEY of this .env, and a proxy that listens to them: {PROGRAM} --host 0.0.0.0"
        )
    sys.stdout.write("\n".join([*lines, "", "Start Claude Code:", "", f"  {following}", ""]))
    return 0


def _next(folder: Path, arguments: Namespace) -> str:
    """The command line that starts Claude Code with these files."""
    from claude_code_proxy.settings import ENV_FILE, config_folder

    words = [PROGRAM, "code"]
    elsewhere = arguments.env_file is None and ENV_FILE in os.environ  # which hides the folder's
    if folder != config_folder() or elsewhere:
        words += ["--env-file", str(folder / ".env")]
        words += ["--config", str(folder / "config.toml")] if (folder / "config.toml").is_file() else []
    return shlex.join(words)
