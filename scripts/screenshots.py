"""Draw the terminals of README.md from real runs: `python scripts/screenshots.py`.

With `--check` nothing is written; the exit status says whether the pictures show what the runs show today.
"""

from __future__ import annotations

import asyncio
import html
import re
import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import platformdirs
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT / "tests"))

from claude_code_proxy.cli.ports import free_port  # noqa: E402
from cli.terminal import clean, session  # noqa: E402 # the tests' terminal, upstream and Claude Code
from e2e.claude import QUIET, find_cli  # noqa: E402
from upstreams import Chat, FakeChat  # noqa: E402

COLUMNS = 118
MODEL = "openai:gpt-4o"
QUESTION = "What does this project do?"
ANSWER = "It lets Claude Code and the Claude Agent SDK run on any model, of any provider that you choose."

# What differs from run to run, and what is shown for it.
CHANGES = (
    (r"http://127\.0\.0\.1:(?!4000\b|9\b)\d+", "http://127.0.0.1:4000"),
    (r"127\.0\.0\.1:(?!4000\b|9\b)\d+", "127.0.0.1:4000"),
    (r"[^\n]*━[^\n]*\n", ""),
    (r"\d\d:\d\d:\d\d", "12:00:00"),
    (r"\b\d+\.\d\d?s\b", "0.48s"),
    (r"req_\w+", "req_…"),
)


class Shot(NamedTuple):
    """A picture: the command that it shows, and how that is run, with all that it said."""

    name: str
    title: str
    command: str
    run: Callable[[Path], Awaitable[str]]


async def said(words: Sequence[str], env: Mapping[str, str], home: Path, until: str = "") -> str:
    """What a command line shows in a terminal until its end, or until it has shown something."""
    async with session(*words, env=dict(env), cwd=home) as shell:
        if until:
            await shell.until(until)
        else:
            await shell.ended()
        return shell.raw.decode("utf-8", "replace")


def world(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user with the pinned Claude Code, on a machine that runs no model."""
    folder = home / "bin"
    folder.mkdir()
    (folder / "claude").symlink_to(find_cli())
    env = clean(home, **QUIET, **more)
    return {**env, "PATH": f"{folder}:{env['PATH']}", "COLUMNS": str(COLUMNS)}


async def local(home: Path) -> str:
    env = {**clean(home), "XDG_CACHE_HOME": str(platformdirs.user_cache_path())}  # the model that the tests fetched
    return await said(("--local", "--port", "0"), env, home, until="capital of France")


async def doctor(home: Path) -> str:
    keys = home / ".config" / "claude-code-proxy" / ".env"
    keys.parent.mkdir(parents=True)
    keys.touch(0o600)
    keys.write_text("OPENROUTER_API_KEY=sk-or-v1-none\nBIG_MODEL=qwen/qwen3-coder\n", "utf-8")
    env = world(home, NO_PROXY="127.0.0.1", CLAUDE_CODE_USE_BEDROCK="1")
    words = ("doctor", "--offline", "--env-file", str(keys), "--port", str(free_port()))
    return await said(words, env, home)


async def code(home: Path) -> str:
    async with FakeChat([Chat(ANSWER)] * 3, extras=True) as chat:
        env = world(home, OPENAI_API_KEY="x", OPENAI_BASE_URL=chat.api)
        words = ("code", "--port", "0", "--model", MODEL, "--", "-p", QUESTION)
        return await said(words, env, home)


SHOTS = (
    Shot("local", "a model on this machine", "uv run --extra local claude-code-proxy --local", local),
    Shot("doctor", "what is wrong", "claude-code-proxy doctor --offline", doctor),
    Shot("code", "Claude Code", f'claude-code-proxy code --model {MODEL} -- -p "{QUESTION}"', code),
)


def shown(text: str, home: Path) -> str:
    """A run's words without what differs each time."""
    text = text.replace(str(home), "~").replace("~/bin/claude", "~/.local/bin/claude")
    for pattern, instead in CHANGES:
        text = re.sub(pattern, instead, text)
    return re.sub(r"\x1b\[[0-9;?]*[a-ln-zA-Z]|\x1b[78=>]|\x1b\][^\x07]*\x07|\r", "", text).strip(
        "\n"
    )  # all but colours


def drawn(shot: Shot, text: str) -> str:
    """The picture, without fonts from elsewhere."""
    options = {"record": True, "width": COLUMNS, "file": StringIO(), "color_system": "truecolor"}
    console = Console(force_terminal=True, legacy_windows=False, **options)
    console.print(Text.assemble(("$ ", "bold green"), shot.command))
    console.print(Text.from_ansi(text))
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title=shot.title, code_format=form, unique_id=shot.name)


def text_of(svg: str) -> list[str]:
    """The words of a picture, in order."""
    words = (html.unescape(word).replace("\xa0", " ").strip() for word in re.findall(r"<text[^>]*>(.*?)</text>", svg))
    return [word for word in words if word]


async def picture(shot: Shot) -> str:
    """Run it and draw it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        return drawn(shot, shown(await shot.run(home), home))


async def main(arguments: Sequence[str]) -> int:
    stale: list[str] = []
    wanted = [word for word in arguments if not word.startswith("-")]
    for shot in SHOTS:
        if wanted and shot.name not in wanted:
            continue
        path, svg = PICTURES / f"{shot.name}.svg", await picture(shot)
        same = path.is_file() and text_of(path.read_text("utf-8")) == text_of(svg)
        if not same:
            stale.append(shot.name)
        if not same and "--check" not in arguments:
            path.write_text(svg, "utf-8")
    if "--check" in arguments and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}. Run: python scripts/screenshots.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
