"""`claude-code-proxy certify MODEL`: does Claude Code work with this model, what is missing, and what would mend it."""

from __future__ import annotations

import logging
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from claude_code_proxy.cli.ending import CommandError, loaded
from claude_code_proxy.cli.paint import painted

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import AsyncIterator, Sequence

    from claude_code_proxy.cli.certify.checks import Check
    from claude_code_proxy.cli.certify.run import Report, Subject
    from claude_code_proxy.cli.certify.verdicts import Result


def command(arguments: Namespace) -> int:
    """Certify. 0: it works, 1: with limits, 2: it does not. Raises `CommandError` (3) if that cannot be found out."""
    import asyncio

    from claude_code_proxy.cli.certify.run import COULD_NOT
    from claude_code_proxy.cli.certify.verdicts import GRADES, grade
    from claude_code_proxy.cli.local_proxy import NotStartedError
    from claude_code_proxy.local import LocalModelError

    try:
        report = asyncio.run(_certified(arguments, _chosen(arguments.only)))
    except (LocalModelError, NotStartedError) as cause:
        raise CommandError(str(cause), COULD_NOT) from None
    return GRADES.index(grade(report.results))


def _chosen(names: Sequence[str]) -> Sequence[Check]:
    """The checks of these names, in the order of the table; all if there are none."""
    from claude_code_proxy.cli.certify.checks import CHECKS
    from claude_code_proxy.cli.certify.run import COULD_NOT

    known = [check.name for check in CHECKS]
    if strange := [name for name in names if name not in known]:
        raise CommandError(f"There is no check {strange[0]!r}, but {', '.join(known)}.", COULD_NOT)
    return [check for check in CHECKS if not names or check.name in names]


async def _certified(arguments: Namespace, checks: Sequence[Check]) -> Report:
    from claude_code_proxy.cli.certify.report import ending, line, record
    from claude_code_proxy.cli.certify.run import certified
    from claude_code_proxy.cli.try_ import quiet

    titles = {check.name: check.title for check in checks}

    def tell(result: Result) -> None:
        if not arguments.json:
            sys.stdout.write(line(result, titles, sys.stdout))
            sys.stdout.flush()

    async with _subject(arguments) as subject:
        _agreed(subject, checks, arguments)
        if not arguments.json:
            sys.stdout.write(painted(subject.name, "strong", sys.stdout) + "\n\n")
        with quiet(logging.CRITICAL):  # what fails is in the report
            report = await certified(subject, checks, tell)
        if arguments.json:
            sys.stdout.write(record(report, subject.name, titles))
        else:
            sys.stdout.write(ending(report, sys.stdout, named_elsewhere=not subject.target))
    return report


@asynccontextmanager
async def _subject(arguments: Namespace) -> AsyncIterator[Subject]:
    """What is to be certified, served by this machine if that was asked for."""
    if not arguments.local:
        yield _named(arguments, {})
        return
    from claude_code_proxy.cli.local_proxy import PROVIDER, extra_is_missing, rows
    from claude_code_proxy.cli.progress import shown
    from claude_code_proxy.local import INSTALL, LocalModelError
    from claude_code_proxy.local.fetch import find_model
    from claude_code_proxy.local.server import local_server

    if extra_is_missing():
        raise LocalModelError('The local model needs the optional extra "local".', f"Run: {INSTALL}")
    model = find_model(arguments.certify_model)
    with shown(model) as (progress, finish):
        async with local_server(model, progress=progress) as upstream:
            finish()
            arguments.url = f"{PROVIDER}:{model.name}"
            yield _named(arguments, rows(upstream))


def _named(arguments: Namespace, extra: dict[str, Any]) -> Subject:
    """The model that was named. Raises `CommandError` where it leads nowhere."""
    from claude_code_proxy.cli.certify.run import COULD_NOT, Subject
    from claude_code_proxy.hosts import is_near
    from claude_code_proxy.routing import route
    from claude_code_proxy.settings import load_settings
    from claude_code_proxy.wire.failure import ApiError

    settings = load_settings(providers=extra) if extra else loaded(COULD_NOT)
    model, pinned = arguments.certify_model, unquote(arguments.url).strip("/")
    if arguments.base_url:
        parts = urlsplit(arguments.base_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query:
            message = f"--base-url must be an http:// or https:// address without a query, not {arguments.base_url!r}."
            raise CommandError(message, COULD_NOT)
        return Subject(model, settings, base_url=arguments.base_url.rstrip("/"), path=pinned, long=arguments.long)
    try:
        target = route(pinned, model, settings)
        target.provider.check()
    except ApiError as cause:
        raise CommandError(str(cause), COULD_NOT) from None
    near = is_near(target.provider.base_url)
    return Subject(target.model, settings, target, "", str(target), near, arguments.long, extra)


def _agreed(subject: Subject, checks: Sequence[Check], arguments: Namespace) -> None:
    """Say what it takes, and ask a person whether to, unless it costs nothing. Raises `CommandError` for a no."""
    from claude_code_proxy.cli.certify.run import COULD_NOT

    requests = 1 + sum(check.requests for check in checks)
    tokens = sum(check.tokens for check in checks)
    at = subject.target.provider.host if subject.target else subject.base_url
    told = f"About {requests} requests and {tokens:,} tokens at {at}; up to three times that where a model is unsure.\n"
    sys.stderr.write(told)
    if subject.near or arguments.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("Nothing was asked.", COULD_NOT)
