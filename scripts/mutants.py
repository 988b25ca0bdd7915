"""Small mistakes made on purpose in the code that keeps others out and holds retries back: do its tests notice?

    python scripts/mutants.py [FILE …] [--least PERCENT]

Each mistake is one change of one module, in a process of its own that runs that module's tests. What they do not
notice is listed; the last line is the share that they do. No mutant changes a file: an import hook puts it in.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "claude_code_proxy"
LONGEST = 120
"""Seconds after which a mutant counts as noticed: it never ends."""

TESTS: dict[str, list[str]] = {
    "http/guard.py": ["tests/http/test_guard.py", "tests/http/test_any_credentials.py", "tests/edge/test_bind.py"],
    "http/origin.py": ["tests/http/test_origin.py", "tests/http/test_any_credentials.py"],
    "breaker.py": ["tests/test_breaker.py", "tests/test_attempts.py"],
    "budget.py": ["tests/test_breaker.py", "tests/test_attempts.py"],
    "cooldown.py": ["tests/test_breaker.py", "tests/test_attempts.py"],
    "health.py": ["tests/test_health.py", "tests/test_attempts.py"],
    "policy.py": ["tests/test_policy.py", "tests/test_attempts.py"],
}
"""The modules, and the tests that are to notice; the quick ones first."""

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
}
_NAMED = {"min": "max", "max": "min", "all": "any", "any": "all", "removeprefix": "removesuffix", "lower": "upper"}


def _replaced(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be by mistake."""
    match node:
        case ast.Compare(left, [operator], [right]):
            yield ast.Compare(left, [_COMPARED[type(operator)]()], [right])
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), values)
            yield from (value for value in values)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, operator, right) if type(operator) in _COUNTED:
            yield ast.BinOp(left, _COUNTED[type(operator)](), right)
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(str(value)):
            yield ast.Constant(f"x{value}")
        case ast.Constant(bytes(value)):
            yield ast.Constant(b"x" + value)
        case ast.IfExp(test, body, other):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, other)
        case ast.Name(name, ast.Load()) if name in _NAMED:
            yield ast.Name(_NAMED[name], ast.Load())
        case ast.Attribute(value, name, ast.Load()) if name in _NAMED:
            yield ast.Attribute(value, _NAMED[name], ast.Load())
        case ast.If(test, body, other):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, other)
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield ast.Pass()


_UNSEEN = (ast.JoinedStr, ast.AnnAssign)


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every place of a tree: the parent, its field, and the place in it.

    Types, docstrings, slots, words for people and the log are left out: they do nothing that a test should hold.
    """
    for name, held in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"} or (isinstance(node, _UNSEEN) and name != "value"):
            continue
        for at, one in enumerate(held) if isinstance(held, list) else [(None, held)]:
            if not isinstance(one, ast.AST) or _is_words(one):
                continue
            yield node, name, at
            yield from _places(one)


def _is_words(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant()) | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.If(ast.Name("TYPE_CHECKING")) | ast.Assign([ast.Name("__slots__" | "_log")]):
            return True
        case ast.Constant(str(text)):
            return " " in text.strip()
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("_log")))):
            return True
    return False


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Every mutant of a module: what it is, and its source."""
    tree = ast.parse(source)
    for number, (parent, name, at) in enumerate(list(_places(tree))):
        held = getattr(parent, name)
        node = held if at is None else held[at]
        for other in _replaced(node):
            changed = copy.deepcopy(tree)
            where, field, place = list(_places(changed))[number]
            new = copy.deepcopy(other)
            if place is None:
                setattr(where, field, new)
            else:
                getattr(where, field)[place] = new
            told = ast.unparse(new).partition("\n")[0]
            yield (
                f"{node.lineno}: {ast.unparse(node).partition(chr(10))[0]} → {told}",
                ast.unparse(ast.fix_missing_locations(changed)),
            )


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module this source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual kind of module."""
        del spec

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)  # noqa: S102 -- our own source, changed


def _unnoticed(file: str, source: str) -> bool:
    """Whether the tests of a module pass with this source in its place."""
    done, doing = os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        name = "claude_code_proxy." + file.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, _Instead(name, SOURCE / file, source))
        import pytest  # noqa: PLC0415 -- in the parent already

        code = pytest.main(
            ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "--hypothesis-profile=mutants", *TESTS[file]]
        )
        os.write(doing, b"%d" % int(code))
        os._exit(0)
    os.close(doing)
    ready, _, _ = select.select([done], [], [], LONGEST)
    told = os.read(done, 8) if ready else b""
    os.close(done)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return told == b"0"


def _score(file: str, say: Callable[[str], None]) -> tuple[int, int]:
    """How many mutants of a module there are, and how many its tests notice."""
    source = (SOURCE / file).read_text("utf-8")
    if not _unnoticed(file, source):
        raise SystemExit(f"the tests of {file} fail without any mistake")
    found = list(mutants(source))
    missed = [told for told, changed in found if _unnoticed(file, changed)]
    for told in missed:
        say(f"{file}:{told}")
    say(f"{file}: {len(found) - len(missed)} of {len(found)} noticed")
    return len(found), len(found) - len(missed)


def main() -> int:
    """Try the files that are named, or all."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("files", nargs="*", choices=[[], *TESTS], metavar="FILE")
    asked.add_argument("--least", type=float, default=85.0, metavar="PERCENT")
    options = asked.parse_args()
    os.chdir(ROOT)
    for name in ("pytest", "hypothesis", "aiohttp", "starlette.applications", "uvicorn", "orjson", "msgspec"):
        importlib.import_module(name)
    from hypothesis import HealthCheck, settings  # noqa: PLC0415 -- it is heavy

    quick = settings(deadline=None, max_examples=25, derandomize=True, database=None)
    settings.register_profile("mutants", quick, suppress_health_check=list(HealthCheck))
    scores = [_score(file, lambda line: print(line, flush=True)) for file in options.files or TESTS]
    share = 100 * sum(noticed for _, noticed in scores) / sum(number for number, _ in scores)
    print(f"{share:.1f} % noticed")
    return int(share < options.least)


if __name__ == "__main__":
    raise SystemExit(main())
