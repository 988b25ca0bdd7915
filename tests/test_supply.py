"""What is installed is what was locked and nothing else; importing it asks nobody (S-20)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "claude_code_proxy"
UV = os.environ.get("UV") or shutil.which("uv") or ""
LOCK = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
NEEDS_UV = pytest.mark.skipif(not UV, reason="uv is not here")
OFFLINE = ("dns error", "Connect", "timed out", "offline", "unreachable", "No route")

pytestmark = pytest.mark.fault("S-20")


def uv(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UV, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def archives() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every file that may be installed, by package."""
    for package in LOCK["package"]:
        sdist = [package["sdist"]] if "sdist" in package else []
        yield from ((package["name"], archive) for archive in [*package.get("wheels", []), *sdist])


def test_every_file_is_locked_by_its_hash_and_comes_from_one_place() -> None:
    assert [name for name, one in archives() if not re.fullmatch(r"sha256:[0-9a-f]{64}", one.get("hash", ""))] == []
    sources = [package["source"] for package in LOCK["package"] if package["name"] != "claude-code-proxy"]
    assert {tuple(source) for source in sources} == {("registry",)}, "no repository, path or address of somebody's"
    assert len({source["registry"] for source in sources}) == 1
    assert {urlsplit(one["url"]).scheme for _, one in archives()} == {"https"}
    assert len({urlsplit(one["url"]).netloc for _, one in archives()}) == 1


@NEEDS_UV
def test_the_lock_is_that_of_the_project() -> None:
    done = uv("lock", "--check", "--offline")
    if done.returncode and any(word in done.stderr for word in (*OFFLINE, "network was disabled", "cache")):
        pytest.skip(f"nothing is cached here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@NEEDS_UV
def test_nothing_that_is_installed_has_a_known_fault() -> None:
    done = uv("audit", "--locked", "--preview-features", "audit-command", "--no-dev")
    if done.returncode and any(word in done.stderr for word in OFFLINE):
        pytest.skip("the database of known faults cannot be reached")
    if "unrecognized subcommand" in done.stderr:
        pytest.skip("this uv has no audit yet")
    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_UV
def test_the_bill_of_materials_names_what_is_installed() -> None:
    done = uv("export", "-q", "--locked", "--no-dev", "--format", "cyclonedx1.5")
    assert done.returncode == 0, done.stderr
    bill = json.loads(done.stdout)
    assert bill["bomFormat"] == "CycloneDX"
    told = {(one["name"], one["version"]) for one in bill["components"]}
    plain = uv("export", "-q", "--locked", "--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate").stdout
    needed = {tuple(line.split(" ;")[0].split("==")) for line in plain.splitlines() if "==" in line and line[0] != "#"}
    assert needed
    assert needed <= told


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the source archive."""
    if not UV:
        pytest.skip("uv is not here")
    folder = tmp_path_factory.mktemp("built")
    done = uv("build", "-q", "--no-create-gitignore", "-o", str(folder))
    if done.returncode and any(word in done.stderr for word in OFFLINE):
        pytest.skip("what builds it cannot be fetched")
    assert done.returncode == 0, done.stderr
    return folder


def ours() -> set[str]:
    """The files of the package."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(PACKAGE.parent).as_posix() for path in files}


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == ours()
    assert {name.partition("/")[2] for name in about} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"),
    }


def test_the_source_archive_holds_no_more_than_it_takes_to_build(built: Path) -> None:
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    others = {name for name in names if not name.startswith("src/")}
    assert {name.removeprefix("src/") for name in names - others} == ours()
    assert others <= {"PKG-INFO", "pyproject.toml", "pyproject.toml.orig", "README.md", "LICENSE"}


WATCHED = """
import json, os, sys
seen = []
def watch(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.", "os.system", "os.exec",
                         "os.posix_spawn", "os.fork", "urllib.", "http.client", "ftplib", "smtplib")):
        seen.append([event, ""])
    elif event == "open" and isinstance(args[0], (str, bytes)):
        seen.append([event, os.path.realpath(os.fsdecode(args[0]))])
sys.addaudithook(watch)
import MODULE
print(json.dumps({"seen": seen, "prefixes": [sys.prefix, sys.base_prefix, *sys.path]}))
"""
MODULES = ["app", "cli", "cli.commands", "cli.serve", "cli.code", "cli.doctor", "credentials", "local.fetch"]
OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo", "/lib", "/usr/lib")


@pytest.mark.parametrize("module", MODULES)
def test_importing_it_asks_nobody_and_reads_nothing_of_the_user(module: str, tmp_path: Path) -> None:
    """Of the system only what any Python reads. Home and the working directory are somebody's, with files in them."""
    for name in (".env", ".netrc", "config.toml", "sitecustomize.py"):
        (tmp_path / name).write_text("raise SystemExit('it was read')" if name.endswith(".py") else "A=1", "utf-8")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-P", "-c", WATCHED.replace("MODULE", f"claude_code_proxy.{module}")]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    own = tuple(os.path.realpath(prefix) for prefix in [*told["prefixes"], PACKAGE] if prefix)
    read = [(event, path) for event, path in told["seen"] if not path.startswith((*own, *OF_THE_SYSTEM))]
    assert read == []


def test_nothing_runs_at_every_start_of_python() -> None:
    """A `.pth` file may hold code; the only one is that of the checkout itself, and names a folder."""
    places = {Path(place) for place in sys.path if place.endswith("site-packages")}
    lines = [line for place in places for file in place.glob("*.pth") for line in file.read_text("utf-8").splitlines()]
    assert [line for line in lines if line.startswith(("import ", "import\t"))] == []
