"""Where the proxy is started, and where it is sent: neither a folder nor an address leads it astray."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import e2e.proxy
from claude_code_proxy.hosts import Here
from e2e.http_client import HELLO, send
from e2e.proxy import ROOT, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
MODULES = (
    *(
        "sitecustomize",
        "usercustomize",
        "aiohttp",
        "orjson",
        "msgspec",
        "uvicorn",
        "starlette",
        "dotenv",
        "ssl",
        "json",
    ),
    *("claude_code_proxy", "multiprocessing", "asyncio", "logging", "tomllib"),
)
MARK = "was-here"
WAIT = 60


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Path]:
    """A folder of somebody who would like to be imported, or read."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / MARK)!r}, 'a').write({name!r} + ' ')\nraise SystemExit(3)\n"
        )
    (folder / "evil.pth").write_text(f"import os; open({str(tmp_path / MARK)!r}, 'w')\n")
    theirs = "OPENAI_BASE_URL=http://127.0.0.1:9/stolen\nBIG_MODEL=stolen\nPROXY_API_KEY=theirs\n"
    (folder / ".env").write_text(theirs)
    config = '[routing.aliases]\nm = "ollama:stolen"\n[providers.openai]\nbase_url = "http://127.0.0.1:9/stolen"\n'
    for place in (folder / "config.toml", folder / "claude-code-proxy" / "config.toml"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(config)
    (folder / "claude").write_text(f"#!/bin/sh\ntouch {tmp_path / MARK}\n")
    (folder / "claude").chmod(0o755)
    yield folder
    assert not (tmp_path / MARK).exists(), (tmp_path / MARK).read_text()


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": "canary", "PYTHONUNBUFFERED": "1"}


@pytest.mark.fault("S-12")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["route", "--explain", "claude-opus-4"], "https://api.openai.com/v1"),
        (["route", "m"], "openai:m"),
        (["doctor", "--offline"], "openai"),
        (["--version"], "claude-code-proxy"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_in_a_folder_of_others(hostile: Path, tmp_path: Path, words: list[str], told: str) -> None:
    command = [str(BIN / "claude-code-proxy"), *words]
    env = environment(tmp_path / "home")
    done = subprocess.run(command, cwd=hostile, env=env, capture_output=True, text=True, check=False, timeout=WAIT)
    assert told in done.stdout, done.stderr
    assert "stolen" not in done.stdout + done.stderr


def started(command: list[str], cwd: Path, env: dict[str, str], sign: str) -> list[str]:
    """What a server says until this sign, and to its end."""
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        lines: list[str] = []
        assert server.stdout is not None
        try:
            for line in server.stdout:
                lines.append(line)
                if sign in line:
                    break
        finally:
            server.terminate()
            rest, _ = server.communicate(timeout=WAIT)
        return [*lines, *rest.splitlines()]


@pytest.mark.fault("S-12")
@pytest.mark.parametrize(
    ("command", "sign"),
    [
        ([str(BIN / "claude-code-proxy"), "--port", "0"], "Start Claude Code"),
        ([sys.executable, "-P", "-m", "claude_code_proxy", "--port", "0"], "Start Claude Code"),
        ([str(BIN / "uvicorn"), "--app-dir", str(ROOT), "server:app", "--port", "0"], "Uvicorn running"),
    ],
    ids=["its own command", "the module", "uvicorn"],
)
def test_a_server_in_a_folder_of_others(hostile: Path, tmp_path: Path, command: list[str], sign: str) -> None:
    said = "".join(started(command, hostile, environment(tmp_path / "home"), sign))
    assert sign in said, said
    assert "stolen" not in said


@pytest.mark.fault("S-12")
def test_workers_in_a_folder_of_others(hostile: Path, tmp_path: Path) -> None:
    """They are Pythons of their own, which would look for the library where they are started."""
    port = free_port()
    command = [str(BIN / "claude-code-proxy"), "--workers", "2", "--port", str(port)]
    env = environment(tmp_path / "home")
    with subprocess.Popen(command, cwd=hostile, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            assert answers(port), server.poll()
        finally:
            server.terminate()
            server.communicate(timeout=WAIT)


def answers(port: int) -> bool:
    """Whether a server answers on this port before long."""
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            line.request("GET", "/healthz")
            return line.getresponse().status == 200
        except OSError:
            time.sleep(0.1)
        finally:
            line.close()
    return False


SELVES: dict[str, str] = {
    "anthropic": "ANTHROPIC_API_BASE",
    "openai": "OPENAI_BASE_URL",
    "ollama": "OLLAMA_API_BASE",
    "gemini": "GEMINI_API_BASE",
}


@pytest.mark.fault("S-04")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"])
async def test_an_address_that_is_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would ask itself until nothing is left."""
    port = free_port()
    monkeypatch.setattr(e2e.proxy, "_free_port", lambda: port)
    own = dict.fromkeys(SELVES.values(), f"http://{name}:{port}")
    keys = {f"{provider.upper()}_API_KEY": f"canary-of-{provider}" for provider in SELVES}
    async with serving(tmp_path, **own, **keys) as proxy:
        for provider in SELVES:
            for path, stream in (("", False), ("", True), ("/count_tokens", False)):
                answer = await send(proxy.url, f"/{provider}:m/v1/messages{path}", {**HELLO, "stream": stream})
                if path and answer.status == 200:
                    assert answer.json["input_tokens"]  # estimated here
                    continue
                assert answer.status == 400, (provider, path, answer.body)
                assert "this proxy itself" in answer.error()["message"]
                assert answer.headers["x-should-retry"] == "false"
        assert (await send(proxy.url, "/anthropic:/v1/files", method="GET")).status == 400
        await proxy.log.until("GET /anthropic:/v1/files")
        assert len([line for line in proxy.log.lines if " POST " in line]) == 3 * len(SELVES)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.fault("S-04")
@pytest.mark.parametrize(
    ("server", "url", "own"),
    [
        (("127.0.0.1", 4000), "http://127.0.0.1:4000/v1", True),
        (("127.0.0.1", 4000), "http://LOCALHOST:4000", True),
        (("127.0.0.1", 4000), "http://a.localhost:4000", True),
        (("127.0.0.1", 4000), "http://0.0.0.0:4000", True),
        (("127.0.0.1", 80), "http://localhost", True),
        (("127.0.0.1", 443), "https://localhost", True),
        (("::1", 4000), "http://[::1]:4000", True),
        (("::1", 4000), "http://localhost:4000", True),
        (("::ffff:127.0.0.1", 4000), "http://127.0.0.1:4000", True),
        (("192.168.1.5", 4000), "http://192.168.1.5:4000", True),
        (("testserver", 80), "http://testserver", True),
        (("192.168.1.5", 11434), "http://127.0.0.1:11434", False),  # another server may be there
        (("127.0.0.1", 4000), "http://127.0.0.1:4001", False),
        (("127.0.0.1", 4000), "http://127.0.0.2:4000", False),
        (("127.0.0.1", 4000), "http://proxy.test:4000", False),
        (("127.0.0.1", 443), "https://api.openai.com", False),
        (("/run/proxy.sock", None), "http://127.0.0.1:4000", False),
        (None, "http://127.0.0.1:4000", False),
    ],
)
def test_which_address_is_its_own(server: object, url: str, *, own: bool) -> None:
    here = Here()
    assert not here.leads(url)
    here.reached(server)
    assert here.leads(url) == own
