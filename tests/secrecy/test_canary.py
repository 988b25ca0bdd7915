"""Every log at its most talkative, every way to fail, in every dialect: no secret is told, nor six letters of one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from canaries import told
from claude_code_proxy.attempts import Attempt, Wish
from claude_code_proxy.gateway import Exchange
from claude_code_proxy.health import Health
from claude_code_proxy.ledger.capture import opened_parts
from claude_code_proxy.ledger.reading import read
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings
from claude_code_proxy.wire.head import decode_head
from e2e.http_client import HELLO
from e2e.proxy import ROOT
from faults.replies import reply

from .stage import (
    ANSWER,
    CLIENT,
    FAILURES,
    KEY_OF,
    OURS,
    PLACES,
    PROMPT,
    PROXY_KEY,
)

if TYPE_CHECKING:
    from .place import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODY = {**HELLO, "system": PROMPT, "messages": [{"role": "user", "content": f"Say {PROMPT}."}]}
_numbers = count(1)


@pytest.mark.fault("S-09")
@pytest.mark.parametrize("how", FAILURES)
async def test_no_answer_tells_a_secret(place: Place, how: str) -> None:
    async def one(named: str, stream: bool) -> None:  # noqa: FBT001
        case = next(_numbers)
        made = reply(named.partition(" ")[0], stream=stream, text=f"{ANSWER} {ANSWER}")
        place.upstream.scripts[case] = [FAILURES[how](made, KEY_OF[named])]
        answer = await place.ask(f"/{PLACES[named]}:case-{case}/v1/messages", {**BODY, "stream": stream})
        assert (answer.status == 200) == (how == "success") or stream, (named, answer.status, answer.body[:300])
        [first, *_] = place.upstream.of(case)
        assert KEY_OF[named] in first.head.decode(), "it was asked with its key"
        assert told(first.head.decode(), [CLIENT, PROXY_KEY]) == []

    place.answers.clear()
    await asyncio.gather(*(one(named, stream) for named in PLACES for stream in (True, False)))
    for answer in place.answers:
        assert told(f"{answer.headers} {answer.body.decode(errors='replace')}", (*OURS, CLIENT)) == []
    assert told(place.log(), place.hidden()) == []


@pytest.mark.fault("S-09")
@pytest.mark.parametrize("where", ["request", "reply"])
async def test_a_mistake_of_ours_tells_none(place: Place, where: str) -> None:
    for named, provider in PLACES.items():
        for stream in (True, False):
            case = next(_numbers)
            made = reply(named.partition(" ")[0], stream=stream, text=f"{ANSWER} {ANSWER}")
            place.upstream.scripts[case] = [made.whole]
            pinned = f"/{provider}:case-{case}-{where}/v1/messages"
            answer = await place.ask(pinned, {**BODY, "stream": stream})
            assert answer.status == 500 or b"event: error" in answer.body, (named, answer.status, answer.body[:300])
            assert told(f"{answer.headers} {answer.body.decode()}", (*OURS, CLIENT, PROMPT)) == []
    assert "served.py" in place.log(), "where it was made is in the log"
    assert told(place.log(), place.hidden()) == []


REFUSED: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "another key": ("POST", "/v1/messages", BODY, {"x-api-key": PROXY_KEY[::-1]}),
    "no JSON": ("POST", "/openai:m/v1/messages", f'{{"model": "{PROMPT}'.encode(), {}),
    "another shape": ("POST", "/openai:m/v1/messages", {"model": "m", "messages": PROMPT}, {}),
    "a form": ("POST", "/openai:m/v1/messages", PROMPT.encode(), {"content-type": "text/plain"}),
    "no provider": ("POST", "/nobody:m/v1/messages", BODY, {}),
    "no path": ("GET", "/nowhere", None, {}),
    "no method": ("DELETE", "/v1/messages", None, {}),
    "a key in the query": ("POST", f"/openai:m/v1/messages?key={CLIENT}&x={PROMPT}", {**BODY, "max_tokens": -1}, {}),
    "a foreign page": ("POST", "/v1/messages", BODY, {"origin": "http://elsewhere.test"}),
    "a count": ("POST", "/openai:m/v1/messages/count_tokens", BODY, {}),
    "models": ("GET", "/v1/models", None, {}),
    "a passage": ("GET", f"/anthropic:/v1/files?x={CLIENT}", None, {}),
}


@pytest.mark.fault("S-09")
@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_or_told_at_once_tells_none(place: Place, case: str) -> None:
    method, path, body, headers = REFUSED[case]
    answer = await place.ask(path, body, method=method, **headers)
    assert answer.status
    assert told(f"{answer.headers} {answer.body.decode()}", (*OURS, CLIENT)) == []
    assert told(place.log(), place.hidden()) == []


@pytest.mark.fault("S-09")
@pytest.mark.parametrize("path", ["/status", "/metrics", "/", "/healthz", "/readyz"])
async def test_no_page_tells_any(place: Place, path: str) -> None:
    answer = await place.ask(path, method="GET")
    assert answer.status == 200
    assert told(f"{answer.headers} {answer.body.decode()}", place.hidden()) == []


@pytest.mark.fault("S-09")
async def test_the_log_was_written_at_its_most_talkative(place: Place) -> None:
    """Else all of this proved nothing."""
    await place.ask("/healthz", method="GET")
    lines = place.proxy.log.lines
    for name in ("asyncio DEBUG", "urllib3.connectionpool DEBUG", "claude_code_proxy.access INFO"):
        assert any(name in line for line in lines), name


def command_line(pid: int) -> str:
    line = Path(f"/proc/{pid}/cmdline")
    return line.read_text("utf-8") if line.is_file() else ""


@pytest.mark.fault("S-09")
async def test_the_list_of_processes_tells_none(place: Place) -> None:
    words = command_line(place.proxy.process.pid)
    if not words:
        pytest.skip("this system does not tell in /proc")
    assert "secrecy.served" in words
    assert told(words, OURS) == []


@pytest.mark.fault("S-09")
@pytest.mark.parametrize(
    "words",
    [["doctor"], ["doctor", "--json"], ["route", "--explain", "m"], ["models"], ["route", "bedrock:m"]],
    ids=" ".join,
)
async def test_no_command_tells_any(place: Place, words: list[str], tmp_path: Path) -> None:
    port = place.proxy.url.rpartition(":")[2]
    more = ["--port", port] if words[0] == "doctor" else []
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLAUDE_CODE_PROXY_ENV_FILE": "", **place.env}
    command = [sys.executable, "-m", "claude_code_proxy", *words, *more]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert told(done.stdout + done.stderr, place.hidden()) == []


@pytest.mark.fault("S-09")
async def test_nothing_tells_any_when_it_is_shown(place: Place) -> None:
    """As a debugger, a failing assertion or an error's report shows it."""
    settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", **place.env})
    head, health = decode_head(json.dumps(BODY).encode()), Health()
    for name in PLACES.values():
        target = route(f"{name}:m", "m", settings)
        exchange = Exchange(head, target, "seed", client_headers={"authorization": CLIENT}, query=f"key={CLIENT}")
        call = exchange.call(settings, "m")
        key = health.key(target, "")
        wish = Wish((target,), lambda _: 1.0)
        shown = [settings, target, target.provider, head, exchange, call, key, Attempt(target, key, 0.0), wish, health]
        assert told(" ".join(f"{one!r} {one!s} {[one]}" for one in shown), place.hidden()) == []


BAD_SETTINGS = {
    "a key in place of an address": {"OPENAI_BASE_URL": OURS[0]},
    "a key in the address": {"OPENAI_BASE_URL": f"https://api.test/v1?key={OURS[0]}"},
    "a password in the address": {"OPENAI_BASE_URL": f"https://me:{OURS[0]}@api.test/v1"},
    "another scheme": {"OPENAI_BASE_URL": f"ftp://me:{OURS[0]}@api.test/v1"},
    "no address": {"OPENAI_BASE_URL": f"http://[{OURS[0]}"},
    "no port": {"OPENAI_BASE_URL": f"http://me:{OURS[0]}"},
    "a search engine": {"WEB_SEARCH_BASE_URL": f"https://me:{OURS[0]}@api.test/v1"},
    "the way out": {"UPSTREAM_PROXY": f"socks5://me:{OURS[0]}@api.test"},
}


@pytest.mark.fault("S-09")
@pytest.mark.parametrize("case", BAD_SETTINGS)
async def test_settings_that_cannot_be_used_are_not_repeated(case: str) -> None:
    with pytest.raises(ValueError, match=next(iter(BAD_SETTINGS[case]))) as caught:
        load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", **BAD_SETTINGS[case]})
    assert told(str(caught.value), OURS) == []


@pytest.mark.fault("S-09")
async def test_no_capture_tells_any(place: Place) -> None:
    """Of all that was asked before, and answered in every way."""
    for named, provider in PLACES.items():
        for stream in (True, False):
            case = next(_numbers)
            made = reply(named.partition(" ")[0], stream=stream, text=f"{ANSWER} {KEY_OF[named]} {PROXY_KEY} {CLIENT}")
            place.upstream.scripts[case] = [made.whole]
            body = {**BODY, "system": f"{PROMPT} {PROXY_KEY} {KEY_OF[named]}", "stream": stream}
            answer = await place.ask(f"/{provider}:case-{case}/v1/messages", body)
            assert answer.status == 200
    ident = answer.headers["request-id"]
    kept = await asyncio.to_thread(captured, place.env["PROXY_LEDGER"], ident)
    assert ANSWER in kept, "it was captured"
    assert told(kept, (*OURS, *place.private, CLIENT)) == []


def captured(place: str, until: str) -> str:
    """All that is captured, once this request is."""
    while True:
        with read(place) as reader:
            if reader.captured(until).get("answer"):
                ids = [row["id"] for row in reader.rows("SELECT DISTINCT id FROM captures")]
                parts = [kept for one in ids for kept in opened_parts(reader.captured(one)).values()]
                return b"\n".join(json.dumps(kept.about).encode() + kept.data for kept in parts).decode(
                    "utf-8", "replace"
                )


async def test_the_search_finds_parts() -> None:
    assert told(f"…{OURS[0][10:16]}…", OURS)
    assert told(f"{OURS[0][:3]}***{OURS[0][-3:]} {base64.b64encode(b'ab').decode()}", OURS) == []
