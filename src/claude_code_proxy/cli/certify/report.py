"""The report: a line for each check as it comes, the grade, the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from claude_code_proxy.cli.certify.profile import clash
from claude_code_proxy.cli.certify.verdicts import GRADES, STYLES, grade
from claude_code_proxy.cli.paint import painted, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from claude_code_proxy.cli.certify.run import Report
    from claude_code_proxy.cli.certify.verdicts import Grade, Result

_WIDE: Final = max(map(len, STYLES))
_COLOURS: Final[Mapping[Grade, str]] = dict(zip(GRADES, ("good", "note", "bad"), strict=True))


def line(result: Result, titles: Mapping[str, str], out: TextIO) -> str:
    """The line of a check, and another where the profile changes it."""
    mark = painted(f"{result.level:<{_WIDE}}", STYLES[result.level], out)
    wide = max(map(len, titles.values()))
    lines = [f"  {mark}  {titles[result.name]:<{wide}}  {printable(result.text)}"]
    if after := result.with_profile:
        changed = ", ".join(f"{name} = {value!r}" for name, value in result.quirks.items())
        lines.append(f"  {'':<{_WIDE}}  {'':<{wide}}  → with {changed}: {after.level}, {printable(after.text)}")
    return "\n".join(lines) + "\n"


def ending(report: Report, out: TextIO, *, named_elsewhere: bool) -> str:
    """What stands under the lines."""
    own, mended = grade(report.results), grade(report.results, with_profile=True)
    asked = report.asked
    lines = ["", f"Works with Claude Code: {painted(own, _COLOURS[own], out)}"]
    if report.profile:
        if mended != own:
            lines += [f"With the profile below: {painted(mended, _COLOURS[mended], out)}"]
        lines += ["", f"# {_paste(report)}", *report.profile.splitlines()]
    elif named_elsewhere:
        lines += ["What a proxy elsewhere would need cannot be tried; without --base-url it is."]
    spent = f"{asked.requests} requests, {asked.input:,} tokens in and {asked.output:,} out."
    return "\n".join([*lines, "", painted(spent, "faint", out), ""])


def _paste(report: Report) -> str:
    held = clash(report.profile)
    where = f"in place of your {held} in config.toml" if held else "into config.toml"
    if report.mends:
        return f"Paste this {where}; tried so, it mends: {', '.join(report.mends)}."
    return f"Paste this {where}."


def record(report: Report, name: str, titles: Mapping[str, str]) -> str:
    """The same for programs."""
    told = {
        "model": name,
        "grade": grade(report.results),
        "grade_with_profile": grade(report.results, with_profile=True),
        "checks": [{"title": titles[one.name], **msgspec.to_builtins(one)} for one in report.results],
        "window": report.window,
        "profile": report.profile,
        "mends": report.mends,
        "asked": report.asked,
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n"
