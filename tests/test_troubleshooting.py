"""docs/troubleshooting.md quotes what the code says, and leaves out nothing that users can meet."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from messages import HOLE, pattern, source_texts

PAGE = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text("utf-8")
OURS = PAGE.partition("## It does not start")[2]

# What is no message: files of texts for programs or models, and those that only tell what is well.
ELSEWHERE = {
    "cli/commands.py": "shown by --help",
    "cli/completion.py": "for shells",
    "cli/route.py": "an answer, not a fault",
    "cli/import_": "what it says of each thing that it takes over or leaves: docs/migration.md",
    "cli/init/asking.py": "questions",
    "cli/certify": "what it asks models, and its report: docs/certify.md",
    "cli/doctor": "each has its fix beside it",
    "http/status.py": "for Prometheus",
    "metrics.py": "for Prometheus",
    "dialects/limits.py": "patterns of what providers say; what is said to clients is tested below",
    "dialects/errors.py": "the same",
    "dialects/openai_chat/notations.py": "patterns of what models say",
    "dialects/openai_chat/shim.py": "said to models",
    "http/access.py": "the line of each request",
    "ledger/bundle.py": "what a report says of itself",
    "dashboard/": "said on a page, with the way on; what keeps from the pages is tested below",
}
NO_FAULT = (
    r"^\[",  # said to models in place of what they cannot read
    r"^(Answer with|Do not use search|You are a helpful|Results for|Result of|For real work)",  # said to models; the end of `try`
    r"^(Claude Code on|Claude Code Proxy on|Start Claude Code|Another port|Any free one)",  # the way on
    r"^(Run|Run the|Make|Check|Reinstall|Delete|Do not use it|See with|This version)\b.*",  # what mends it, said beside the fault
    r"A demo model of",
    r"^Prompts and answers are (not )?in it\.$|Look through it before you pass it on\.$",  # what a report holds
    r"^SELECT ",
)


def quotes() -> list[str]:
    """The messages that the page quotes: the code spans of first columns, and of lines outside of tables."""
    rows = [line.split(" | ")[0] for line in OURS.splitlines() if line.startswith("| `")]
    lines = [line for line in OURS.splitlines() if line.startswith("`")]
    return sorted({quote for line in rows + lines for quote in re.findall(r"`([^`]+)`", line)})


@cache
def said() -> set[str]:
    return {text for texts in source_texts().values() for text in texts}


@pytest.mark.parametrize("quote", quotes())
def test_a_quoted_message_is_one_that_the_code_says(quote: str) -> None:
    wanted = pattern(quote.removesuffix(HOLE).removeprefix(HOLE).strip())
    assert any(wanted.search(text) for text in said()), quote


def faults() -> list[str]:
    """Sentences of the code that tell of a fault."""
    return sorted(
        {
            text.strip()
            for file, texts in source_texts().items()
            if not file.startswith(tuple(ELSEWHERE))
            for text in texts
            if len(re.findall(r"[a-z']{2,}", text)) >= 4
            and re.match(rf"[A-Z{HOLE}]", text.strip())
            and re.search(rf"[.?{HOLE}]$", text.strip())
            and not any(re.search(sign, text.strip()) for sign in NO_FAULT)
        }
    )


def test_every_fault_that_users_can_meet_is_on_the_page() -> None:
    known = [pattern(quote.removesuffix(HOLE).removeprefix(HOLE).strip()) for quote in quotes() if len(quote) > 12]
    assert [text for text in faults() if not any(one.search(text) for one in known)] == []
