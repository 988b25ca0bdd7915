"""The documents agree with the code."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dotenv import dotenv_values

from claude_code_proxy import settings
from claude_code_proxy.cli.local_proxy import PROVIDER as LOCAL
from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import VARIABLES, load_settings
from claude_code_proxy.tables import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAME = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generator's table of variables."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("variables")


def test_the_generated_pages_are_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, "scripts/make_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr


def test_the_list_of_checks_is_up_to_date() -> None:
    command = [sys.executable, "scripts/certify_docs.py", "--check"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0, "run scripts/certify_docs.py --checks"


def test_ci_runs_the_command_of_the_readme() -> None:
    [command] = re.findall(r"^.*pytest$", README, re.MULTILINE)
    assert command in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_config_of_the_docs_can_be_used_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    page = (ROOT / "docs" / "config.md").read_text("utf-8")
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)), "utf-8")
    settings = load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(path)})
    kinds = {kind: route("", "claude-sonnet-5", settings, kind) for kind in KINDS}
    assert {kind for kind, target in kinds.items() if kind in target.rule} == set(KINDS)
    assert route("", "strong", settings).fallbacks


def test_nothing_that_is_committed_names_this_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    here = f"{ROOT.parent}{os.sep}"
    named = [name for name in files if here in (ROOT / name).read_text("utf-8", "replace")]
    assert named == []


# Links.


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_every_provider_has_a_page_and_every_page_a_provider() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "providers").glob("*.md")}
    assert pages == set(load_providers({}))
    index = (ROOT / "docs" / "providers.md").read_text("utf-8")
    assert [name for name in sorted(pages) if f"](providers/{name}.md)" not in index] == []


# Variables.


def test_every_variable_is_documented_once(variables: Any) -> None:
    listed = re.findall(rf"^\| `({NAME})` \|", SETTINGS, re.MULTILINE)
    assert sorted(listed) == sorted(set(listed))
    assert variables.known() <= set(listed)


def read_by_the_code() -> set[str]:
    """Variables that the package looks up by a name written out where it does."""
    found: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                keys = node.args[:1] if node.func.attr in {"get", "getenv", "pop"} else []
            else:
                keys = [node.slice] if isinstance(node, ast.Subscript) else []
            found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return {name for name in found if re.fullmatch(NAME, name)}


def test_what_the_code_reads_is_documented() -> None:
    assert [name for name in sorted(read_by_the_code()) if f"`{name}`" not in SETTINGS] == []


def test_what_is_documented_is_read(variables: Any) -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".toml"})
    described = {one.name: one.read_by for group in variables.groups() for one in group.variables}
    assert [name for name, reader in described.items() if not reader and name not in code] == []
    files = {reader: ROOT / reader for reader in described.values() if reader and (ROOT / reader).is_file()}
    assert [
        name for name, reader in described.items() if reader in files and name not in files[reader].read_text()
    ] == []


def test_a_variable_that_nobody_described_stops_the_generator(variables: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.VARIABLES, "BRAND_NEW", str)
    with pytest.raises(variables.UndocumentedError, match=r"BRAND_NEW.*docs/settings\.toml.*docs/providers\.toml"):
        variables.groups()


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ({"region_env": "ANEW_REGION"}, "ANEW_REGION"),
        ({"body": {"x": [{"env": "ANEW_X", "default": 1}]}}, "ANEW_X"),
        ({"path_prefix": "/{ANEW_Y|ANEW_Z}/v1"}, "ANEW_Y, ANEW_Z"),
    ],
)
def test_so_does_one_of_a_provider(
    variables: Any, monkeypatch: pytest.MonkeyPatch, table: dict[str, Any], name: str
) -> None:
    rows = {**variables.provider_rows(), "openai": {**variables.provider_rows()["openai"], **table}}
    monkeypatch.setattr(variables, "provider_rows", lambda: rows)
    with pytest.raises(variables.UndocumentedError, match=name):
        variables.groups()


def test_so_does_a_provider_that_nobody_described(variables: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {**variables.provider_rows(), "anew": {"dialect": "anthropic", "api_key_env": "ANEW_API_KEY"}}
    monkeypatch.setattr(variables, "provider_rows", lambda: rows)
    with pytest.raises(variables.UndocumentedError, match=r"\[anew\] with title"):
        variables.groups()


def test_two_providers_may_share_a_variable_and_it_is_listed_once(variables: Any) -> None:
    shared = variables.Variable("A_KEY", "its key")
    groups = [variables.Group("One", (shared,), "one"), variables.Group("Two", (shared,), "two")]
    assert [len(group.variables) for group in variables.once(groups)] == [1, 0]


def test_the_example_of_an_env_file_holds_the_defaults() -> None:
    uncommented = re.sub(rf"^#(?={NAME}=)", "", EXAMPLE, flags=re.MULTILINE)
    held = {name: value or "" for name, value in dotenv_values(stream=StringIO(uncommented), interpolate=False).items()}
    assert held.keys() >= VARIABLES.keys()
    foreign = {
        "CLAUDE_CODE_PROXY_CONFIG",
        "PROXY_LEDGER",
        "UPSTREAM_PROXY",
        "SSL_CERT_FILE",
        "OPENAI_COMPATIBLE_BASE_URL",
        "ANTHROPIC_COMPATIBLE_BASE_URL",
    }
    keys = {row.api_key_env for row in load_providers({}).values()}
    alone = {"CLAUDE_CODE_PROXY_ENV_FILE": ""}
    values = {name: value for name, value in held.items() if name not in foreign | keys}
    assert load_settings({**alone, **values}) == load_settings(alone)


SEED = """
OPENROUTER_API_KEY OPENROUTER_BASE_URL NVIDIA_API_KEY NVIDIA_BASE_URL NVIDIA_REASONING_BUDGET NVIDIA_ENABLE_THINKING
OLLAMA_API_BASE OLLAMA_NUM_CTX OPENAI_API_KEY OPENAI_BASE_URL GEMINI_API_KEY ANTHROPIC_API_KEY PREFERRED_PROVIDER
BIG_MODEL SMALL_MODEL MAX_OUTPUT_TOKENS
"""


@pytest.mark.parametrize("name", SEED.split())
def test_the_readme_shows_the_variables_of_the_original_project(name: str) -> None:
    assert f"`{name}`" in README


# Examples.


def examples(language: str) -> list[tuple[str, str]]:
    return [
        (page_name(page), block)
        for page in PAGES
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize(("page", "block"), examples("toml"), ids=[page for page, _ in examples("toml")])
def test_an_example_of_a_config_is_understood(page: str, block: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(block, "utf-8")
    named = tomllib.loads(block).get("providers", {})
    assert load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(config)}).providers.keys() >= named.keys(), page


@pytest.mark.parametrize(("page", "block"), examples("dotenv"), ids=[page for page, _ in examples("dotenv")])
def test_an_example_of_a_setting_names_a_variable_that_there_is(page: str, block: str) -> None:
    held = dotenv_values(stream=StringIO(block), interpolate=False)
    assert held
    assert [name for name in held if f"`{name}`" not in SETTINGS] == [], page


def routed() -> list[tuple[str, str]]:
    found = re.findall(
        r"http://localhost:4000/([\w.-]+:[^\s`/]\S*?)(?:/v1/messages)?[\s`]",
        "".join(page.read_text("utf-8") for page in PAGES),
    )
    return sorted({(url, url.partition(":")[0]) for url in found if "{" not in url})


@pytest.mark.parametrize(("url", "provider"), routed())
def test_an_example_of_a_url_names_a_provider(url: str, provider: str) -> None:
    assert provider in {LOCAL, *(name for row in load_providers({}).values() for name in (row.name, *row.aliases))}, url


@pytest.mark.parametrize("name", sorted(load_providers({})))
def test_the_page_of_a_provider_is_all_that_it_takes(name: str) -> None:
    """What stands there for the .env sets the provider up, and the last line asks it."""
    page = (ROOT / "docs" / "providers" / f"{name}.md").read_text("utf-8")
    start = page.partition("## Start")[2].partition("## Settings")[0]
    env = dict(line.split("=", 1) for block in re.findall(r"```dotenv\n(.*?)```", start, re.DOTALL) for line in block.splitlines())  # fmt: skip
    settings = load_settings({key: value.strip('"') for key, value in env.items()})
    settings.providers[name].check()
    [pinned] = re.findall(
        r"ANTHROPIC_BASE_URL=http://localhost:4000/(\S+) ANTHROPIC_AUTH_TOKEN=any claude$", start, re.MULTILINE
    )
    assert route(pinned, "claude-sonnet-5-5", settings).provider.name == name
    [serve] = re.findall(r"^uv run .*uvicorn server:app.*$", start, re.MULTILINE)
    extras = {"google": "--extra vertex", "aws": "--extra bedrock"}
    assert extras.get(settings.providers[name].auth, "uv run uvicorn") in serve
