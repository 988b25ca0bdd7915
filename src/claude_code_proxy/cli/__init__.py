"""The command line. Heavy imports wait until their command runs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from claude_code_proxy.cli.commands import CONFIGURATION, made, split
from claude_code_proxy.cli.ending import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    words, beyond = split(sys.argv[1:] if argv is None else argv)
    arguments = made().parse_args(words)
    arguments.beyond = beyond
    for option, variable in CONFIGURATION.items():
        if (path := getattr(arguments, option, None)) is not None:
            os.environ[variable] = path
    try:
        status: int = import_module(f"claude_code_proxy.cli.{arguments.module}").command(arguments)
        sys.stdout.flush()
    except CommandError as cause:
        sys.stderr.write(f"{cause}\n")
        return cause.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status
