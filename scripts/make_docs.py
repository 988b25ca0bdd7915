"""Make the generated pages of docs/ and .env.example from the tables that the code uses: `python scripts/make_docs.py`.

With `--check` nothing is written; the exit status says whether the pages are up to date.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variables import Group, UndocumentedError, Variable, groups, once, provider_notes, provider_rows

from claude_code_proxy.cli.commands import COMMANDS, PROGRAM
from claude_code_proxy.dialects.gemini.finish import STOP_REASONS as GEMINI_REASONS
from claude_code_proxy.dialects.models import rules
from claude_code_proxy.dialects.openai_chat.reply import STOP_REASONS as CHAT_REASONS
from claude_code_proxy.dialects.openai_responses.reply import STOP_REASONS as RESPONSES_REASONS
from claude_code_proxy.providers import load_providers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_code_proxy.providers import Provider

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COLUMNS = ("openai_chat", "openai_responses", "gemini", "anthropic")
STOPS = {
    "openai_chat": ("finish_reason", CHAT_REASONS),
    "openai_responses": ("status or incomplete_details.reason", RESPONSES_REASONS),
    "gemini": ("finishReason", GEMINI_REASONS),
}
NOTE = "<!-- made by scripts/make_docs.py: change the tables it reads, not this page -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def told(row: dict[str, Any], column: str, data: dict[str, Any]) -> str:
    """What a row says of a dialect; a dash where it is about the format of another."""
    of_all = {"openai_chat", "gemini"} <= row.keys()
    return str(row.get(column) or (data[f"{column}_all"] if of_all else "–"))


def translation() -> str:
    data: dict[str, Any] = tomllib.loads((DOCS / "translation.toml").read_text("utf-8"))
    parts = [NOTE, "# What becomes of each field and block\n"]
    parts.append("`anthropic` passes through, so everything not named stays as it came; the others are translated.\n")
    for title, kind, key in (
        ("Requests", "request", "field"),
        ("Blocks", "block", "block"),
        ("Replies", "reply", "said"),
    ):
        rows = [(row[key], *(told(row, name, data) for name in COLUMNS)) for row in data[kind]]
        parts += [f"\n## {title}\n", table((key, *COLUMNS), rows)]
    for name, (field, stops) in STOPS.items():
        reasons = [(f"`{finish}`", f"`{reason}`") for finish, reason in stops.items()]
        parts += [f"\n## Stop reasons: {name}\n", table((field, "stop_reason"), reasons)]
    parts.append(
        "\nAnything else is `end_turn`. With a tool call `end_turn` becomes `tool_use`, and without one the reverse.\n"
    )
    return "\n".join(parts)


def providers() -> str:
    notes, written = provider_notes(), provider_rows()
    rows = [
        (
            f"[{notes[row.name]['title']}](providers/{row.name}.md)",
            f"`{row.name}`" + "".join(f", `{alias}`" for alias in row.aliases),
            _dialects(row),
            written[row.name].get("base_url", "–"),
            f"`{row.base_url_env}`" if row.base_url_env else "–",
            notes[row.name].get("credentials") or _key_of(row),
            ", ".join(f"`{name}` = {_quirk(value)}" for name, value in row.quirks.items()) or "–",
        )
        for row in load_providers({}).values()
    ]
    head = ("provider", "name in URLs", "dialect", "address", "variable that moves it", "key", "quirks")
    return "\n".join([NOTE, "# Built-in providers\n", table(head, rows)])


def _quirk(value: object) -> str:
    return ", ".join(f"`{key}` {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def _key_of(row: Provider) -> str:
    return f"`{row.api_key_env}`" + (" (optional)" if row.key_optional else "") if row.api_key_env else "none needed"


def provider(name: str, group: Group) -> str:
    row, note = load_providers({})[name], provider_notes()[name]
    parts = [NOTE, f"# {note['title']}\n", f"{note['about'].strip()}\n"]
    parts += ["## Start\n", *_start(row, note, group)]
    parts += ["## Settings\n", _settings_table([*group.variables, _dialect_of(name, row.dialect)])]
    named = ", ".join(f"`{one}`" for one in (row.name, *row.aliases))
    parts.append(
        f"Name in URLs and models: {named}. What becomes of a request: [`{row.dialect}`](../translation.md).\n"
    )
    return "\n".join(parts)


UV = "python3 -m venv .uv && .uv/bin/pip install -q uv"
EXTRAS = {"google": "vertex", "aws": "bedrock"}
"""The optional group that a way to prove who asks needs."""


def _start(row: Provider, note: dict[str, Any], group: Group) -> list[str]:
    """All that it takes to have Claude Code answered by this provider, in a clone of the repository."""
    extra = f"--extra {EXTRAS[row.auth]} " if row.auth in EXTRAS else ""
    serve = f"uv run {extra}uvicorn server:app --host 127.0.0.1 --port 4000"
    model = note["model"]
    claude = f"ANTHROPIC_BASE_URL=http://localhost:4000/{row.name}:{model} ANTHROPIC_AUTH_TOKEN=any claude"
    parts: list[str] = []
    if setup := note.get("setup") or _setup(row, group):
        keys = f" (keys: <{note['key']}>)" if "key" in note else ""
        parts += [f"In a file `.env` beside `server.py`, in a clone of this repository{keys}:\n"]
        parts += ["```dotenv", setup.strip(), "```\n"]
    parts += [
        f"There, with [uv](https://docs.astral.sh/uv/) (or `{UV}`, and `.uv/bin/uv` for `uv`):\n",
        *("```bash", serve, "```\n"),
        "In another terminal, with [Claude Code](https://code.claude.com):\n",
        *("```bash", claude, "```\n"),
    ]
    if not row.unlisted:
        parts.append(f"`curl http://localhost:4000/{row.name}:{model}/v1/models` shows that model, `/v1/models` all.\n")
    if not row.serves_claude:
        parts.append(
            "Claude Code takes a model that it does not know for one that holds a million tokens. Tell it what yours\n"
            "holds, so that it shortens the conversation in time: `CLAUDE_CODE_MAX_CONTEXT_TOKENS=131072` in the line\n"
            "above, for example.\n"
        )
    return parts


def _setup(row: Provider, group: Group) -> str:
    """The line of a .env that a provider needs: its key, or else its address."""
    wanted = row.api_key_env if row.api_key_env and not row.key_optional else row.base_url_env
    return "".join(one.line for one in group.variables if one.name == wanted and not one.line.endswith('=""'))


def _dialect_of(name: str, dialect: str) -> Variable:
    return Variable(f"{name.upper().replace('-', '_')}_DIALECT", "the format to speak with it", dialect)


def _settings_table(variables: Iterable[Variable]) -> str:
    rows = [(f"`{one.name}`", one.meaning, f"`{one.default}`" if one.default else "–") for one in variables]
    return table(("variable", "meaning", "default"), rows)


def settings(found: Sequence[Group]) -> str:
    parts = [
        NOTE,
        "# Settings\n",
        "From the environment, from `.env` beside `server.py`, or from `.env` in your config folder, in this order.\n"
        "More providers, what requests to one carry, and windows of models go into `config.toml` in that folder:\n"
        "see [config.toml](config.md).\n",
    ]
    for group in once(found):
        title = f"[{group.title}](providers/{group.name}.md)" if group.name else group.title
        parts += [f"## {title}\n", _settings_table(group.variables)]
    parts += [
        "## Every provider\n",
        "`{NAME}_DIALECT` makes a provider speak another format, where it has one. For example: "
        "`OPENROUTER_DIALECT=anthropic`.\n",
    ]
    return "\n".join(parts)


ENV_HEAD = """\
# Made by scripts/make_docs.py: change the tables it reads, not this file.
#
# Copy to .env beside server.py and fill in what you use. The real environment wins over this file.
# Nothing in here is expanded: write values as they are. docs/settings.md tells more.
"""


def env_example(found: Sequence[Group]) -> str:
    parts = [ENV_HEAD]
    for group in once(found):
        lines: list[str] = []
        for one in group.variables:
            if one.env_file:
                lines += [] if one.meaning.startswith("its ") else [f"# {one.meaning[0].upper()}{one.meaning[1:]}"]
                lines.append(one.line if group.set else f"#{one.line}")
        parts.append("\n".join([f"## {group.title}", *lines]) + "\n")
    return "\n".join(parts)


def _dialects(row: Provider) -> str:
    """The dialect it speaks, and others for some of its models."""
    by_model = [
        f"`{one.dialect}` for {', '.join(f'`{pattern}`' for pattern in one.match)}"
        for one in row.model_dialect
        if one.dialect != row.dialect
    ]
    return "; ".join([f"`{row.dialect}`", *by_model])


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


def commands() -> str:
    parts = [NOTE, "# Commands\n"]
    parts.append(
        "In a clone: `uv run claude-code-proxy …`. `--help` tells the same as this page; "
        "options of `serve` may stand alone.\n"
    )
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        command.options(parser)
        rows = [_option(one) for one in parser._actions if one.help != argparse.SUPPRESS]  # noqa: SLF001 # it has no other way
        parts += [f"## {name}\n", f"{command.help[0].upper()}{command.help[1:]}.\n"]
        parts += [
            "```bash",
            *(f"{PROGRAM} {line}".rstrip() + f"  # {said}" for line, said in command.examples),
            "```\n",
        ]
        parts += [table(("option", "meaning"), rows)] if rows else []
    return "\n".join(parts)


def _option(one: argparse.Action) -> tuple[str, str]:
    """An option as `--help` shows it, and what it means."""
    value = one.metavar or (f"{{{','.join(map(str, one.choices))}}}" if one.choices else one.dest.upper())
    name = ", ".join(one.option_strings) if one.option_strings else str(one.metavar or one.dest)
    takes = "" if one.nargs == 0 or not one.option_strings else f" {value}"
    meaning = (one.help or "").replace("%(default)s", str(one.default))
    if not meaning:
        meaning = f"one of {', '.join(map(str, one.choices))}" if one.choices else f"default: {one.default}"
    return f"`{name}{takes}`", meaning


def pages() -> dict[Path, str]:
    """Every generated file with what it should hold. Raises `UndocumentedError`."""
    found = groups()
    made = {"translation.md": translation(), "providers.md": providers(), "models.md": models()}
    made["commands.md"] = commands()
    made["settings.md"] = settings(found)
    made |= {f"providers/{group.name}.md": provider(group.name, group) for group in found if group.name}
    return {ROOT / ".env.example": env_example(found), **{DOCS / name: text for name, text in made.items()}}


def main(arguments: Sequence[str]) -> int:
    try:
        made = pages()
    except UndocumentedError as cause:
        sys.stderr.write(f"{cause}\n")
        return 1
    stale = [path for path, text in made.items() if not _same(path, text)]
    left = [path for path in (DOCS / "providers").glob("*.md") if path not in made]
    if "--check" in arguments:
        if stale or left:
            names = ", ".join(str(path.relative_to(ROOT)) for path in (*stale, *left))
            sys.stderr.write(f"out of date: {names}. Run: python scripts/make_docs.py\n")
        return bool(stale or left)
    for path in left:
        path.unlink()
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], "utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
