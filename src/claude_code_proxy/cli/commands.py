"""The commands, their options and examples: one table. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from claude_code_proxy import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Options = Callable[[argparse.ArgumentParser], None]

PROGRAM: Final = "claude-code-proxy"
PORT: Final = 4000
GROUPS: Final = ("day", "model", "session", "project", "provider")
SHELLS: Final = ("bash", "zsh", "fish")

CONFIGURATION: Final = {"config": "CLAUDE_CODE_PROXY_CONFIG", "env_file": "CLAUDE_CODE_PROXY_ENV_FILE"}
"""The options that name files of settings, and the variables that they stand for."""

_LOCAL: Final = "serve a small model on this machine too, as provider `local`"


class Command(NamedTuple):
    """A command: `module` of this package runs it."""

    module: str
    help: str
    options: Options
    examples: Sequence[tuple[str, str]]
    """Command lines without the program's name, and what they do."""


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=_port, default=PORT, help="0 = any free one (default: %(default)s)")
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes that share the work")
    parser.add_argument("--local", nargs="?", const="smollm2-135m", default="", metavar="MODEL", help=_LOCAL)
    parser.add_argument("--log-format", choices=("pretty", "json"), default="pretty", help="lines to read, or JSON")
    parser.add_argument("--with-stdin", action="store_true", help=argparse.SUPPRESS)  # ends when that is closed
    _files(parser)


def _code(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="PROVIDER:MODEL", help="what answers, or an alias of yours")
    parser.add_argument("--port", type=_port, help="where the proxy is, or is to be (default: 4000, or any free one)")
    _files(parser)


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--into", default="", metavar="FOLDER", help="write there (default: your config folder)")
    parser.add_argument("--provider", default="", help="the preferred provider, with --yes")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key-from-env", action="store_true", help="write the key that is in the environment")
    key.add_argument("--key-stdin", action="store_true", help="write the key that is piped in")
    parser.add_argument("--big", default="", metavar="MODEL", help="in place of opus and sonnet")
    parser.add_argument("--small", default="", metavar="MODEL", help="in place of haiku")
    parser.add_argument("--tier", action="append", default=[], metavar="NAME=MODEL", help="of opus, sonnet, haiku, …")
    parser.add_argument("--share", action="store_true", help="others will use it: make a PROXY_API_KEY")
    parser.add_argument("--no-check", action="store_true", help="ask nobody whether the key and the models are good")
    parser.add_argument("--yes", action="store_true", help="ask no questions")
    parser.add_argument("--force", action="store_true", help="with --yes: replace what is there")
    parser.add_argument("--json", action="store_true", help="with --yes: for programs")
    _files(parser)


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE", help="config.json, config.yaml or .env")
    kinds = ("claude-code-router", "litellm", "env")
    parser.add_argument("--from", dest="kind", choices=kinds, help="whose file it is (default: as its name ends)")
    parser.add_argument("--into", default="", metavar="FOLDER", help="write there (default: your config folder)")
    parser.add_argument("--write", action="store_true", help="write what is shown")
    parser.add_argument("--force", action="store_true", help="with --write: replace what is there without asking")


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("providers", nargs="*", metavar="provider", help="look at these only")
    parser.add_argument("--json", action="store_true", help="for programs")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--offline", action="store_true", help="ask nobody but the proxy on this machine")
    either.add_argument("--live", action="store_true", help="ask each for a few words, which costs a little")
    parser.add_argument("--port", type=_port, default=PORT, help="where the proxy runs (default: %(default)s)")
    _files(parser)


def _certify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("certify_model", metavar="MODEL", help="provider:model, an alias, any name of a request")
    parser.add_argument("--url", default="", metavar="PROVIDER:MODEL", help="what the URL names, if anything")
    parser.add_argument("--local", action="store_true", help="MODEL is a small one that this machine serves for it")
    parser.add_argument("--base-url", default="", metavar="URL", help="through a proxy that runs; gets PROXY_API_KEY")
    parser.add_argument("--only", nargs="+", default=(), metavar="CHECK", help="some of the checks")
    parser.add_argument("--long", action="store_true", help="a prompt that nearly fills the window, and one too long")
    parser.add_argument("--yes", action="store_true", help="do not ask whether the cost is fine")
    parser.add_argument("--json", action="store_true", help="for programs")
    _files(parser)


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("provider", nargs="?", default="", help="of this provider only")
    parser.add_argument("--search", default="", metavar="TEXT", help="whose name holds this")
    parser.add_argument("--json", action="store_true", help="for programs")
    _files(parser)


def _route(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("route_model", metavar="MODEL", help="the model of the request")
    parser.add_argument("--url", default="", metavar="PROVIDER:MODEL", help="what the URL names, if anything")
    parser.add_argument("--kind", default="", help="the kind of the request, as in [routing.kinds] of config.toml")
    parser.add_argument("--explain", action="store_true", help="and why")
    _files(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request_id", metavar="REQUEST_ID", help="as the log names it; `last`: the latest that failed")
    parser.add_argument("--with-content", action="store_true", help="with the prompts and answers, where captured")
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE", help="write there (default: report-REQUEST_ID.zip)"
    )
    _files(parser)


def _usage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", choices=GROUPS, default="day", help="what the sums are of (default: %(default)s)")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--since", type=_day, metavar="DAY", help="from this day on, as 2026-11-22")
    begin.add_argument("--last", type=_span, metavar="SPAN", help="7d = today and six days before; 12h, 4w")
    parser.add_argument("--until", type=_day, metavar="DAY", help="to the end of this day")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--csv", action="store_true", help="for spreadsheets")
    _files(parser)


def _try(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="?", default="What is the capital of France?")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--max-tokens", type=int, default=128)


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


COMMANDS: Final = {
    "serve": Command(
        "serve",
        "serve (the default)",
        _serve,
        [
            ("", f"serve on http://127.0.0.1:{PORT}"),
            ("--port 4001", "somewhere else"),
            ("--local", "with a small model on this machine: no key needed"),
            ("serve --workers 4 --log-format json", "for many users"),
        ],
    ),
    "code": Command(
        "code",
        "start Claude Code on the proxy, which is started too unless it runs",
        _code,
        [
            ("code", "Claude Code on the models of your settings"),
            ("code --model openrouter:qwen/qwen3-coder", "on this model"),
            ('code -- -p "What does this project do?"', "with arguments for Claude Code"),
        ],
    ),
    "init": Command(
        "init",
        "set it up: find servers and keys, choose models, write the settings",
        _init,
        [
            ("init", "a few questions"),
            ("init --yes --provider openrouter --key-from-env", "none, for a script"),
            ("init --yes --provider openai --key-from-env --big gpt-4.1", "with the model of your choice"),
        ],
    ),
    "import": Command(
        "import_",
        "take over the settings of claude-code-router, LiteLLM or an older .env",
        _import,
        [
            ("import ~/.claude-code-router/config.json", "show what becomes of it"),
            ("import config.yaml --write", "and write it"),
        ],
    ),
    "doctor": Command(
        "doctor",
        "say what is set up, what works, and how to mend the rest",
        _doctor,
        [
            ("doctor", "look at everything; nothing that costs money is sent"),
            ("doctor openai --live", "and ask OpenAI for a few words"),
            ("doctor --json --offline", "for a script, asking nobody"),
        ],
    ),
    "certify": Command(
        "certify",
        "try what Claude Code does on a model, and say what works and what would mend the rest",
        _certify,
        [
            ("certify openrouter:qwen/qwen3-coder", "all checks; says what they take before it asks"),
            ("certify ollama:qwen3:8b --only tool tool-result", "some"),
            ("certify smollm2-135m --local", "a small model on this machine: no key needed"),
            ("certify strong --yes --json", "for a script; 0 = works, 1 = with limits, 2 = does not, 3 = not known"),
        ],
    ),
    "models": Command(
        "models",
        "list the models that can be reached, with their context windows",
        _models,
        [
            ("models", "of every provider that is set up"),
            ("models openrouter --search qwen", "some of one"),
            ("models --json", "for programs"),
        ],
    ),
    "route": Command(
        "route",
        "say where a request would go, without sending any",
        _route,
        [
            ("route opus --explain", "where a request for this model would go, and why"),
            ("route x --url ollama:qwen3:8b", "with what its URL names"),
        ],
    ),
    "report": Command(
        "report",
        "write what is known of a request into a file, to report a bug with",
        _report,
        [
            ("report last", "of the latest that failed; without prompts and answers"),
            ("report last --with-content -o bug.zip", "with them"),
        ],
    ),
    "usage": Command(
        "usage",
        "say what was used, and what it cost",
        _usage,
        [
            ("usage", "day by day"),
            ("usage --by model --last 7d", "by model, in the last week"),
            ("usage --by project --since 2026-11-01 --csv", "by folder, for a spreadsheet"),
            ("usage --by session --json", "for programs"),
        ],
    ),
    "try": Command(
        "try_",
        "ask a small real model on this machine, without any key",
        _try,
        [('try "What is a proxy?"', "an answer from a small model on this machine")],
    ),
    "completion": Command(
        "completion",
        "print the completion for a shell",
        _completion,
        [
            ("completion bash", "the completion; save it where your shell looks for it:"),
            ("completion bash > ~/.local/share/bash-completion/completions/claude-code-proxy", "for bash"),
            ("completion zsh > ~/.zfunc/_claude-code-proxy", "for zsh, with ~/.zfunc in its fpath"),
            ("completion fish > ~/.config/fish/completions/claude-code-proxy.fish", "for fish"),
        ],
    ),
}


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line with the default command put in, and what `code` hands on, behind `--`."""
    words = list(argv)
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}):
        words.insert(0, "serve")
    at = words.index("--") if words[0] == "code" and "--" in words else len(words)
    return words[:at], words[at + 1 :]


def made() -> argparse.ArgumentParser:
    """The parser of the whole command line; `module` of what it finds runs the command."""
    every = [example for command in COMMANDS.values() for example in command.examples[:1]]
    parser = _parser(PROGRAM, "Run Claude Code and the Claude Agent SDK on any model.", every)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, command in COMMANDS.items():
        said = f"{command.help[0].upper()}{command.help[1:]}."
        epilog = _shown(command.examples)
        one = commands.add_parser(
            name,
            help=command.help,
            description=said,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.options(one)
        one.set_defaults(module=command.module)
    return parser


def _parser(name: str, said: str, examples: Sequence[tuple[str, str]]) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=name,
        description=said,
        epilog=_shown(examples)
        + f"\n`{PROGRAM} COMMAND --help` tells the options of one; those of `serve` may stand alone.\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _shown(examples: Sequence[tuple[str, str]]) -> str:
    lines = [(f"  {PROGRAM} {line}".rstrip(), meaning) for line, meaning in examples]
    width = max(len(line) for line, _ in lines)
    return "examples:\n" + "".join(f"{line:<{width}}   {meaning}\n" for line, meaning in lines)


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=_file, metavar="FILE", help="another config.toml")
    parser.add_argument("--env-file", type=_file, metavar="FILE", help="another .env; empty = none")


def _file(text: str) -> str:
    if text and not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return str(Path(text).absolute()) if text else ""


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not 1970 < day.year < 9999:  # beyond, clocks end
        raise argparse.ArgumentTypeError(f"{text!r} is no day: as 2026-11-22")
    return day


def _span(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,3}[hdw]", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no span: a number of hours, days or weeks, as 12h, 7d or 4w")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a whole number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)
