"""Make the generated pages of docs/ from the tables that the code uses: `python scripts/make_docs.py`.

With `--check` nothing is written; the exit status says whether the pages are up to date.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects.gemini.finish import STOP_REASONS as GEMINI_STOP_REASONS
from claude_code_proxy.dialects.models import rules
from claude_code_proxy.dialects.openai_chat.reply import STOP_REASONS
from claude_code_proxy.providers import load_providers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCS = Path(__file__).parents[1] / "docs"
COLUMNS = ("openai_chat", "gemini", "anthropic")
STOPS = {"openai_chat": ("finish_reason", STOP_REASONS), "gemini": ("finishReason", GEMINI_STOP_REASONS)}
NOTE = "<!-- made by scripts/make_docs.py: change the tables it reads, not this page -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def told(row: dict[str, Any], column: str, passed: str) -> str:
    """What a row says of a dialect; a dash where it is about the format of another."""
    of_all = {"openai_chat", "gemini"} <= row.keys() and column == "anthropic"
    return str(row.get(column, passed if of_all else "–"))


def translation() -> str:
    data: dict[str, Any] = tomllib.loads((DOCS / "translation.toml").read_text("utf-8"))
    parts = [NOTE, "# What becomes of each field and block\n"]
    parts.append("`anthropic` passes through, so everything not named stays as it came; the others are translated.\n")
    for title, kind, key in (
        ("Requests", "request", "field"),
        ("Blocks", "block", "block"),
        ("Replies", "reply", "said"),
    ):
        rows = [(row[key], *(told(row, name, data["anthropic_all"]) for name in COLUMNS)) for row in data[kind]]
        parts += [f"\n## {title}\n", table((key, *COLUMNS), rows)]
    for name, (field, stops) in STOPS.items():
        reasons = [(f"`{finish}`", f"`{reason}`") for finish, reason in stops.items()]
        parts += [f"\n## Stop reasons: {name}\n", table((field, "stop_reason"), reasons)]
    parts.append(
        "\nAnything else is `end_turn`. With a tool call `end_turn` becomes `tool_use`, and without one the reverse.\n"
    )
    return "\n".join(parts)


def providers() -> str:
    rows = [
        (
            f"`{row.name}`" + "".join(f", `{alias}`" for alias in row.aliases),
            f"`{row.dialect}`",
            row.base_url or "–",
            f"`{row.base_url_env}`" if row.base_url_env else "–",
            f"`{row.api_key_env}`" + (" (optional)" if row.key_optional else "") if row.api_key_env else "none needed",
            ", ".join(f"`{name}` = {value}" for name, value in row.quirks.items()) or "–",
        )
        for row in load_providers({}).values()
    ]
    head = ("name in URLs", "dialect", "address", "variable that moves it", "key", "quirks")
    return "\n".join([NOTE, "# Built-in providers\n", table(head, rows)])


def models() -> str:
    rows = [
        (
            ", ".join(f"`{one}`" for one in rule.match),
            rule.context or "?",
            rule.max_output or "?",
            ", ".join(rule.efforts) or "–",
            "–".join(map(str, rule.thinking_budget)) or "–",
            "yes" if rule.sampling else "no",
            "yes" if rule.stop else "no",
        )
        for rule in rules()
    ]
    head = ("models", "context", "most output", "effort levels", "thinking tokens", "temperature", "stop sequences")
    return "\n".join(
        [NOTE, "# What is known of models\n", "The first row that matches a name counts.\n", table(head, rows)]
    )


PAGES = {"translation.md": translation, "providers.md": providers, "models.md": models}


def main(arguments: Sequence[str]) -> int:
    stale = [name for name, make in PAGES.items() if not _same(DOCS / name, make())]
    if "--check" in arguments:
        if stale:
            sys.stderr.write(f"out of date: {', '.join(stale)}. Run: python scripts/make_docs.py\n")
        return bool(stale)
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), "utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
