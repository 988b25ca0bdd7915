"""What the code may not do, whatever it is for. Ruff's security rules hold the rest; test_conventions.py runs them."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "claude_code_proxy"
FILES = [ROOT / "server.py", *sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "scripts").glob("*.py"))]

CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "ssl._create_unverified_context",
}
MODULES = {"pickle", "marshal", "shelve", "dill", "jinja2", "mako", "telnetlib", "ftplib", "xml"}
ARGUMENTS = {("shell", True), ("verify", False), ("ssl", False), ("verify_ssl", False), ("check_hostname", False)}
ARGUMENTS |= {("allow_redirects", True), ("follow_redirects", True), ("trust_env", True)}
MUTANTS = ROOT / "scripts" / "mutants.py"
"""Runs this project's own code with mistakes in it: that is what it is for."""
SAFELY = {"dashboard/pages.py": {"jinja2"}, "dashboard/charts.py": {"xml.etree.ElementTree"}}
"""Who may use such a module, and which: templates of its own, with every value escaped; the type of what pygal draws."""
CHANCE = {"attempts.py": {"uniform"}}
"""Who may use numbers that can be foretold, and which: how long to wait is no secret."""


def said(tree: ast.Module) -> Iterator[str]:
    """What of this a file does."""
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                name = ast.unparse(node.func)
                yield from [name] if name in CALLS else []
                for given in node.keywords:
                    value = given.value.value if isinstance(given.value, ast.Constant) else None
                    if (given.arg, value) in ARGUMENTS and isinstance(value, bool):
                        yield f"{given.arg}={value}"
            case ast.Import():
                yield from (one.name for one in node.names if one.name.partition(".")[0] in MODULES)
            case ast.ImportFrom():
                yield from [str(node.module)] if str(node.module).partition(".")[0] in MODULES | {"yaml"} else []
            case ast.Attribute(attr="CERT_NONE" | "CERT_OPTIONAL" | "_create_unverified_context"):
                yield node.attr
            case ast.Assign(targets=[ast.Attribute(attr="check_hostname" | "verify_mode"), *_]):
                yield ast.unparse(node)


def file_name(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.fault("S-07")
@pytest.mark.parametrize("file", [file for file in FILES if file != MUTANTS], ids=file_name)
def test_nothing_banned(file: Path) -> None:
    name = str(file.relative_to(PACKAGE)) if file.is_relative_to(PACKAGE) else file.name
    assert [one for one in said(ast.parse(file.read_text("utf-8"))) if one not in SAFELY.get(name, ())] == []


@pytest.mark.fault("S-07", "S-13")
def test_what_templates_are_given_is_escaped() -> None:
    tree = ast.parse((PACKAGE / "dashboard" / "pages.py").read_text("utf-8"))
    made = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Environment"]
    assert [{given.arg: ast.unparse(given.value) for given in one.keywords}["autoescape"] for one in made] == ["True"]
    templates = (PACKAGE / "dashboard" / "templates").glob("*.html")
    assert [file.name for file in templates if "|safe" in file.read_text("utf-8").replace(" ", "")] == []


@pytest.mark.fault("S-07")
@pytest.mark.parametrize("file", FILES, ids=file_name)
def test_what_is_secret_is_made_by_secrets(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "random"
    }
    taken = {
        one.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "random"
        for one in node.names
    }
    assert used | taken <= CHANCE.get(file.name, set())


@pytest.mark.fault("S-07")
@pytest.mark.parametrize(
    "text",
    [
        "eval(x)",
        "import pickle",
        "from yaml import load",
        "subprocess.run(x, shell=True)",
        "httpx.get(x, verify=False)",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
        "session.get(x, allow_redirects=True)",
    ],
)
def test_it_would_be_found(text: str) -> None:
    assert list(said(ast.parse(text)))


@pytest.mark.fault("S-07")
def test_the_security_rules_of_the_linter_are_on() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S")] == []
    relaxed = {
        where for where, rules in lint["per-file-ignores"].items() if any(rule.startswith("S") for rule in rules)
    }
    assert relaxed == {"tests/**", "benchmarks/**"}  # neither is installed
