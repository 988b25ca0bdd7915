"""`claude-code-proxy report`: what is in a bundle, and that it can be played again."""

from __future__ import annotations

import argparse
import json
import re
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from canaries import canary, told
from claude_code_proxy import __version__
from claude_code_proxy.cli import report
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.ledger.database import connect
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


async def captured(tmp_path: Path, **body: Any) -> tuple[Path, str]:
    """A ledger with one captured request, and its id."""
    async with capturing(tmp_path) as stage:
        made = reply("openai_chat", stream=True, text=TEXT)
        await stage.ask("openai_chat", [made.whole], {**BODY, "stream": True, **body})
        await stage.written()
        return stage.place, stage.rows()[0].id


async def test_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, id = await captured(tmp_path)  # noqa: A001
    with environment(monkeypatch, place):
        bundle = run(id, tmp_path)
    meta = bundle.meta
    assert set(bundle.files) == {
        *("README.md", "meta.json", "request.json", "upstream.json", "upstream.sse", "answer.sse"),
    }
    assert meta["versions"]["proxy"] == meta["asked"]["versions"]["proxy"] == __version__
    assert meta["provider"]["name"] == "openrouter"
    assert "api_key" not in meta["provider"]
    assert (meta["row"]["id"], meta["row"]["state"], meta["content"]) == (id, "ok", False)
    for name in bundle.files:
        assert name == "README.md" or f"`{name}`" in bundle.files["README.md"].decode()


async def test_the_shape_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, id = await captured(tmp_path)  # noqa: A001
    with environment(monkeypatch, place):
        bare, whole = run(id, tmp_path), run(id, tmp_path, content=True)
    for name in ("request", "outgoing", "incoming", "answer"):
        assert len(bare.part(name)) == len(whole.part(name))
        assert bare.meta[name]["lengths"] == whole.meta[name]["lengths"]
    before, after = json.loads(whole.part("request")), json.loads(bare.part("request"))
    assert after["tools"] == before["tools"]
    assert after["model"] == before["model"]
    assert after["messages"][0]["content"][0]["type"] == "text"
    [text] = after["messages"][0]["content"]
    assert len(text["text"]) == len(PROMPT)
    assert set(text["text"]) <= set('x1 ,?"\\<b>一😀')


async def test_the_project_is_told_with_content_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, id = rows(tmp_path, {"project": f"/home/{WORD}"})  # noqa: A001
    with environment(monkeypatch, place):
        assert run(id, tmp_path).meta["row"]["project"] == ""
        assert run(id, tmp_path, content=True).meta["row"]["project"] == f"/home/{WORD}"


def rows(tmp_path: Path, *some: dict[str, Any]) -> tuple[Path, str]:
    """A ledger with these rows, nothing of them captured, and the id of the last one."""
    place = tmp_path / "rows.db"
    ledger = Ledger(str(place), interval=0.01, clock=lambda: 1000.0)
    for number, row in enumerate(some):
        ledger.ended(
            Entry(**{"id": f"req_{number}", "began": float(number), "endpoint": "messages", "state": "ok", **row})
        )
    ledger.start()
    ledger.close()
    return place, f"req_{len(some) - 1}"


async def test_without_a_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, id = rows(tmp_path, {"error": "api_error", "client": "claude-cli/2.1"})  # noqa: A001
    with environment(monkeypatch, place):
        bundle = run(id, tmp_path)
    assert set(bundle.files) == {"README.md", "meta.json"}
    assert bundle.meta["row"]["error"] == "api_error"
    assert bundle.meta["versions"]["client"] == "claude-cli/2.1"
    assert "PROXY_CAPTURE=true" in bundle.files["README.md"].decode()
    assert "PROXY_CAPTURE=true" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("states", "meant"),
    [
        (["ok", "ok"], "req_1"),
        (["upstream_error", "ok"], "req_0"),
        (["timeout", "upstream_error", "ok"], "req_1"),
        (["refused", "ok", "client_closed"], "req_0"),
        (["ok", "aborted", "shed", "ok"], "req_2"),
    ],
)
def test_the_last_one(states: list[str], meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = rows(tmp_path, *({"state": state} for state in states))
    with environment(monkeypatch, place):
        assert run("last", tmp_path).meta["row"]["id"] == meant


def test_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = rows(tmp_path, {"id": "../../evil id"})
    monkeypatch.chdir(tmp_path)
    with environment(monkeypatch, place):
        report.command(argparse.Namespace(request_id="last", with_content=False, output=""))
    assert [file.name for file in tmp_path.glob("*.zip")] == ["report-______evil_id.zip"]


FAULTS: dict[str, tuple[str, str, str, str]] = {
    "no such request": ("ledger", "req_9", "", "The ledger has no request 'req_9'"),
    "an empty ledger": ("empty", "last", "", "The ledger holds no requests yet."),
    "no ledger": ("none", "last", "", "There is no ledger yet"),
    "it is off": ("off", "last", "", "PROXY_LEDGER is off"),
    "a folder": ("ledger", "last", ".", "cannot be written"),
    "no folder": ("ledger", "last", "nowhere/it.zip", "cannot be written"),
    "a database that does not answer": ("postgresql://127.0.0.1:9/x", "last", "", "The ledger cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_done(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, id, output, message = FAULTS[fault]  # noqa: A001
    place = {
        "ledger": str(rows(tmp_path, {})[0]),
        "empty": str(tmp_path / "empty.db"),
        "none": str(tmp_path / "none.db"),
    }
    connect(place["empty"]).close()
    monkeypatch.chdir(tmp_path)
    with environment(monkeypatch, place.get(named, named)), pytest.raises(CommandError, match=re.escape(message)):
        report.command(argparse.Namespace(request_id=id, with_content=False, output=output))
    assert list(tmp_path.glob("*.zip")) == []


async def test_keys_that_were_set_since_are_masked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = canary("a key of later")
    place, id = await captured(tmp_path, system=f"The key {secret}.")  # noqa: A001
    monkeypatch.setenv("NVIDIA_API_KEY", secret)
    with environment(monkeypatch, place):
        bundle = run(id, tmp_path, content=True)
    assert b"The key [masked]." in bundle.part("request")
    assert told(b"".join(bundle.files.values()).decode("utf-8", "replace"), [secret]) == []
