"""The rules that keep the parts apart, and the gates every change must pass."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "claude_code_proxy"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES, MAX_FUNCTION = 400, 60

LAYERS: dict[str, set[str]] = {
    "wire": {"wire"},
    "dialects": {"wire", "dialects"},
    "providers": {"wire", "dialects"},
    "tables": set(),
    "engines": {"wire", "dialects"},
    "web_search": {"wire", "dialects", "settings", "engines", "upstream"},
    "kinds": {"wire", "tables"},
    "prices": {"wire", "providers", "tables", "hosts"},
    "settings": {"wire", "dialects", "providers", "tables", "engines", "hosts"},
    "routing": {"wire", "dialects", "providers", "settings", "tables"},
    "policy": {"wire"},
    "hosts": set(),
    "memory": set(),
    "log": set(),
    "breaker": set(),
    "budget": set(),
    "cooldown": set(),
    "health": {"wire", "providers", "routing", "policy", "breaker", "budget", "cooldown"},
    "attempts": {"wire", "routing", "policy", "health"},
    "reload": {"settings"},
    "credentials": {"wire", "providers"},
    "http1": {"connections"},
    "reasons": {"wire"},
    "connections": {"http1"},
    "upstream": {
        "wire",
        "dialects",
        "providers",
        "settings",
        "credentials",
        "hosts",
        "http1",
        "connections",
        "reasons",
    },
    "claude_code": set(),
    "windows": {"wire", "dialects", "providers", "settings", "tables", "calibration"},
    "calibration": {"wire"},
    "drift": {"wire"},
    "ledger": {"wire", "ledger"},
    "exposition": set(),
    "metrics": {"wire", "tables", "drift", "exposition", "ledger"},
    "telemetry": {"settings", "exposition", "metrics"},
    "secret_values": {"providers", "settings"},
    "catalogue": {"wire", "dialects", "providers", "settings", "tables", "windows", "routing", "upstream"},
    "ollama": {"wire", "providers", "settings", "upstream"},
    "gateway": {
        "wire",
        "dialects",
        "providers",
        "settings",
        "tables",
        "routing",
        "attempts",
        "health",
        "web_search",
        "windows",
        "calibration",
        "upstream",
        "ollama",
        "ledger",
    },
    "http": {
        "prices",
        "tables",
        "hosts",
        "wire",
        "dialects",
        "providers",
        "settings",
        "routing",
        "kinds",
        "upstream",
        "catalogue",
        "claude_code",
        "gateway",
        "health",
        "ollama",
        "calibration",
        "drift",
        "exposition",
        "metrics",
        "ledger",
        "http",
        "secret_values",
    },
    "dashboard": {"wire", "prices", "settings", "health", "metrics", "ledger", "http", "dashboard"},
    "app": {
        "dashboard",
        "wire",
        "settings",
        "reload",
        "upstream",
        "catalogue",
        "calibration",
        "log",
        "memory",
        "metrics",
        "ledger",
        "telemetry",
        "gateway",
        "health",
        "ollama",
        "http",
    },
    "local": {"local"},
    "cli": {
        "wire",
        "providers",
        "tables",
        "settings",
        "routing",
        "windows",
        "claude_code",
        "catalogue",
        "hosts",
        "upstream",
        "app",
        "local",
        "ledger",
        "log",
        "cli",
        "secret_values",
    },
}
"""What each part may import of the package, besides `claude_code_proxy` itself."""


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def imported(file: Path) -> set[str]:
    """The full names of the modules that a file imports, the members of packages among them."""
    names: set[str] = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def own(file: Path) -> Iterator[list[str]]:
    """What a file imports of the package, as parts of its path."""
    for name in imported(file):
        package, _, rest = name.partition(".")
        if package == "claude_code_proxy" and rest:
            yield rest.split(".")


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def by_name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_imports_go_one_way(file: Path) -> None:
    part = part_of(file)
    if part in {"__init__", "__main__"}:
        return
    parts = {names[0] for names in own(file)} - {"__version__"}
    assert parts <= LAYERS[part] | {part}


@pytest.mark.parametrize("file", sorted((PACKAGE / "dialects").rglob("*.py")), ids=by_name)
def test_a_dialect_knows_no_other(file: Path) -> None:
    here = file.relative_to(PACKAGE / "dialects").parts[0].removesuffix(".py")
    if here == "__init__":
        return
    dialects = {"anthropic", *(folder.name for folder in (PACKAGE / "dialects").iterdir() if folder.is_dir())}
    others = {names[1] for names in own(file) if names[0] == "dialects" and len(names) > 1} & dialects
    assert others <= {here}


ONLY: list[tuple[str, set[str]]] = [
    ("aiohttp", {"upstream.py", "connections.py", "http1.py", "reasons.py", "local", "cli"}),
    ("starlette", {"app.py", "http"}),
    ("uvicorn", {"cli"}),
    ("dotenv", {"settings.py", "cli"}),
    ("platformdirs", {"settings.py", "local", "cli"}),
    (
        "asyncio",
        {
            "app.py",
            "upstream.py",
            "http1.py",
            "http",
            "local",
            "cli",
            "gateway.py",
            "attempts.py",
            "catalogue.py",
            "ollama.py",
            "reload.py",
            "credentials.py",
            "dashboard",
            "telemetry",
        },
    ),
    ("jinja2", {"dashboard"}),
    ("pygal", {"dashboard"}),
    ("opentelemetry", {"telemetry"}),
    ("botocore", {"credentials.py"}),
    ("google", {"credentials.py"}),
    ("subprocess", {"local", "cli"}),
]


@pytest.mark.parametrize(("module", "allowed"), ONLY, ids=[module for module, _ in ONLY])
def test_a_library_is_known_to_few(module: str, allowed: set[str]) -> None:
    users = {file for file in FILES if module in {name.partition(".")[0] for name in imported(file)}}
    assert {file.relative_to(PACKAGE).parts[0] for file in users} <= allowed


def _environment_users() -> set[str]:
    return {
        file.relative_to(PACKAGE).parts[0]
        for file in FILES
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    }


def test_only_the_settings_read_the_environment_and_only_a_child_is_given_one() -> None:
    assert _environment_users() <= {"settings.py", "local", "cli"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "wire").rglob("*.py")), ids=by_name)
def test_the_waist_has_no_clock_chance_or_log(file: Path) -> None:
    forbidden = {"asyncio", "datetime", "logging", "os", "pathlib", "random", "secrets", "socket", "time", "uuid"}
    assert not forbidden & {name.partition(".")[0] for name in imported(file)}


_EVALUATES = {"eval", "exec", "compile", "__import__", "system", "popen", "Template"}
_EVALUATORS = {"pickle", "marshal", "shelve", "yaml", "jinja2", "mako", "sqlite3"}

_SAFELY = {"cli/import_/litellm.py": {"yaml"}, "ledger/database.py": {"sqlite3"}, "dashboard/pages.py": {"jinja2"}}
"""Who uses such a thing all the same, with data as data only: a file of the user's own, by `safe_load`; values as parameters;
templates of ours."""


@pytest.mark.fault("S-07")
@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_nothing_is_evaluated(file: Path) -> None:
    """What a client or a model says is data; only patterns are compiled."""
    assert not {name.partition(".")[0] for name in imported(file)} & (_EVALUATORS - _SAFELY.get(by_name(file), set()))
    used = {ast.unparse(node) for node in ast.walk(parsed(file)) if isinstance(node, ast.Attribute)}
    assert {name for name in used if name.startswith("yaml.")} <= {"yaml.safe_load", "yaml.YAMLError"}
    if part_of(file) == "dashboard":
        assert not {name for name in used if name.endswith(("from_string", "Markup", "overlay"))}
    calls = [node.func for node in ast.walk(parsed(file)) if isinstance(node, ast.Call)]
    named = {call.id for call in calls if isinstance(call, ast.Name)}
    of_modules = {
        call.attr for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call.value) in {"os", "builtins"}
    }
    assert not (named | of_modules) & _EVALUATES


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_files_and_functions_stay_short(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= MAX_LINES
    long = {
        node.name: length
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION
    }
    assert long == {}


GATES = [
    ["ruff", "check"],
    ["ruff", "format", "--check"],
    ["mypy"],
    ["pyright"],
]


@pytest.mark.parametrize("command", GATES, ids=" ".join)
def test_a_gate_is_passed(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
