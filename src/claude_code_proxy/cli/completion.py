"""`claude-code-proxy completion SHELL`: what completes our command line, made from its parser."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_code_proxy.cli.commands import COMMANDS, PROGRAM, made

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


class Words(NamedTuple):
    """What may stand behind a command: options with their help, and what a positional argument may be."""

    options: dict[str, str]
    choices: list[str]


def command(arguments: Namespace) -> int:
    """Print the script."""
    sys.stdout.write(_SCRIPTS[arguments.shell](_tree()))
    return 0


def _tree() -> dict[str, Words]:
    [subcommands] = [action for action in made()._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    return {name: _words(parser) for name, parser in subcommands.choices.items()}


def _words(parser: argparse.ArgumentParser) -> Words:
    options: dict[str, str] = {}
    choices: list[str] = []
    for action in parser._actions:  # noqa: SLF001
        if action.help == argparse.SUPPRESS:
            continue
        said = (action.help or "").replace("%(default)s", str(action.default))
        options |= {option: said for option in action.option_strings if option.startswith("--")}
        if not action.option_strings and action.choices:
            choices += map(str, action.choices)
    return Words(options, choices)


def _bash(tree: dict[str, Words]) -> str:
    cases = "".join(
        f'    {name}) words="{" ".join([*words.options, *words.choices])}" ;;\n' for name, words in tree.items()
    )
    alone = " ".join([*tree, *tree["serve"].options, "--version"])
    return f"""\
# bash completion for {PROGRAM}
_claude_code_proxy() {{
  local words current="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}"
  if ((COMP_CWORD == 1)); then command=""; fi
  case "$command" in
{cases}    *) words="{alone}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _claude_code_proxy {PROGRAM}
"""


def _zsh(tree: dict[str, Words]) -> str:
    def quoted(text: str) -> str:
        return text.replace("'", "'\\''")

    names = "".join(f"    '{name}:{quoted(COMMANDS[name].help)}'\n" for name in tree)
    cases = ""
    for name, words in tree.items():
        shown = [
            f"'{option}[{quoted(said.replace('[', '(').replace(']', ')'))}]'" for option, said in words.options.items()
        ]
        shown += [f"'*:argument:({' '.join(words.choices)})'"] if words.choices else ["'*:argument:_files'"]
        cases += f"    {name}) _arguments {' '.join(shown)} ;;\n"
    return f"""\
#compdef {PROGRAM}
_claude_code_proxy() {{
  local -a commands
  commands=(
{names}  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words
  ((CURRENT--))
  case "$command" in
{cases}  esac
}}
if [ "$funcstack[1]" = "_claude_code_proxy" ]; then
  _claude_code_proxy "$@"
else
  compdef _claude_code_proxy {PROGRAM}
fi
"""


def _fish(tree: dict[str, Words]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    lines = [f"# fish completion for {PROGRAM}"]
    for name, words in tree.items():
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand -f -a {name} -d {quoted(COMMANDS[name].help)}")
        behind = f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{behind} -l {option[2:]} -d {quoted(said)}" for option, said in words.options.items()]
        lines += [f"{behind} -f -a {choice}" for choice in words.choices]
    return "\n".join(lines) + "\n"


_SCRIPTS: Final[dict[str, Callable[[dict[str, Words]], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
