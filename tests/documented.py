"""The commands that README.md and docs/ tell users to run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK = re.compile(r"^```(?:bash|sh|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s{2,})#.*$")


def commands(page: Path) -> Iterator[str]:
    """The command lines of a page, without comments and prompts; in blocks with prompts the rest is what is printed."""
    for block in _BLOCK.findall(page.read_text("utf-8")):
        lines = [_COMMENT.sub("", line).strip() for line in block.replace("\\\n", " ").splitlines()]
        asked = [line[2:] for line in lines if line.startswith("$ ")]
        yield from (re.sub(r" {2,}", " ", line) for line in asked or lines if line)


def all_commands() -> dict[str, set[str]]:
    """Every command line, and the pages that show it."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        for command in commands(page):
            found.setdefault(command, set()).add(str(page.relative_to(ROOT)))
    return found


def spans() -> set[str]:
    """What the texts between name as a command line of ours: the words behind the program's name."""
    found: set[str] = set()
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        found |= set(re.findall(r"`(?:uv run (?:--extra \w+ )?)?claude-code-proxy((?: [^`]+)?)`", text))
    return {words.strip() for words in found} - {"…"}
