"""Feeds targets with what atheris makes up: `python tests/fuzz/run.py [--seconds N] [TARGET …]`, or `make fuzz`.

What it finds new stays in `.fuzz`, and the next run starts from there. An input that fails is in `.fuzz/failed`: once
it is mended, it belongs into `tests/fuzz/corpus/TARGET`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LARGEST, LONGEST, MEMORY = 3000, 20, 2000
"""Bytes of an input; seconds and MiB that it may take."""

OF_DOCUMENTS = ("reply-", "request-", "failure-", "front-door")
"""Targets that read JSON, whose inputs are changed as documents."""

sys.path[:1] = [str(HERE.parent)]  # not this folder, whose names are those of others


def _fuzz(name: str, options: list[str]) -> None:
    """Run one target in this process, which libFuzzer ends."""
    import atheris  # noqa: PLC0415 -- not everywhere

    with atheris.instrument_imports(include=["claude_code_proxy"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 -- it is instrumented while it is imported
    from fuzz.mutate import mutated  # noqa: PLC0415 -- see sys.path

    def changed(data: bytes, largest: int, seed: int) -> bytes:
        made = mutated(data, Random(seed))
        return atheris.Mutate(data, largest) if made is None or len(made) > largest else made

    documents = {"custom_mutator": changed} if name.startswith(OF_DOCUMENTS) else {}
    atheris.Setup([sys.argv[0], *options], TARGETS[name], **documents)
    atheris.Fuzz()


def fuzzed(name: str, seconds: int, home: Path) -> tuple[bool, str]:
    """Run one target in a process of its own: whether nothing failed, and what it said."""
    from fuzz.seeds import seeds  # noqa: PLC0415 -- see sys.path

    folder, failed = home / name, home / "failed"
    for one in (folder, failed):
        one.mkdir(parents=True, exist_ok=True)
    for seed, data in seeds(name).items():
        (folder / seed).write_bytes(data)
    limits = {"max_total_time": seconds, "max_len": LARGEST, "timeout": LONGEST, "rss_limit_mb": MEMORY}
    options = [f"-{option}={value}" for option, value in limits.items()]
    options += [f"-dict={HERE / 'words.dict'}", f"-artifact_prefix={failed}/{name}-", str(folder)]
    command = [sys.executable, __file__, "--one", name, *options]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode == 0, done.stderr + done.stdout


def main() -> int:
    """Run the targets that are named, or all."""
    from fuzz.targets import TARGETS  # noqa: PLC0415 -- see sys.path

    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    asked.add_argument("--seconds", type=int, default=60, help="for each target")
    options = asked.parse_args()
    failures = 0
    for name in options.targets or TARGETS:
        good, said = fuzzed(name, options.seconds, ROOT / ".fuzz")
        failures += not good
        print(f"{name}: {said.strip().splitlines()[-1]}" if good else f"{name} failed:\n{said[-4000:]}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _fuzz(sys.argv[2], sys.argv[3:])
    raise SystemExit(main())
