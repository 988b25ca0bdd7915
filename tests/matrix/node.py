"""Running Anthropic's TypeScript SDKs, the pinned ones, in Node."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from e2e.claude import INSTALLED, LONGEST_INSTALL, LONGEST_RUN

SCRIPTS = Path(__file__).parents[1] / "typescript"
PLACE = INSTALLED / "typescript"
PACKAGES = ("package.json", "package-lock.json")
"""What is installed, each package with its checksum."""


async def played(script: str, home: Path, **asked: Any) -> Any:
    """What a script of tests/typescript prints as its last line, told what it is asked; it must end well."""
    node = await asyncio.to_thread(_node)
    process = await asyncio.create_subprocess_exec(
        node,
        *("--input-type=module", "-"),
        cwd=PLACE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "ASKED": json.dumps(asked)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        code = (SCRIPTS / f"{script}.mjs").read_bytes()
        out, err = await asyncio.wait_for(process.communicate(code), LONGEST_RUN)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    assert process.returncode == 0, err.decode()
    return json.loads(out.splitlines()[-1])


def _node() -> str:
    """Where Node is, with the packages in their place; the test is skipped where they cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on PATH")
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # parallel tests install once
        if not _installed():
            for name in PACKAGES:
                shutil.copy(SCRIPTS / name, PLACE)
            # The optional packages are other copies of the CLI, which is pinned elsewhere.
            done = subprocess.run(
                [npm, "ci", "--prefix", PLACE, "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"],
                capture_output=True,
                text=True,
                timeout=LONGEST_INSTALL,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"the TypeScript SDKs cannot be installed: {done.stderr.strip()[-500:]}")
            (PLACE / ".done").write_bytes(_wanted())
    return node


def _wanted() -> bytes:
    return b"".join((SCRIPTS / name).read_bytes() for name in PACKAGES)


def _installed() -> bool:
    done = PLACE / ".done"
    return done.is_file() and done.read_bytes() == _wanted()
