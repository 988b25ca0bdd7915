"""The site can be made, leads nowhere wrong, and asks nobody."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
LOADED = {"link", "script", "img", "iframe", "source", "object", "embed"}
"""Elements that a browser fetches for by itself; a link of type `a` waits for the reader."""


class Page(HTMLParser):
    """The addresses in a page, and its anchors."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.anchors |= {held[name] for name in ("id", "name") if name in held}
        self.links += [(tag, held[name]) for name in ("href", "src") if name in held]


def made(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Make a site with the script of this root."""
    command = [sys.executable, str(root / "scripts" / "site.py"), str(site)]
    return subprocess.run(command, cwd=site.parent, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    done = made(ROOT, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html")}


def test_every_page_of_the_docs_is_there(site: Path) -> None:
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    wanted |= {Path("index.html"), Path("changelog.html"), Path("architecture.html")}
    assert wanted <= {file.relative_to(site) for file in site.rglob("*.html")}


def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    """Also those that the theme makes; what lies elsewhere is not asked for."""
    lost: list[str] = []
    for file, page in pages.items():
        for _, link in page.links:
            path, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:|//", link):
                continue
            target = (file.parent / path.partition("?")[0]).resolve() if path else file
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                lost.append(f"{file.name}: {link}")
    assert lost == []


def test_a_reader_fetches_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    outside = re.compile(r"(?:[a-z]+:)?//")
    assert [link for page in pages.values() for tag, link in page.links if tag in LOADED and outside.match(link)] == []
    styles = "".join(file.read_text("utf-8") for file in [*site.rglob("*.css"), *site.rglob("*.svg")])
    assert re.findall(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^"')]*""", styles) == []


@pytest.mark.parametrize(
    ("readme", "extra", "told"),
    [
        ("[here](docs/gone.md)", "", "gone"),
        ("[here](docs/page.md#gone)", "", "gone"),
        ("text", "lost.md", "no place for lost"),
    ],
)
def test_what_is_wrong_stops_it(tmp_path: Path, readme: str, extra: str, told: str) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "site.py", root / "scripts")
    (root / "docs" / "site.css").touch()
    (root / "docs" / "site.toml").write_text(
        'title = "T"\n[pages]\n"README.md" = "index.md"\n[[section]]\ntitle = "S"\npages = ["page", "not-yet"]\n'
    )
    (root / "README.md").write_text("# Title\n\n[well](docs/page.md#a-head)\n")
    (root / "docs" / "page.md").write_text("# Page\n\n## A head\n")
    assert made(root, tmp_path / "site").returncode == 0
    (root / "README.md").write_text(f"# Title\n\n{readme}\n")
    if extra:
        (root / "docs" / extra).write_text("# Lost\n")
    done = made(root, tmp_path / "site")
    assert done.returncode != 0
    assert told in done.stderr


def test_the_plan_names_each_page_once() -> None:
    plan = tomllib.loads((ROOT / "docs" / "site.toml").read_text("utf-8"))
    named = [page for section in plan["section"] for page in section["pages"]]
    assert len(named) == len(set(named))
