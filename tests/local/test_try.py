"""`claude-code-proxy try`: the answer on standard output, everything else on standard error, honest exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.cli import try_
from claude_code_proxy.cli.local_proxy import NotStartedError, rows, running
from claude_code_proxy.cli.progress import shown
from claude_code_proxy.cli.try_ import Answer, AnswerError, read_answer, run
from claude_code_proxy.local import INSTALL
from claude_code_proxy.local.fetch import find_model
from claude_code_proxy.local.server import LocalModel
from claude_code_proxy.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


WAIT = 120
ASK = "import sys; from claude_code_proxy.cli.try_ import run; sys.exit(run(sys.argv[1], max_tokens=int(sys.argv[2])))"


NOWHERE = LocalModel("http://127.0.0.1:1/v1", "key", "x", 512, 0)
"""Nothing listens on port 1."""


async def stream(*events: dict[str, object], cut: int = 10) -> AsyncIterator[bytes]:
    """Those events as bytes, in pieces that respect no border."""
    whole = b"".join(b"event: x\ndata: %b\n\n" % json.dumps(event).encode() for event in events)
    for at in range(0, len(whole), cut):
        yield whole[at : at + cut]


def text(said: str) -> dict[str, object]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said}}


START: dict[str, object] = {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 0}}}
END: dict[str, object] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
CUT: dict[str, object] = {
    "type": "message_delta",
    "delta": {"stop_reason": "max_tokens"},
    "usage": {"output_tokens": 8},
}
STOP: dict[str, object] = {"type": "message_stop"}


async def test_prints_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    answer = await read_answer(stream(START, {"type": "ping"}, text("Pa"), text("ris.\n\tÎle"), END, STOP))

    assert capsys.readouterr() == ("Paris.\n\tÎle\n", "")
    assert (answer.tokens, answer.cut) == (7, False)
    assert answer.seconds >= 0


async def test_tells_an_answer_that_was_cut_by_its_limit() -> None:
    assert (await read_answer(stream(START, text("Pa"), CUT, STOP))).cut


async def test_empty_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert await read_answer(stream(START, END, STOP)) == Answer(7, 0.0, cut=False)
    assert capsys.readouterr().out == ""


async def test_the_model_does_not_get_at_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    await read_answer(stream(START, text("a\x1b]0;title\x07b\x9bc\rd"), END, STOP))

    assert capsys.readouterr().out == "a]0;titlebcd\n"


async def test_error_event(capsys: pytest.CaptureFixture[str]) -> None:
    error: dict[str, object] = {"type": "error", "error": {"type": "overloaded_error", "message": "Too much to do."}}

    with pytest.raises(AnswerError, match=r"^Too much to do\.$"):
        await read_answer(stream(START, text("Pa"), error))
    assert capsys.readouterr().out == "Pa\n"


@pytest.mark.parametrize("events", [(), (START,), (START, text("Pa")), (START, text("Pa"), END)])
async def test_end_without_message_stop_is_an_error(events: tuple[dict[str, object], ...]) -> None:
    with pytest.raises(AnswerError, match="broke off"):
        await read_answer(stream(*events))


async def test_proxy_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_scope: object, _receive: object, send: Callable[[dict[str, str]], Awaitable[None]]) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no"})

    monkeypatch.setattr("claude_code_proxy.app.create_app", lambda _settings: broken)

    with pytest.raises(NotStartedError, match="did not start"):
        async with running(load_settings({}, providers=rows(NOWHERE))):
            pytest.fail("it started")


async def test_model_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.timeout(WAIT), running(load_settings({}, providers=rows(NOWHERE))) as url:
        with pytest.raises(AnswerError, match=r"\S"):
            await try_._ask(f"{url}/local:x", "x", "Hello", 8)

    assert capsys.readouterr().out == ""


async def test_proxy_that_is_gone() -> None:
    with pytest.raises(AnswerError, match="gave no answer"):
        await try_._ask(NOWHERE.base_url, "x", "Hello", 8)


@pytest.mark.parametrize("missing", ["xllamacpp", "rich", "pip"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else name)

    assert run("Hello") == 1
    assert capsys.readouterr() == ("", f'The local model needs the optional extra "local". Run: {INSTALL}\n')


def test_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("Hello", model="gpt-9") == 1
    assert "Choose one of: smollm2-135m" in capsys.readouterr().err


def test_plain_progress(capsys: pytest.CaptureFixture[str]) -> None:
    model = find_model("smollm2-135m")
    with shown(model) as (progress, finish):
        for done in range(0, 101, 5):
            progress("download", done * 1_000_000, 100_000_000)
        progress("check", 1, 2)
        progress("check", 2, 2)
        progress("load", 0, None)
        progress("load", 1, 1)
        finish()

    told = capsys.readouterr().err
    assert told == (
        "Downloading smollm2-135m ...\n"
        "Downloading smollm2-135m: 25 of 100 MB\n"
        "Downloading smollm2-135m: 50 of 100 MB\n"
        "Downloading smollm2-135m: 75 of 100 MB\n"
        "Downloading smollm2-135m: 100 of 100 MB\n"
        "Checking smollm2-135m ...\n"
        "Starting smollm2-135m ...\n"
    )


def test_imports_nothing_heavy() -> None:
    """`--help` must stay fast."""
    script = "import sys; import claude_code_proxy.cli.try_; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=WAIT, check=True)

    assert not {"uvicorn", "rich", "aiohttp", "xllamacpp", "pip"} & set(loaded.stdout.split())


@pytest.mark.usefixtures("local_model")
def test_real_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("What is the capital of France?", max_tokens=24) == 0

    answer, told = capsys.readouterr()
    assert answer.strip()
    assert answer.endswith("\n")
    assert re.search(r"smollm2-135m: \d+ tokens.*A demo model of 135 million parameters", told)
    assert "README" in told


@pytest.mark.usefixtures("local_model")
def test_real_question_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("word " * 9000, max_tokens=8) == 1

    answer, told = capsys.readouterr()
    assert answer == ""
    assert "Traceback" not in told
    assert "context" in told.lower() or "too long" in told.lower()


@pytest.mark.usefixtures("local_model")
def test_terminal_gets_bars_and_standard_output_only_the_answer() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", ASK, "Say hello.", "16"], stdout=subprocess.PIPE, stderr=theirs
    ) as asked:
        os.close(theirs)
        shown = read_all(ours)
        assert asked.stdout
        answer = asked.stdout.read()
        assert asked.wait(timeout=WAIT) == 0

    assert b"Starting smollm2-135m" in shown
    assert b"tokens/s" in shown
    assert b"\x1b" not in answer
    assert answer.strip()


@pytest.mark.usefixtures("local_model")
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the child")
def test_interrupted() -> None:
    """Ctrl-C in the middle of the answer: 130, no traceback, and the model is gone."""
    asked = subprocess.Popen(
        [sys.executable, "-c", ASK, "Write a long story about a dragon.", "512"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    with asked:
        assert asked.stdout
        assert asked.stderr
        assert asked.stdout.read(1)
        (child,) = Path(f"/proc/{asked.pid}/task/{asked.pid}/children").read_text().split()
        asked.send_signal(signal.SIGINT)
        _, told = asked.communicate(timeout=WAIT)

    assert asked.returncode == 130
    assert not Path("/proc", child).exists()
    assert b"Traceback" not in told


@pytest.mark.usefixtures("local_model")
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the child")
def test_killed() -> None:
    """Even without a chance to clean up, the model goes with its parent, busy as it is."""
    asked = subprocess.Popen(
        [sys.executable, "-c", ASK, "Write a long story about a dragon.", "512"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    with asked:
        assert asked.stdout
        assert asked.stdout.read(1)
        (child,) = Path(f"/proc/{asked.pid}/task/{asked.pid}/children").read_text().split()
        watched = os.pidfd_open(int(child))
        try:
            asked.kill()
            assert select.select([watched], [], [], 5)[0], "the model is still there after 5 s"
        finally:
            os.close(watched)


@pytest.mark.usefixtures("local_model")
def test_reader_that_has_seen_enough() -> None:
    asked = subprocess.Popen(
        [sys.executable, "-c", ASK, "Write a long story about a dragon.", "64"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    with asked:
        assert asked.stdout
        assert asked.stderr
        assert asked.stdout.read(1)
        asked.stdout.close()
        told = asked.stderr.read()
        assert asked.wait(timeout=WAIT) == 1

    assert b"Traceback" not in told
    assert b"BrokenPipe" not in told


def read_all(terminal: int) -> bytes:
    """What is written to a terminal until the last writer is gone."""
    shown = b""
    while select.select([terminal], [], [], WAIT)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so at the end
            part = b""
        if not part:
            break
        shown += part
    os.close(terminal)
    return shown
