"""The pictures of terminals show what the commands show today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.claude import NoCliError, find_cli

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"


def check(name: str) -> None:
    command = [sys.executable, "scripts/screenshots.py", "--check", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["doctor", "code"])
def test_a_picture_shows_what_a_run_shows(name: str) -> None:
    try:
        find_cli()
    except NoCliError as missing:
        pytest.skip(str(missing))
    check(name)


@pytest.mark.usefixtures("local_model")
def test_the_picture_of_the_local_model_does_too() -> None:
    check("local")


@pytest.mark.parametrize("picture", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_asks_nobody_and_is_shown(picture: Path) -> None:
    text = picture.read_text("utf-8")
    assert re.findall(r"(?:url\(|href=\"|@import)\s*[\"']?(?:https?:)?//", text) == []
    assert "<script" not in text
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(f"pictures/{picture.name})" in page.read_text("utf-8") for page in pages)
