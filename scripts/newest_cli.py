"""Play the matrix with the newest Claude Code, and tell what fails and what is new to the proxy.

A look ahead, not a gate: the exit code is 0 whatever is found, unless `--strict`. Needs npm and its registry.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

ROOT = Path(__file__).parents[1]
PACKAGE = "@anthropic-ai/claude-code"
LONGEST_INSTALL, LONGEST_RUN = 600, 3600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="exit with 1 if anything failed or is new")
    parser.add_argument("--tag", default="latest", help="another version or tag of npm's")
    args, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            binary, version = install(Path(folder), args.tag)
        except (OSError, subprocess.SubprocessError) as cause:
            print(f"No {PACKAGE}@{args.tag}: {cause}")
            return int(args.strict)
        print(f"Claude Code {version}", flush=True)
        report = Path(folder) / "drift.json"
        env = {"CLAUDE_CLI": str(binary), "CLAUDE_CLI_VERSION": version, "DRIFT_REPORT": str(report)}
        failed, summary = played(env, more)
        drift = json.loads(report.read_text("utf-8")) if report.is_file() else None
    print(summary)
    for line in failed:
        print(f"  {line}")
    print(told(drift))
    return int(args.strict and bool(failed or drift or drift is None))


def install(folder: Path, tag: str) -> tuple[Path, str]:
    """Put the CLI into a folder: where it is, and which it is. Raises `OSError` or `SubprocessError`."""
    npm = which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not on PATH")
    command = [npm, "install", "--prefix", str(folder), f"{PACKAGE}@{tag}", "--no-audit", "--no-fund"]
    subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_INSTALL)  # noqa: S603 -- our own words
    modules = folder / "node_modules"
    # Without its postinstall script the package has no working .bin/claude, but the platform's package is there.
    for binary in (modules / ".bin" / "claude", *modules.glob("@anthropic-ai/claude-code-*/claude")):
        said = subprocess.run([binary, "--version"], check=False, capture_output=True, text=True)  # noqa: S603
        if version := said.stdout.partition(" ")[0].strip():
            return binary, version
    raise FileNotFoundError("what npm installed does not run")


def played(env: dict[str, str], more: list[str]) -> tuple[list[str], str]:
    """Run the matrix: the tests that failed, and pytest's own summary."""
    command = [sys.executable, "-m", "pytest", "tests/matrix", "-q", "--tb=line", *more]
    done = subprocess.run(  # noqa: S603 -- our own words
        command, check=False, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=LONGEST_RUN
    )
    lines = done.stdout.splitlines() or done.stderr.splitlines() or [""]
    return [line for line in lines if line.startswith(("FAILED", "ERROR"))], lines[-1]


def told(drift: dict[str, dict[str, dict[str, object]]] | None) -> str:
    """What is new, by kind."""
    if drift is None:
        return "Drift: not known, the server was not asked."
    return "\n".join(
        ["Drift:", *(f"  {kind}: {', '.join(names)}" for kind, names in drift.items())] if drift else ["Drift: none"]
    )


if __name__ == "__main__":
    sys.exit(main())
