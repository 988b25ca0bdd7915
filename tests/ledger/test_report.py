"""`claude-code-proxy report`: what is in a bundle, and that it can be played again."""

from __future__ import annotations

import argparse
import json
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from claude_code_proxy import __version__
from claude_code_proxy.cli import report
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.writer import Ledger
from faults.ops import KEEP, RESET, SSE, chunk, chunked_head, chunks, sized
from faults.replies import DIALECTS, KEYS, Reply, calling, reply
from machines import sized as cut
from replay import Bundle

from .capturing import capturing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from faults.ops import Op

WORD = "quokka"
PROMPT = f'What does the {WORD} eat, and 42 others? 你好 😀 "quoted" \\ <b>'
TEXT = f'The {WORD} eats grass.\n\n```json\n{{"{WORD}": [1, 2]}}\n```\n你好 😀'
BODY: dict[str, Any] = {
    "system": [{"type": "text", "text": f"You know every {WORD}.", "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": PROMPT}]}],
    "metadata": {"user_id": WORD},
}


@contextmanager
def environment(monkeypatch: pytest.MonkeyPatch, place: Path | str) -> Iterator[None]:
    monkeypatch.setenv("PROXY_LEDGER", str(place))
    monkeypatch.setenv("CLAUDE_CODE_PROXY_ENV_FILE", "")
    yield


def run(id: str, folder: Path, *, content: bool = False) -> Bundle:  # noqa: A002
    file = folder / f"{id}-{content}.zip"
    asked = argparse.Namespace(request_id=id, with_content=content, output=str(file))
    assert report.command(asked) == 0
    assert sys.platform == "win32" or stat.S_IMODE(file.stat().st_mode) == 0o600
    return Bundle.of(file)


def small(made: Reply) -> Sequence[Op]:
    """The answer in pieces of 50 bytes, each sent by itself."""
    if not made.stream:
        return made.whole
    return [chunked_head(SSE), *chunks(cut(made.body, 50)), b"0\r\n\r\n", KEEP]


def broken(made: Reply) -> Sequence[Op]:
    half = made.body[: len(made.body) // 2]
    return [made.head, chunk(half), RESET] if made.stream else [sized(made.body)[: -len(half)], RESET]


WAYS: dict[str, Callable[[Reply], Sequence[Op]]] = {
    "whole": lambda made: made.whole,
    "in pieces": small,
    "cut": broken,
    "refused": lambda made: [sized(made.error_body(f"No {WORD} today", 429), status=429), KEEP],
}
SAYINGS: dict[str, Callable[..., Reply]] = {
    "a text": lambda dialect, *, stream: reply(dialect, stream=stream, text=TEXT),
    "calls": lambda dialect, *, stream: calling(dialect, stream=stream, count=2),
}


@pytest.mark.parametrize("saying", SAYINGS)
@pytest.mark.parametrize("way", WAYS)
async def test_it_can_be_played_again(way: str, saying: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with capturing(tmp_path) as stage:
        for dialect in DIALECTS:
            for stream in (True, False):
                made = SAYINGS[saying](dialect, stream=stream)
                await stage.ask(dialect, [WAYS[way](made)], {**BODY, "stream": stream})
        await stage.written()
        rows = stage.rows()
    with environment(monkeypatch, stage.place):
        for row in rows:
            for content in (True, False):
                bundle = run(row.id, tmp_path, content=content)
                assert bundle.wrong() == "", (row.provider, row.stream, content)
                assert bundle.outgoing().body == bundle.part("outgoing") or not content
                everything = b"\n".join(bundle.files.values()).decode("utf-8", "replace")
                assert (WORD in everything) is content
                assert not any(key in everything for key in KEYS.values())
                assert bundle.meta["row"]["id"] == row.id
    assert len(rows) == 2 * len(DIALECTS)
