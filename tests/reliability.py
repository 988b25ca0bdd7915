"""Which tests prove which rows of reliability.toml, and the page of it.

What a test proves is read from its source, so a page can be made whatever was run; figures are those of the last run
that had them.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"
HEAD = """<!-- made by the tests: WRITE_RELIABILITY=1 pytest writes what they prove, and the figures of those that ran -->

# What happens when something fails

Each row is proven by the tests beside it. Figures were measured by them on a small
machine that had other work, too.
"""


@dataclass(frozen=True)
class Row:
    """One thing that may go wrong. `later`: why it needs no test yet."""

    what: str
    later: str = ""


@dataclass(frozen=True)
class Group:
    """Rows that belong together."""

    title: str
    about: str
    rows: Mapping[str, Row]


def groups() -> list[Group]:
    """The rows, in order."""
    read = tomllib.loads((TESTS / "reliability.toml").read_text("utf-8"))
    return [Group(one["title"], one.get("about", ""), _rows(one["rows"])) for one in read["group"]]


def _rows(table: Mapping[str, Any]) -> dict[str, Row]:
    return {name: Row(**row) if isinstance(row, dict) else Row(row) for name, row in table.items()}


def marked() -> dict[str, list[str]]:
    """The tests that prove each row: `file.py` and the test's name."""
    proofs: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("*.py")):
        for row, test in _proofs(ast.parse(file.read_text("utf-8"))):
            where = f"`{file.relative_to(TESTS)}` {test}".strip()
            if where not in proofs[row]:
                proofs[row].append(where)
    return dict(proofs)


def _proofs(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name.removeprefix("test").strip("_").replace("_", " ").lower()
            yield from ((row, name) for decorator in node.decorator_list for row in _named(decorator, "fault"))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "pytestmark":
            yield from ((row, "") for row in _named(node.value, "fault"))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fault":
            yield from ((row, "") for row in _strings(node)[:1])


def _named(node: ast.AST, mark: str) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == mark:
            yield from _strings(call)


_ROW = re.compile(r"\w-\d\d")


def _strings(call: ast.Call) -> list[str]:
    given = (one.value for one in call.args if isinstance(one, ast.Constant))
    return [one for one in given if isinstance(one, str) and _ROW.fullmatch(one)]


_LINE = re.compile(r"^\| (\w-\d\d) \|.*\| ([^|]*) \|$", re.MULTILINE)


def figures() -> dict[str, str]:
    """The figures on the page."""
    text = PAGE.read_text("utf-8") if PAGE.is_file() else ""
    return {row: figure for row, figure in _LINE.findall(text) if figure.strip()}


def page(figures: Mapping[str, str]) -> str:
    """The whole page, with these figures."""
    proofs = marked()
    parts = [HEAD]
    for group in groups():
        parts.append(f"\n## {group.title}\n")
        if group.about:
            parts.append(f"\n{group.about}\n")
        parts.append("\n| | what happens | tests | figure |\n| --- | --- | --- | --- |\n")
        for name, row in group.rows.items():
            tests = "<br>".join(proofs.get(name, ())) or (f"{row.later}" if row.later else "")
            parts.append(f"| {name} | {row.what} | {tests} | {figures.get(name, '')} |\n")
    return "".join(parts)
