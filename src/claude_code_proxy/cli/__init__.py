"""The command line. Heavy imports wait until their command runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from claude_code_proxy import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLES = """\
examples:
  claude-code-proxy                              serve on http://127.0.0.1:4000
  claude-code-proxy --local                      the same, with a small model on this machine: no key needed
  claude-code-proxy route opus --explain         where a request for this model would go, and why
  claude-code-proxy try "What is a proxy?"       an answer from a small model on this machine, without any key
"""


_LOCAL = "serve a small model on this machine too, as provider `local`"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "try":
        from claude_code_proxy.cli.try_ import run

        return run(arguments.prompt, model=arguments.model, max_tokens=arguments.max_tokens)
    if arguments.command == "route":
        from claude_code_proxy.cli.route import run as route

        return route(arguments.route_model, arguments.url, arguments.kind, explain=arguments.explain)
    from claude_code_proxy.cli.serve import run as serve

    return serve(arguments.host, arguments.port, arguments.local)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="claude-code-proxy",
        description="Run Claude Code and the Claude Agent SDK on any model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"claude-code-proxy {__version__}")
    _serve_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="command")
    _serve_options(commands.add_parser("serve", help="serve (the default)"))
    routing = commands.add_parser("route", help="say where a request would go, without sending any")
    routing.add_argument("route_model", metavar="MODEL", help="the model of the request")
    routing.add_argument("--url", default="", metavar="PROVIDER:MODEL", help="what the URL names, if anything")
    routing.add_argument("--kind", default="", help="the kind of the request, as in [routing.kinds] of config.toml")
    routing.add_argument("--explain", action="store_true", help="and why")
    trying = commands.add_parser("try", help="ask a small real model on this machine, without any key")
    trying.add_argument("prompt", nargs="?", default="What is the capital of France?")
    trying.add_argument("--model", default="smollm2-135m")
    trying.add_argument("--max-tokens", type=int, default=128)
    return parser


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--local", nargs="?", const="smollm2-135m", default="", metavar="MODEL", help=_LOCAL)
