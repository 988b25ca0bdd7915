"""Put the list of checks and a report of a real run into docs/certify.md: `python scripts/certify_docs.py`.

The run takes minutes; `--checks` makes only the list. With `--check` nothing is written or run; the exit status says
whether the list is up to date.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from claude_code_proxy.cli.certify.checks import CHECKS

PAGE = Path(__file__).parents[1] / "docs" / "certify.md"
COMMAND = ("certify", "smollm2-135m", "--local")


def put(text: str, name: str, made: str) -> str:
    """The page with this between its marks."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    head, _, rest = text.partition(begin)
    return head + begin + made + end + rest.partition(end)[2]


def listed() -> str:
    rows = [f"| `{one.name}` | {one.title} | {'yes' if one.needed else ''} |\n" for one in CHECKS]
    return "| check | the model | Claude Code needs it |\n|---|---|---|\n" + "".join(rows)


def reported() -> str:
    words = [sys.executable, "-m", "claude_code_proxy", *COMMAND]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode not in {0, 1, 2}:
        raise SystemExit(done.returncode)
    return f"```\n$ claude-code-proxy {' '.join(COMMAND)}\n{done.stdout.rstrip()}\n```\n"


def main(words: list[str]) -> int:
    text = PAGE.read_text("utf-8")
    page = put(text, "checks", listed())
    if "--check" in words:
        return int(page != text)
    if "--checks" not in words:
        page = put(page, "report", reported())
    PAGE.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
