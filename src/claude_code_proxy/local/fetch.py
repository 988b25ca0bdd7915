"""A model's file, out of a wheel on the package index and into the cache, with its bytes checked.

The wheel comes through pip, so whatever the user set up for it (an own index, a proxy, certificates)
holds here too. It is never installed: one member is read out of it as data.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import time
import zipfile
import zlib
from collections import deque
from contextlib import contextmanager, suppress
from datetime import date  # noqa: TC003  msgspec reads the annotations
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import platformdirs

from claude_code_proxy.local import (
    INSTALL,
    ChecksumError,
    DiskError,
    LocalModelError,
    OfflineError,
    PipError,
    UnknownModelError,
    WheelError,
    silent,
)
from claude_code_proxy.local.process import end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_code_proxy.local import Progress

_STALL: Final = 300.0
"""Seconds without a word from pip after which it is given up. pip itself gives up on a silent connection sooner."""

_STALE: Final = 24 * 3600.0
"""Seconds after which a folder that a killed fetch left behind is removed."""

_BLOCK: Final = 1 << 20
_TEMPORARY: Final = ".fetch-"
_PROGRESS: Final = re.compile(r"Progress (\d+) of (\d+)\s*\Z")
"""What `pip download --progress-bar raw` prints (pip 24.1 and later); the total is 0 if the server did not say."""


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of models.toml."""

    name: str
    """How the command line and the proxy call it."""
    requirement: str
    """The package that holds it, pinned: `name==version`."""
    wheel_size: int
    """Bytes to download."""
    member: str
    """Path of the GGUF file inside the wheel."""
    size: int
    """Bytes of that file."""
    sha256: str
    """Its checksum, 64 hexadecimal digits in lower case."""
    context: int
    """Tokens that prompt and answer may have together."""
    parameters: int
    license: str
    """SPDX name."""
    publisher: str
    trust: str
    """Why these bytes may be run."""
    checked: date
    """When that was looked at."""


class _Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[Model, ...]


@cache
def models() -> dict[str, Model]:
    """Every model there is, by name."""
    text = resources.files(__package__).joinpath("models.toml").read_bytes()
    return {model.name: model for model in msgspec.toml.decode(text, type=_Models).model}


def find_model(name: str) -> Model:
    """The model of that name; raises `UnknownModelError`."""
    try:
        return models()[name]
    except KeyError:
        raise UnknownModelError(
            f"There is no local model {name!r}.", f"Choose one of: {', '.join(models())}."
        ) from None


def default_cache_dir() -> Path:
    """Where models are kept unless told otherwise: the user's cache directory of this platform."""
    return platformdirs.user_cache_path("claude-code-proxy", appauthor=False) / "models"


async def fetch(model: Model, cache_dir: Path | None = None, progress: Progress = silent) -> Path:
    """The path of the model's file, downloaded and checked if the cache does not have it.

    Several processes may do this at once: each works in a folder of its own and moves the whole file into
    place. Raises a `LocalModelError`, after which nothing is left behind.
    """
    folder = cache_dir or default_cache_dir()
    target = folder / f"{model.name}-{model.sha256[:12]}.gguf"
    if _is_whole(target, model):
        return target
    with _explained(model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _need_room(model, folder)
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder, ignore_cleanup_errors=True) as name:
            await _download(model, Path(name), progress)
            part = Path(name, "model.gguf")
            for done in _unpack(_wheel_in(Path(name), model), model, part):
                progress("check", done, model.size)
                await asyncio.sleep(0)  # the bar is drawn, and Ctrl-C heard, between two blocks
            _publish(part, target, model)
    return target


def _is_whole(path: Path, model: Model) -> bool:
    """Whether the cache has it. The checksum was compared when it was put there; its size tells a damaged one."""
    return path.is_file() and path.stat().st_size == model.size


def _publish(part: Path, target: Path, model: Model) -> None:
    try:
        part.replace(target)
    except PermissionError:
        # Windows: another process was first, and its server has the file open.
        if not _is_whole(target, model):
            raise


def _sweep(folder: Path) -> None:
    oldest = time.time() - _STALE
    for left in folder.glob(f"{_TEMPORARY}*"):
        with suppress(FileNotFoundError):  # its owner is done with it
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


def _need_room(model: Model, folder: Path) -> None:
    # pip writes the wheel twice: to its temporary folder, and from there to ours.
    need = model.wheel_size + max(model.wheel_size, model.size)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DiskError(
            f"{model.name} needs {_megabytes(need)} of disk space in {folder}; {_megabytes(free)} are free.",
            "Make room there and run the command again.",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


@contextmanager
def _explained(model: Model, folder: Path) -> Iterator[None]:
    """Turns what the disk and the archive may raise into errors with a way out."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise WheelError(
            f"The package {model.requirement} arrived damaged: {error}.", "Run the command again."
        ) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskError(f"The disk of {folder} is full.", "Make room there and run the command again.") from error
        raise DiskError(
            f"Cannot write to the model cache {folder}: {error.strerror or error}.",
            "Make that directory writable and run the command again.",
        ) from error


async def _download(model: Model, folder: Path, progress: Progress) -> None:
    """Have pip put the wheel into `folder`."""
    if importlib.util.find_spec("pip") is None:
        raise PipError("pip is not installed.", f"Run: {INSTALL}")
    progress("download", 0, model.wheel_size)
    # pip's own temporary files and copies go where ours are: room was made there, and they are removed with it.
    quiet = {**dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)), "PIP_QUIET": "0", "PIP_VERBOSE": "0"}
    options = "--no-cache-dir --no-deps --only-binary :all: --no-input --disable-pip-version-check --no-color"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "pip", "download", *options.split(), "--progress-bar", "raw"),
        *("--dest", str(folder), model.requirement),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **quiet},
        start_new_session=True,  # Ctrl-C is ours to handle
    )
    try:
        said = await _follow(process, model, progress)
        code = await process.wait()
    finally:
        await end(process, patience=5)
    if code != 0:
        raise _pip_failure(model, said)


def _wheel_in(folder: Path, model: Model) -> Path:
    for wheel in folder.glob("*.whl"):
        return wheel
    raise PipError(
        f"pip fetched {model.requirement}, but no wheel arrived.", "Check pip's settings (`pip config list`)."
    )


async def _follow(process: asyncio.subprocess.Process, model: Model, progress: Progress) -> str:
    """Reports pip's progress; gives the end of what else it said."""
    said: deque[str] = deque(maxlen=60)
    reached = 0
    while True:
        try:
            line = await asyncio.wait_for(_line(process), _STALL)
        except TimeoutError:
            raise OfflineError(
                f"The download of {model.requirement} stopped: nothing came for {_STALL:.0f} s.",
                "Check the network and run the command again.",
            ) from None
        if line is None:
            return "\n".join(said)
        if found := _PROGRESS.match(line):
            # After a broken connection pip may count from 0 again; a bar that runs backwards helps nobody.
            reached = max(reached, int(found[1]))
            progress("download", reached, max(int(found[2]), reached) or None)
        else:
            said.append(line)


async def _line(process: asyncio.subprocess.Process) -> str | None:
    assert process.stdout is not None  # noqa: S101  it was started with a pipe
    line = await process.stdout.readline()
    return line.decode(errors="replace").rstrip() if line else None


class _Sign(NamedTuple):
    """Words in pip's output that tell why it failed."""

    words: re.Pattern[str]
    error: type[LocalModelError]
    problem: str
    remedy: str


_SIGNS: Final = (
    _Sign(
        re.compile(r"No space left on device|Disk quota exceeded|\[Errno 28\]"),
        DiskError,
        "The disk is full.",
        "Make room in the model cache and run the command again.",
    ),
    _Sign(
        # Must come before the next: pip ends with "no matching distribution" when it is offline, too.
        re.compile(r"connection broken|NewConnectionError|Failed to establish|timed out|Timeout|SSLError|ProxyError"),
        OfflineError,
        "The package index cannot be reached.",
        "Check the network (behind a proxy, set HTTPS_PROXY) and run the command again.",
    ),
    _Sign(
        re.compile(r"No matching distribution found|Could not find a version"),
        WheelError,
        "The package index that pip is set up with does not have it.",
        "See with `pip config list` which index that is.",
    ),
    _Sign(re.compile(""), PipError, "pip failed.", "Run the command again; if it stays so, check pip's settings."),
)
"""Read from the top. The words are those of pip 26."""


def _pip_failure(model: Model, said: str) -> LocalModelError:
    sign = next(sign for sign in _SIGNS if sign.words.search(said))
    # When offline, pip blames the package; its own words help only where nothing better is known.
    told = f" It says: {_last_words(said)}" if sign.error is PipError else ""
    return sign.error(f"Cannot fetch {model.requirement}. {sign.problem}{told}", sign.remedy)


def _last_words(said: str) -> str:
    """The last error that pip told, or else its last line, which ends a traceback."""
    lines = [line for line in said.splitlines() if line.strip()] or ["nothing."]
    errors = [line for line in lines if line.startswith("ERROR:") and not line.endswith("Exception:")]
    words = (errors or lines)[-1].removeprefix("ERROR:").strip()
    return words if words.endswith(".") else f"{words}."


def _unpack(wheel: Path, model: Model, part: Path) -> Iterator[int]:
    """Copies the model out of the wheel to `part`, giving the bytes done so far, and checks it.

    No more than `model.size` bytes are ever written, whatever the archive says about itself.
    """
    digest = hashlib.sha256()
    done = 0
    with zipfile.ZipFile(wheel) as archive:
        if model.member not in archive.namelist():
            raise WheelError(
                f"The package {model.requirement} does not hold {model.member}.",
                "This version of claude-code-proxy does not fit it: update claude-code-proxy.",
            )
        with archive.open(model.member) as source, part.open("xb") as sink:
            while done <= model.size and (block := source.read(_BLOCK)):
                digest.update(block)
                done += len(block)
                sink.write(block)
                yield done
    if done != model.size or digest.hexdigest() != model.sha256:
        raise ChecksumError(
            f"The model in {model.requirement} is not the one that was pinned: its SHA-256 differs.",
            "Do not use it. If pip uses an index of your own, look at what that index serves.",
        )
