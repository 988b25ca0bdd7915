"""`claude-code-proxy doctor`: what is set up, what works, and how to mend the rest, on one screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from claude_code_proxy import __version__
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.paint import painted

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from claude_code_proxy.cli.doctor.findings import Section


def command(arguments: Namespace) -> int:
    """Look and tell. 0: all is well, 1: something is broken. Raises `CommandError` (2) if it cannot look."""
    sections = _looked(arguments)
    sys.stdout.write(_json(sections) if arguments.json else _report(sections))
    return int(any(finding.level == "bad" for section in sections for finding in section.findings))


def _looked(arguments: Namespace) -> list[Section]:
    from claude_code_proxy.cli.doctor import client, configured, providers, proxy
    from claude_code_proxy.settings import SettingsError, load_settings

    settings, fault = None, ""
    try:
        settings = load_settings()
    except SettingsError as cause:
        fault = str(cause)
    if settings and (strange := providers.unknown(settings, arguments.providers)):
        message = f"There is no provider {strange[0]!r}, but {', '.join(settings.providers)}."
        raise CommandError(message, 2)
    sections = [configured.look(settings, fault)]
    if settings:
        options = {"offline": arguments.offline, "live": arguments.live}
        sections.append(providers.look(settings, arguments.providers, **options))
    sections.append(client.look(arguments.port))
    sections.append(proxy.look(arguments.port, settings.proxy_api_key if settings else ""))
    return sections


def _report(sections: Sequence[Section]) -> str:
    from claude_code_proxy.cli.doctor.findings import STYLES

    lines = [painted(f"Claude Code Proxy {__version__}", "strong", sys.stdout)]
    for section in sections:
        lines += ["", painted(section.title, "strong", sys.stdout)]
        for finding in section.findings:
            mark = painted(f"{finding.level:<4}", STYLES[finding.level], sys.stdout)
            lines.append(f"  {mark}  {finding.text}")
            if finding.fix:
                lines.append(f"        → {finding.fix}")
    bad, notes = (
        sum(one.level == level for section in sections for one in section.findings) for level in ("bad", "note")
    )
    told = f"{bad} broken, {notes} to know." if bad or notes else "All is well."
    return "\n".join([*lines, "", told, ""])


def _json(sections: Sequence[Section]) -> str:
    import msgspec

    told = {
        "version": __version__,
        "ok": not any(finding.level == "bad" for section in sections for finding in section.findings),
        **{
            section.title.lower().replace(" ", "_"): {"findings": section.findings, **section.detail}
            for section in sections
        },
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"
