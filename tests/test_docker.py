"""The image and its compose file, as far as they can be checked without an engine.

The build is replayed: the files that the Dockerfile copies, the uv commands that it runs, then its CMD and HEALTHCHECK.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from claude_code_proxy.providers import load_providers
from claude_code_proxy.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
UV = os.environ.get("UV") or shutil.which("uv") or ""
WAIT = 60.0
"""Seconds that a child may take on a busy machine."""

Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, stage by stage."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    found: list[list[Instruction]] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        if name:
            found[-1].append((name, " ".join(rest.split())))
    return found


BASE, BUILD, FINAL = stages()


def variables(stage: list[Instruction]) -> dict[str, str]:
    pairs = [pair for name, rest in stage if name == "ENV" for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def the(stage: list[Instruction], wanted: str) -> str:
    [rest] = [rest for name, rest in stage if name == wanted]
    return rest


def copied(stage: list[Instruction]) -> list[str]:
    """What a stage copies from the build's context. Everything goes to /app itself, under its own name."""
    copies = [shlex.split(rest) for name, rest in stage if name == "COPY" and "--from=" not in rest]
    return [path for words in copies for path in words[:-1] if not path.startswith("--")]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build's context: the last line that matches it or a parent counts."""
    parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 2)]
    answer = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.lstrip("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, one) for one in parents):
                answer = line.startswith("!")
    return answer


# The files as they stand.


def test_the_dockerfile_has_nothing_to_complain_of() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.is_file():
        pytest.skip("hadolint has no wheel for this machine")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_understands_its_file(tmp_path: Path) -> None:
    commands = [["docker", "compose"], ["docker-compose"]]
    found = [
        command
        for command in commands
        if shutil.which(command[0])
        and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
    ]
    if not found:
        pytest.skip("neither `docker compose` nor `docker-compose` is here")
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_CODE_PROXY")}
    done = subprocess.run(
        [*found[0], "config", "--format", "json"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [port] = json.loads(done.stdout)["services"]["proxy"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "4000", 4000)


@pytest.mark.fault("S-21")
def test_compose_gives_the_container_little() -> None:
    [proxy] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"].values()
    kept = {"build", "image", "pids_limit"}
    assert {name: value for name, value in proxy.items() if name not in kept} == {
        "ports": ["${CLAUDE_CODE_PROXY_PUBLISH:-127.0.0.1}:4000:4000"],
        "environment": {"PROXY_PUBLISHED_ON": "${CLAUDE_CODE_PROXY_PUBLISH:-127.0.0.1}"},
        "env_file": [{"path": ".env", "required": False}],
        "extra_hosts": ["host.docker.internal:host-gateway"],
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
        "user": the(FINAL, "USER"),
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    assert proxy["build"] == "."


@pytest.mark.fault("S-21")
def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", the(FINAL, "USER"))
    assert the(FINAL, "EXPOSE") == variables(FINAL)["UVICORN_PORT"] == "4000"
    assert json.loads(the(FINAL, "CMD")) == ["uvicorn", "server:app"]
    grace = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["proxy"]["stop_grace_period"]
    assert Settings(providers={}).drain_timeout < int(grace.removesuffix("s"))
    assert "HEALTHCHECK" in dict(FINAL)


@pytest.mark.fault("S-21")
@pytest.mark.parametrize("stage", [BASE, BUILD, FINAL], ids=["base", "build", "final"])
def test_no_layer_and_no_history_holds_a_secret(stage: list[Instruction]) -> None:
    """What is passed to a build stays readable in the image's history; a secret comes when it runs."""
    assert not {"ARG", "ADD", "VOLUME", "ONBUILD"} & set(dict(stage))
    assert [name for name in variables(stage) if re.search("KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", name)] == []
    assert [rest for name, rest in stage if name == "RUN" and re.search("--mount|curl|wget|--privileged", rest)] == []
    roots = [word for name, rest in stage if name == "COPY" for word in rest.split() if word in {".", "/", "./."}]
    assert roots == []


@pytest.mark.fault("S-21")
def test_nothing_of_the_build_reaches_the_image_but_what_is_installed() -> None:
    assert FINAL[0] == ("FROM", "base")
    assert [rest for name, rest in FINAL if name == "COPY"] == [
        "--from=build /app/.venv .venv",
        "--chmod=644 server.py ./",
    ]
    assert "RUN" not in dict(FINAL)


@pytest.mark.parametrize("path", [*copied(BUILD), *copied(FINAL)])
def test_what_is_copied_is_there_and_is_sent(path: str) -> None:
    assert (ROOT / path).exists()
    assert sent(path)


@pytest.mark.fault("S-21")
@pytest.mark.parametrize(
    "path", [".env", ".git/config", ".venv/pyvenv.cfg", "tests/conftest.py", "src/x/__pycache__/y.pyc", "config.toml"]
)
def test_what_the_image_does_not_need_is_not_sent(path: str) -> None:
    assert not sent(path)


def test_servers_beside_docker_are_looked_for_beside_docker() -> None:
    local = {row.base_url_env: row.base_url for row in load_providers({}).values() if "//localhost" in row.base_url}
    there = {name: url.replace("//localhost", "//host.docker.internal") for name, url in local.items()}
    assert {name: value for name, value in variables(FINAL).items() if "host.docker" in value} == there


@pytest.mark.skipif(not UV, reason="uv is not here")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_image_needs_no_compiler(machine: str) -> None:
    """What is locked has a wheel for the image's Python on Linux."""
    [version] = re.findall(r"python:3\.(\d+)-slim", the(BASE, "FROM"))
    command = [UV, "export", "-q", "--locked", "--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    needed = {line.partition("==")[0] for line in made.splitlines() if "==" in line and not line.startswith("#")}
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    tag = rf"-(cp3{version}-cp3{version}|cp3\d+-abi3)-(any|manylinux[^-]*{machine}[^-]*)\.whl$|-py3-none-any\.whl$"
    without = {
        package["name"]
        for package in packages
        if package["name"] in needed
        and not any(re.search(tag, wheel["url"]) for wheel in package.get("wheels", []))
        and not _for_elsewhere(package["name"], made)
    }
    assert needed
    assert without == set()


def _for_elsewhere(name: str, exported: str) -> bool:
    """Whether a package is for Windows or macOS only, by its marker."""
    [line] = re.findall(rf"^{re.escape(name)}==.*$", exported, re.MULTILINE)
    return re.search(r"(sys_platform|os_name|platform_system) == '(win32|nt|Windows|darwin)'", line) is not None


# The image, replayed.


def _replay(stage: list[Instruction], folder: Path) -> None:
    """Do what a stage does, in `folder` for its /app. uv is here already."""
    foreign = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"}
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    python = {"UV_PYTHON": os.path.realpath(sys.executable)}
    for name, rest in stage:
        if name == "COPY" and "--from=" not in rest:
            *words, target = shlex.split(rest)
            for path in (word for word in words if not word.startswith("--")):
                assert target in {"./", path}
                _copy(path, folder, 0o644 if "--chmod=644" in words else 0o600)
        elif name == "RUN" and not rest.startswith("pip install"):
            command = shlex.split(rest)
            assert command[0] == "uv"
            done = subprocess.run(
                [UV, *command[1:]],
                cwd=folder,
                env={**inherited, **variables(stage), **python},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr


def _copy(path: str, folder: Path, mode: int) -> None:
    """Copy a file, or a folder of them, as from a checkout that only its owner may read unless `mode` says better."""
    inside = (ROOT / path).rglob("*") if (ROOT / path).is_dir() else [ROOT / path]
    for source in inside:
        name = source.relative_to(ROOT)
        if source.is_file() and sent(name.as_posix()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
            (folder / name).chmod(mode)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What /app of the image holds, with no leave to write in it."""
    if not UV:
        pytest.skip("uv is not here")
    root = tmp_path_factory.mktemp("image")
    app, build = root / "app", root / "build"
    app.mkdir()
    _replay(BUILD, app)
    app.rename(build)  # the environment knows its own path, so it is made where it is used
    app.mkdir()
    (build / ".venv").rename(app / ".venv")
    _replay(FINAL, app)
    shutil.rmtree(build)
    folders = [app, *(path for path in app.rglob("*") if path.is_dir() and not path.is_symlink())]
    for folder in folders:
        folder.chmod(0o555)
    yield app
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.fault("S-21")
def test_no_program_in_the_image_runs_as_another(image: Path) -> None:
    assert [path for path in image.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o6000] == []


def test_whoever_runs_the_image_may_read_it(image: Path) -> None:
    private = [path for path in image.rglob("*") if not path.is_symlink() and not path.stat().st_mode & 0o004]
    assert private == []


def test_nothing_is_left_to_compile_where_nothing_can_be_written(image: Path) -> None:
    assert list(image.rglob("claude_code_proxy/__pycache__/app.*.pyc"))


def _environment(app: Path, port: int) -> dict[str, str]:
    given = {name: value.replace("/app/", f"{app}/") for name, value in variables(FINAL).items()}
    path = given["PATH"].replace("$PATH", os.environ["PATH"])
    return {**given, "PATH": path, "HOME": "/", "UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": str(port)}


_CONFINED = 'mount -o remount,bind,ro / && exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'


def _confined(command: list[str]) -> list[str]:
    """With a read-only root and without any capability, where this machine lets us; else as it is.

    Whoever has no capabilities is bound by the modes of files even as root.
    """
    prefix = ["unshare", "--mount", "sh", "-c", _CONFINED, "sh"]
    able = shutil.which("unshare") and shutil.which("setpriv")
    if able and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
        return [*prefix, *command]
    return command


def _healthy(app: Path, env: dict[str, str]) -> int:
    words = the(FINAL, "HEALTHCHECK").partition("CMD ")[2]
    command: list[str] = json.loads(words)
    return subprocess.run(command, cwd=app, env=env, capture_output=True, check=False).returncode


def _everything(app: Path) -> set[str]:
    return {str(path.relative_to(app)) for path in app.rglob("*")}


@pytest.mark.fault("R-17", "S-21")
def test_the_image_serves_is_healthy_and_ends_when_told(image: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    env = _environment(image, port)
    before = _everything(image)
    assert _healthy(image, env) != 0
    command: list[str] = json.loads(the(FINAL, "CMD"))
    with subprocess.Popen(
        _confined(command), cwd=image, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            deadline = time.monotonic() + WAIT
            while _healthy(image, env) != 0 and server.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            assert _healthy(image, env) == 0
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=WAIT) as reply:
                assert json.load(reply) == {"message": "Claude Code Proxy"}
            server.send_signal(signal.SIGTERM)
            said, _ = server.communicate(timeout=WAIT)
        finally:
            server.kill()
    assert server.returncode == 0
    assert "Application shutdown complete" in said
    assert "Traceback" not in said
    assert _healthy(image, env) != 0
    assert _everything(image) == before


def test_the_image_reads_a_mounted_config_and_no_env_file_of_its_own(image: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = {"dialect": "openai_chat", "base_url": "http://127.0.0.1:9"}
    table = "[providers.mine]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
    mounted = tmp_path / "claude-code-proxy"
    mounted.mkdir()
    (mounted / "config.toml").write_text(table, "utf-8")
    env = {**_environment(image, 4000), "XDG_CONFIG_HOME": str(tmp_path)}
    command = [str(image / ".venv" / "bin" / "claude-code-proxy"), "route", "mine:model"]
    done = subprocess.run(command, cwd=image, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "mine:model\n", done.stderr
    assert _everything(image) & {".env", "src"} == set()
