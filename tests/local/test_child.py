"""The model's process: one line on standard output, and an end when its input ends."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import claude_code_proxy
from claude_code_proxy.local import INSTALL
from claude_code_proxy.local.child import KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 60
SOURCE = Path(claude_code_proxy.__file__).parents[1]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
def child(stub: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    assert stub.is_dir()
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with subprocess.Popen(
        command(weights), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield process
        process.kill()


def command(weights: Path, *options: str) -> list[str]:
    return [sys.executable, *options, "-m", "claude_code_proxy.local.child", str(weights), "tiny", "512"]


def answer(child: subprocess.Popen[str]) -> dict[str, str]:
    assert child.stdout
    line: dict[str, str] = json.loads(child.stdout.readline())
    return line


def failure_of(command: list[str]) -> dict[str, str]:
    """What a child says that cannot start, with its input held open until it has ended by itself."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.wait(timeout=WAIT) == 1
        assert child.stdout
        told: dict[str, str] = json.loads(child.stdout.read())
        return told


def test_prints_its_address_and_nothing_else(child: subprocess.Popen[str]) -> None:
    told = answer(child)

    assert set(told) == {"base_url"}
    assert told["base_url"].startswith("http://127.0.0.1:")
    assert told["base_url"].endswith("/v1")
    assert child.communicate(timeout=WAIT)[0] == ""  # the stub prints, too: that went to standard error


def test_ends_when_its_input_ends(child: subprocess.Popen[str]) -> None:
    answer(child)
    assert child.stdin
    assert child.poll() is None

    child.stdin.close()

    assert child.wait(timeout=WAIT) == 0


def test_sets_the_server_up(child: subprocess.Popen[str], weights: Path) -> None:
    with urllib.request.urlopen(answer(child)["base_url"], timeout=WAIT) as reply:
        seen: dict[str, Any] = json.load(reply)

    assert seen["wait_policy"] == "passive"  # at the time of the import
    assert seen["api_keys"] == ["secret"]
    assert seen["hostnames"] == ["127.0.0.1"]
    assert seen["cors_origins"] == "localhost"
    assert seen["model"] == {"path": str(weights)}
    assert seen["model_alias"] == ["tiny"]
    assert seen["sampling"] == {"temp": 0.0}
    assert (seen["n_ctx"], seen["n_batch"], seen["n_parallel"]) == (512, 512, 1)
    assert 1 <= seen["cpuparams"]["n_threads"] <= seen["cpuparams_batch"]["n_threads"]


@pytest.mark.parametrize(
    ("failure", "command_to_run"),
    [
        ("No module named 'xllamacpp'", INSTALL),
        ("libgomp.so.1: cannot open shared object file: No such file or directory", "apt-get install -y libgomp1"),
        ("libstdc++.so.6: cannot open shared object file", "apt-get install -y libstdc++6"),
    ],
)
def test_says_what_to_run_if_the_library_cannot_be_loaded(
    failure: str, command_to_run: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({failure!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    told = failure_of(command(weights))

    assert told == {"error": f"xllamacpp cannot be loaded: {failure}.", "fix": f"Run: {command_to_run}"}


def test_says_what_to_run_without_the_extra(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))

    # -S: no installed packages at all, so this also holds the child to the standard library.
    assert failure_of(command(weights, "-S"))["fix"] == f"Run: {INSTALL}"


@pytest.mark.usefixtures("stub")
def test_says_that_the_model_cannot_be_loaded(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    weights.write_bytes(b"junk")

    told = failure_of(command(weights))

    assert told["error"].startswith("llama.cpp cannot load the model")
    assert str(weights) in told["fix"]
