"""What is installed: locked, hashed, listed and audited; what is built; what importing it does (S-20)."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV") or shutil.which("uv") or ""
LOCK = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
PACKAGES: dict[str, Any] = {package["name"]: package for package in LOCK["package"]}
OWN = "claude-code-proxy"
WAIT = 120.0
"""Seconds after which a command of uv has failed."""

needs_uv = pytest.mark.skipif(not UV, reason="uv is not here")


def uv(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UV, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=WAIT)


def target(name: str) -> list[str]:
    """The words of the last command of a target in the Makefile, behind uv."""
    found = re.search(rf"^{name}:.*\n(?:\t.*\n)*\t\$\(UV\) (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert found
    return shlex.split(found[1])


@pytest.mark.fault("S-20")
@pytest.mark.parametrize("name", sorted(set(PACKAGES) - {OWN}))
def test_every_file_has_its_hash(name: str) -> None:
    package = PACKAGES[name]
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    assert files
    assert {"registry"} == set(package["source"]), "neither a branch nor a folder"
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files)
    assert all(file["url"].startswith("https://") for file in files)


@pytest.mark.fault("S-20")
@pytest.mark.parametrize("place", ["Dockerfile", ".ci/run"])
def test_nothing_is_installed_but_what_is_locked(place: str) -> None:
    lines = (ROOT / place).read_text("utf-8").splitlines()
    commands = [line for line in lines if re.search(r"\buv (sync|run)\b", line) and not line.startswith("#")]
    assert commands
    assert [line for line in commands if "--locked" not in line] == []


@pytest.mark.fault("S-20")
@needs_uv
def test_nothing_in_it_is_known_to_be_weak() -> None:
    try:
        done = uv(*target("audit"))
    except subprocess.TimeoutExpired:
        pytest.skip("the database of weaknesses does not answer")
    if done.returncode and re.search(r"error sending request|dns error|timed out|Request failed", done.stderr):
        pytest.skip("the database of weaknesses cannot be reached from here")
    assert done.returncode == 0, done.stdout + done.stderr


def runtime() -> set[str]:
    """The packages of an installation with every extra, on any system."""
    own = PACKAGES[OWN]
    todo = [*own["dependencies"], *(one for extra in own["optional-dependencies"].values() for one in extra)]
    found: set[str] = set()
    while todo:
        name = todo.pop()["name"]
        if name not in found:
            found.add(name)
            todo += PACKAGES[name].get("dependencies", ())
    return found


@pytest.mark.fault("S-20")
@needs_uv
def test_the_bill_of_materials_names_everything(tmp_path: Path) -> None:
    *words, place = target("sbom")
    assert place == "dist/sbom.json"
    done = uv(*words, str(tmp_path / "sbom.json"))
    assert done.returncode == 0, done.stderr
    bill = json.loads((tmp_path / "sbom.json").read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {one["name"]: one["version"] for one in bill["components"]}
    assert {"aiohttp", "botocore"} <= runtime()
    assert runtime() <= set(listed)
    assert {name: listed[name] for name in runtime()} == {name: PACKAGES[name]["version"] for name in runtime()}
    assert not {"pytest", "mypy", "ruff"} & set(listed)
    assert str(ROOT) not in json.dumps(bill)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in the wheel and in the source distribution."""
    if not UV:
        pytest.skip("uv is not here")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE", "uv.lock", "server.py"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tests").mkdir()
    (source / "tests" / "test_it.py").write_text("")
    (source / ".env").write_text("OPENAI_API_KEY=canary\n")
    (source / "src" / "stray.pth").write_text("import os\n")
    done = uv("build", "--offline", "-q", "-o", str(out), cwd=source)
    assert done.returncode == 0, done.stderr
    [wheel], [archive] = out.glob("*.whl"), out.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = [name.partition("/")[2] for name in files.getnames()]
    return [*zipfile.ZipFile(wheel).namelist(), *names]


@pytest.mark.fault("S-20")
def test_what_is_built_holds_the_package_and_nothing_else(built: list[str]) -> None:
    kept = r"(src/)?claude_code_proxy(/.*)?|claude_code_proxy-[\d.]+\.dist-info/.*"
    meta = r"|src|pyproject\.toml(\.orig)?|README\.md|LICENSE|PKG-INFO|"
    assert [name for name in built if not re.fullmatch(kept + meta, name)] == []
    shown = re.compile(r"(src/)?claude_code_proxy/dashboard/(templates/\w+\.html|assets/\w+\.(css|js|svg))")
    files = [name for name in built if "dist-info" not in name and not name.endswith("/")]
    endings = {Path(name).suffix for name in files if not shown.fullmatch(name)}
    assert endings <= {".py", ".toml", ".json", ".typed", ".md", ".orig", ""}
    for name in ("providers.toml", "dashboard/templates/base.html", "dashboard/assets/style.css"):
        assert f"claude_code_proxy/{name}" in built


@pytest.mark.fault("S-20")
def test_nothing_of_it_runs_when_python_starts() -> None:
    files = [str(file) for file in distribution(OWN).files or ()]
    assert files
    # An installation for development points at its checkout by a .pth that is a path, and no code.
    for name in (name for name in files if name.endswith(".pth")):
        text = Path(str(distribution(OWN).locate_file(name))).read_text("utf-8")
        assert not any(line.startswith("import") for line in text.splitlines())


IMPORT = """
import json, pkgutil, sys, threading
asked = []
WATCHED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system",
           "os.exec", "os.fork", "os.posix_spawn", "urllib.Request")
sys.addaudithook(lambda event, args: asked.append([event, str(args)]) if event in WATCHED else None)
import claude_code_proxy
names = [one.name for one in pkgutil.walk_packages(claude_code_proxy.__path__, "claude_code_proxy.")]
for name in names:
    if not name.endswith("__main__"):
        __import__(name)
print(json.dumps({"asked": asked, "threads": threading.active_count(), "names": names}))
"""


@pytest.mark.fault("S-20")
def test_importing_it_does_nothing(tmp_path: Path) -> None:
    """No module of it connects, listens, starts a thread or a process."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLAUDE_CODE_PROXY_ENV_FILE": ""}
    command = [sys.executable, "-P", "-c", IMPORT]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["names"]) > 80
    assert (told["asked"], told["threads"]) == ([], 1)
    assert list(tmp_path.iterdir()) == []
