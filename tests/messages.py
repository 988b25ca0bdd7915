"""The texts that users can meet, as the source has them: whole sentences, `…` in place of what is put in."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "src" / "claude_code_proxy"
HOLE = "…"
_FORMAT = re.compile(r"%(?:\.\d)?[sdgfr]")


def text(node: ast.AST) -> str | None:
    """The text of a literal."""
    match node:
        case ast.Constant(value=str(value)):
            return _FORMAT.sub(HOLE, value)
        case ast.JoinedStr(values=values):
            return "".join(text(value) or HOLE for value in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return f"{text(left) or HOLE}{text(right) or HOLE}" if text(left) or text(right) else None
        case _:
            return None


def texts(file: Path) -> Iterator[str]:
    """Every text in a file that is no docstring."""
    tree = ast.parse(file.read_text("utf-8"))
    whole: list[ast.AST] = [tree]
    while whole:
        node = whole.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if (found := text(node)) is not None:
            yield found
        else:
            whole += ast.iter_child_nodes(node)


@cache
def source_texts() -> dict[str, set[str]]:
    """Every text of the package by its file."""
    return {str(file.relative_to(PACKAGE)): set(texts(file)) for file in sorted(PACKAGE.rglob("*.py"))}


def pattern(quote: str) -> re.Pattern[str]:
    """What a quoted message is searched with."""
    return re.compile(".*".join(re.escape(part) for part in quote.split(HOLE)), re.DOTALL)
