"""`claude-code-proxy code` with a program in Claude Code's place that tells what it was given."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from claude_code_proxy.cli.ports import free_port, holder

from .terminal import clean, piped, session

STUB = f"""#!{sys.executable}
import http.client, json, os, signal, sys, time, urllib.parse
url = urllib.parse.urlsplit(os.environ["ANTHROPIC_BASE_URL"])
line = http.client.HTTPConnection(url.hostname, url.port)
line.request("GET", "/healthz")
names = ("ANTHROPIC", "CLAUDE", "NO_PROXY", "no_proxy")
env = {{name: value for name, value in os.environ.items() if name.startswith(names)}}
settings = [json.load(open(after)) for word, after in zip(sys.argv, sys.argv[1:]) if word == "--settings"]
told = {{"args": sys.argv[1:], "env": env, "healthy": line.getresponse().status, "cwd": os.getcwd()}}
print(json.dumps({{**told, "settings": settings, "terminal": os.isatty(0)}}), flush=True)
if "wait" in sys.argv:
    def caught(number, _):
        os.write(1, b"caught %d\\n" % number)
        sys.exit(9)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, caught)
    print("waiting", flush=True)
    time.sleep(60)
if "die" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(7)
"""
KEYS = {"OPENAI_API_KEY": "canary-openai", "BIG_MODEL": "gpt-4o"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has Claude Code, and a key."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "claude").write_text(STUB)
    (folder / "claude").chmod(0o755)
    (tmp_path / "work").mkdir()
    made = clean(tmp_path, **KEYS)
    return {**made, "PATH": f"{folder}:{made['PATH']}"}


async def told(env: dict[str, str], tmp_path: Path, *words: str) -> dict[str, object]:
    """What Claude Code was given."""
    status, out, err = await piped("code", *words, env=env, cwd=tmp_path / "work")
    assert status == 7, (out, err)
    content: dict[str, object] = json.loads(out)
    return content


def given(content: dict[str, object]) -> dict[str, str]:
    held = content["env"]
    assert isinstance(held, dict)
    return held


def port_of(content: dict[str, object]) -> int:
    return int(given(content)["ANTHROPIC_BASE_URL"].rpartition(":")[2])


async def test_it_starts_a_proxy_hands_on_what_is_needed_and_ends_it(env: dict[str, str], tmp_path: Path) -> None:
    content = await told(env, tmp_path, "--", "-p", "Hello", "--model-is-not-ours")
    assert content["args"] == ["-p", "Hello", "--model-is-not-ours"]
    assert content["healthy"] == 200
    assert content["cwd"] == str(tmp_path / "work")
    got = given(content)
    expected = {
        "ANTHROPIC_AUTH_TOKEN": "any",
        "ANTHROPIC_DEFAULT_OPUS_MODEL": "claude-via-opus",
        "ANTHROPIC_DEFAULT_OPUS_MODEL_NAME": "openai:gpt-4o",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL_NAME": "openai:gpt-4.1-mini",
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "128000",
        "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",
    }
    assert expected.items() <= got.items()
    assert holder(port_of(content)).uid == -1  # nobody listens there any more


async def test_a_model_may_be_named(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"OPENROUTER_API_KEY": "x", "ANTHROPIC_MODEL": "mine"}
    (tmp_path / "config.toml").write_text('[models."openrouter:a/b"]\ncontext = 65536\n')
    words = ("--config", str(tmp_path / "config.toml"), "--model", "openrouter:a/b")
    got = given(await told(env, tmp_path, *words))
    assert got["ANTHROPIC_MODEL"] == got["ANTHROPIC_CUSTOM_MODEL_OPTION"] == "openrouter:a/b"
    assert got["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "65536"


async def test_what_leads_past_the_proxy_is_taken_away(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"ANTHROPIC_API_KEY": "canary", "CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_BASE_URL": "http://elsewhere"}
    env |= {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "corp.example", "PROXY_API_KEY": "canary-proxy"}
    content = await told(env, tmp_path)
    got = given(content)
    assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"} & got.keys()
    assert got["NO_PROXY"] == "corp.example,127.0.0.1,localhost"
    assert got["ANTHROPIC_AUTH_TOKEN"] == "canary-proxy"
    assert content["healthy"] == 200


async def test_what_the_user_has_set_stays(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": "77777", "ANTHROPIC_DEFAULT_SONNET_MODEL": "mine"}
    got = given(await told(env, tmp_path))
    assert got["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "77777"
    assert got["ANTHROPIC_DEFAULT_SONNET_MODEL"] == "mine"


async def test_claude_itself_keeps_its_names(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"PREFERRED_PROVIDER": "anthropic", "ANTHROPIC_API_KEY": "x"}
    got = given(await told(env, tmp_path))
    assert [name for name in got if "DEFAULT" in name or "CONTEXT" in name] == []


async def test_the_users_own_settings_of_claude_code_do_not_win(env: dict[str, str], tmp_path: Path) -> None:
    own = {"ANTHROPIC_BASE_URL": "http://elsewhere", "CLAUDE_CODE_USE_VERTEX": "1", "OTHER": "x"}
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text(json.dumps({"env": own}))
    content = await told(env, tmp_path, "--", "-p", "Hello")
    url = given(content)["ANTHROPIC_BASE_URL"]
    assert content["settings"] == [{"env": {"ANTHROPIC_BASE_URL": url, "CLAUDE_CODE_USE_VERTEX": ""}}]
    args = content["args"]
    assert isinstance(args, list)
    assert args[2:] == ["-p", "Hello"]


async def test_nothing_of_the_folder_is_read(env: dict[str, str], tmp_path: Path) -> None:
    del env["CLAUDE_CODE_PROXY_ENV_FILE"]
    work = tmp_path / "work"
    (work / ".env").write_text("BIG_MODEL=evil\nOPENAI_BASE_URL=http://evil.example\n")
    for name in ("uvicorn.py", "msgspec.py", "claude_code_proxy.py"):
        (work / name).write_text("raise SystemExit('read')\n")
    status, out, err = await piped("code", env=env, cwd=work)
    assert (status, "read" in err) == (7, False), err
    assert given(json.loads(out))["ANTHROPIC_DEFAULT_OPUS_MODEL_NAME"] == "openai:gpt-4o"


async def test_one_that_runs_is_used_and_left(env: dict[str, str], tmp_path: Path) -> None:
    async with session("--port", "0", env=env, cwd=tmp_path) as shell:
        port = int((await shell.until(r"on http://127\.0\.0\.1:(\d+)"))[1])
        await shell.until(r" claude\n")
        content = await told(env, tmp_path, "--port", str(port))
        assert port_of(content) == port
        assert holder(port).pid == shell.process.pid


async def test_a_port_that_is_free_is_the_one(env: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    assert port_of(await told(env, tmp_path, "--port", str(port))) == port


async def test_a_port_that_another_program_has_is_told(env: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        status, out, err = await piped("code", "--port", str(port), env=env, cwd=tmp_path)
        assert (status, out) == (1, "")
        assert f"Port {port} is taken by {holder(port)}" in err


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        ((), {"OPENAI_API_KEY": ""}, "set OPENAI_API_KEY"),
        (("--model", "claude-via-nowhere:x"), {}, "is no provider here"),
        ((), {"PING_INTERVAL": "soon"}, "PING_INTERVAL must be"),
        ((), {"PATH": "/nowhere"}, "Install it: curl -fsSL https://claude.ai/install.sh"),
    ],
)
async def test_what_is_missing_is_told(
    env: dict[str, str], tmp_path: Path, words: tuple[str, ...], more: dict[str, str], told: str
) -> None:
    status, out, err = await piped("code", *words, env=env | more, cwd=tmp_path)
    assert (status, out) == (1, "")
    assert told in err
    assert "Traceback" not in err


async def test_it_ends_as_claude_code_ends(env: dict[str, str], tmp_path: Path) -> None:
    status, _, _ = await piped("code", "--", "die", env=env, cwd=tmp_path)
    assert status == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_terminal_and_its_signals_are_claude_codes(
    env: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C reaches it and nobody else; what is sent to us reaches it, too."""
    async with session("code", "--", "wait", env=env, cwd=tmp_path) as shell:
        assert (await shell.until(r'"terminal": (\w+)'))[1] == "true"
        port = int((await shell.until(r"through http://127\.0\.0\.1:(\d+)"))[1])
        await shell.until("waiting")
        if number == signal.SIGINT:
            shell.press(b"\x03")
        else:
            shell.process.terminate()
        status, screen = await shell.ended()
    assert f"caught {number.value}" in screen
    assert status == 9
    assert holder(port).uid == -1


async def test_however_it_ends_no_proxy_is_left(env: dict[str, str], tmp_path: Path) -> None:
    async with session("code", "--", "wait", env=env, cwd=tmp_path) as shell:
        port = int((await shell.until(r"through http://127\.0\.0\.1:(\d+)"))[1])
        await shell.until("waiting")
        os.kill(shell.process.pid, signal.SIGKILL)
        await shell.process.wait()
        for _ in range(200):
            if holder(port).uid == -1:
                break
            await asyncio.sleep(0.05)
    assert holder(port).uid == -1


async def test_it_rests_while_claude_code_rests(env: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-Z stops both, and the shell's `fg` brings both back."""
    async with session("code", "--", "wait", env=env, cwd=tmp_path) as shell:
        await shell.until("waiting")
        [child] = _children(shell.process.pid, "claude")
        os.kill(child, signal.SIGSTOP)
        await _until_state(shell.process.pid, "T")
        os.kill(shell.process.pid, signal.SIGCONT)
        await _until_state(child, "S")
        shell.press(b"\x03")
        assert (await shell.ended())[0] == 9


def _children(parent: int, name: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state = entry.read_text().rpartition(")")[2].split()
            words = (entry.parent / "cmdline").read_text()
        except OSError:  # it is gone
            continue
        if int(state[1]) == parent and name in words and "serve" not in words:
            found.append(int(entry.parent.name))
    return found


async def _until_state(pid: int, letter: str) -> None:
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(200):
        if (await asyncio.to_thread(stat.read_text)).rpartition(")")[2].split()[0] == letter:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"process {pid} did not come to rest, or back")
