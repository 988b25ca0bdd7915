"""Make the site from README.md and docs/: `python scripts/site.py [FOLDER]`, by default build/site.

Sphinx writes it, with warnings as errors: a link or an anchor that leads nowhere stops it. A reader's browser fetches
nothing from elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(!?\[(?:[^\]\[]|\[[^\]]*\])*\]\()([^)\s]+)(\))")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)

# Names of languages that Sphinx's highlighter has under another.
LEXERS = {"dotenv": "ini"}

# What Sphinx is told. The theme has its fonts and scripts in its package; anchors are as GitHub makes them.
CONF = """
extensions = ["myst_parser"]
project = html_title = {title!r}
html_theme = "furo"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_show_copyright = html_show_sphinx = html_copy_source = html_show_sourcelink = False
myst_heading_anchors = 4
highlight_language = "text"
pygments_style = "friendly"
"""


class SiteError(Exception):
    """The site cannot be made; says why."""


def plan() -> dict[str, Any]:
    """What docs/site.toml says."""
    return tomllib.loads((DOCS / "site.toml").read_text("utf-8"))


def pages() -> dict[Path, str]:
    """Every page's file, and its place in the site."""
    named = {ROOT / name: place for name, place in plan()["pages"].items() if (ROOT / name).is_file()}
    return named | {path: str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md"))}


def sections() -> list[tuple[str, list[str]]]:
    """The navigation: titles, and the pages that there are. Raises `SiteError` if one has no place in it."""
    there = {place.removesuffix(".md") for place in pages().values()} - {"index"}
    made = [
        (one["title"], [name for wish in one["pages"] for name in _found(wish, there)]) for one in plan()["section"]
    ]
    if lost := there - {name for _, names in made for name in names}:
        raise SiteError(f"docs/site.toml has no place for {', '.join(sorted(lost))}")
    return made


def _found(wish: str, there: set[str]) -> list[str]:
    if wish.endswith("/*"):
        return sorted(name for name in there if name.startswith(wish[:-1]))
    return [wish] if wish in there else []


def moved(text: str, source: Path, places: dict[Path, str]) -> str:
    """A page with its links as they are in the site; other files that it links to stand at its top, in `files`."""
    here = Path(places[source]).parent

    def link(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path, mark, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        file = (source.parent / path).resolve()
        place = places.get(file) or f"files/{file.relative_to(ROOT)}"
        return f"{before}{os.path.relpath(place, here)}{mark}{anchor}{after}"

    kept: list[str] = []
    outside = CODE.sub(lambda code: f"\0{kept.append(code[0]) or len(kept) - 1}\0", text)
    return re.sub(r"\0(\d+)\0", lambda at: kept[int(at[1])], LINK.sub(link, outside))


def linked(text: str, source: Path, places: dict[Path, str]) -> Iterator[Path]:
    """The files of this project that a page links to and that are no pages."""
    for _, target, _ in LINK.findall(CODE.sub("", text)):
        file = (source.parent / target.partition("#")[0]).resolve()
        if not re.match(r"[a-z]+:", target) and file not in places and file.is_file():
            yield file


def stage(folder: Path) -> None:
    """Lay out what Sphinx reads. Raises `SiteError`."""
    places = pages()
    (folder / "_static").mkdir(parents=True)
    (folder / "_static" / "site.css").write_bytes((DOCS / "site.css").read_bytes())
    (folder / "conf.py").write_text(CONF.format(title=plan()["title"]), "utf-8")
    trees = "".join(
        f"\n```{{toctree}}\n:caption: {title}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"
        for title, names in sections()
        if names
    )
    for source, place in places.items():
        text = source.read_text("utf-8")
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        made = re.sub(
            r"^```(\w+)$", lambda at: f"```{LEXERS.get(at[1], at[1])}", moved(text, source, places), flags=re.MULTILINE
        )
        target.write_text(made + (trees if place == "index.md" else ""), "utf-8")
        for file in linked(text, source, places):
            copy = folder / "files" / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def build(site: Path) -> int:
    """Write the site; the exit status of Sphinx. Raises `SiteError`."""
    from sphinx.cmd.build import main as sphinx  # noqa: PLC0415 # the group `docs`

    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder, "source"))
        strict = ("-W", "--keep-going", "-n", "-q")
        return sphinx([*strict, "-d", f"{folder}/trees", f"{folder}/source", str(site)])


def main(arguments: Sequence[str]) -> int:
    site = Path(arguments[0]) if arguments else ROOT / "build" / "site"
    shutil.rmtree(site, ignore_errors=True)
    try:
        status = build(site)
    except ImportError as cause:
        sys.stderr.write(f"{cause}. Run: uv run --group docs python scripts/site.py\n")
        return 1
    except SiteError as cause:
        sys.stderr.write(f"{cause}\n")
        return 1
    if not status:
        print(site / "index.html")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
