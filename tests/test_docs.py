"""The documents agree with the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import VARIABLES, load_settings
from claude_code_proxy.tables import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_generated_pages_are_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, "scripts/make_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr


def test_ci_runs_the_command_of_the_readme() -> None:
    [command] = re.findall(r"^.*pytest$", README, re.MULTILINE)
    assert command in (ROOT / ".ci" / "run").read_text("utf-8")


def test_every_variable_is_documented() -> None:
    rows = load_providers({}).values()
    of_providers = {*(row.base_url_env for row in rows), *(row.api_key_env for row in rows)} - {""}
    pages = (ROOT / "docs" / "providers.md").read_text("utf-8")
    assert [name for name in sorted(of_providers) if f"`{name}`" not in pages] == []
    for document in (README, (ROOT / ".env.example").read_text("utf-8")):
        assert [name for name in sorted(VARIABLES) if name not in document] == []


def test_the_config_of_the_readme_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", README, re.DOTALL)), "utf-8")
    settings = load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(path)})
    kinds = {kind: route("", "claude-sonnet-5", settings, kind) for kind in KINDS}
    assert {kind for kind, target in kinds.items() if kind in target.rule} == set(KINDS)
    assert route("", "strong", settings).fallbacks


def test_nothing_that_is_committed_names_this_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    here = f"{ROOT.parent}{os.sep}"
    named = [name for name in files if here in (ROOT / name).read_text("utf-8", "replace")]
    assert named == []
