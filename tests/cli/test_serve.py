"""`claude-code-proxy [serve]` in a terminal."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from claude_code_proxy.cli.commands import COMMANDS
from claude_code_proxy.cli.ports import free_port, holder
from upstreams import Chat, FakeChat

from .terminal import clean, piped, session

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"OPENAI_API_KEY": "canary-openai", "OPENROUTER_API_KEY": "canary-openrouter", "BIG_MODEL": "gpt-4o"}
SAID = {"model": "openai:nothing", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}


async def test_it_tells_where_it_is_what_is_ready_and_how_to_start(tmp_path: Path) -> None:
    async with session("--port", "0", env=clean(tmp_path, **KEYS), cwd=tmp_path) as shell:
        url = (await shell.until(r"Claude Code Proxy on (http://127\.0\.0\.1:\d+)"))[1]
        await shell.until(r"ANTHROPIC_BASE_URL=.* claude\n")
        assert "ready  openai      api.openai.com  (preferred)\n" in shell.screen
        assert "ready  openrouter  openrouter.ai\n" in shell.screen
        assert f"claude-code-proxy code --port {url.rpartition(':')[2]}\n" in shell.screen
        line = (
            f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=any ANTHROPIC_MODEL=claude-via-opus"
            " CLAUDE_CODE_MAX_CONTEXT_TOKENS=128000 CLAUDE_CODE_DISABLE_1M_CONTEXT=1 claude"
        )
        assert line in shell.screen
        async with aiohttp.ClientSession() as client, client.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        shell.press(b"\x03")
        _, screen = await shell.ended()
    assert "canary" not in screen
    assert "Traceback" not in screen


async def test_without_a_key_it_tells_which_is_missing(tmp_path: Path) -> None:
    env = clean(tmp_path, PROXY_API_KEY="canary-proxy")
    async with session("--port", "0", env=env, cwd=tmp_path) as shell:
        await shell.until(r" claude\n")
        assert "not ready: The provider 'openai' has no key: set OPENAI_API_KEY" in shell.screen
        assert 'ANTHROPIC_AUTH_TOKEN="$PROXY_API_KEY"' in shell.screen
        assert "canary" not in shell.screen


@pytest.mark.parametrize("ledger", ["on", "off"])
async def test_it_tells_where_the_dashboard_is(tmp_path: Path, ledger: str) -> None:
    env = clean(tmp_path, PROXY_LEDGER=str(tmp_path / "ledger.db") if ledger == "on" else "off")
    async with session("--port", "0", env=env, cwd=tmp_path) as shell:
        url = (await shell.until(r"Claude Code Proxy on (http://127\.0\.0\.1:\d+)"))[1]
        await shell.until(r" claude\n")
        assert (f"in a browser: {url}/dashboard\n" in shell.screen) == (ledger == "on")


@pytest.mark.fault("R-15")
async def test_a_taken_port_is_told_with_what_holds_it(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        who = holder(port)
        status, out, err = await piped("--port", str(port), env=clean(tmp_path), cwd=tmp_path)
    assert (status, out) == (1, "")
    assert f"127.0.0.1:{port} is taken by {who}" in err
    assert f"pid {who.pid}" in err
    assert "claude-code-proxy --port " in err


async def test_another_of_ours_is_recognised(tmp_path: Path) -> None:
    async with session("--port", "0", env=clean(tmp_path), cwd=tmp_path) as shell:
        port = (await shell.until(r"on http://127\.0\.0\.1:(\d+)"))[1]
        await shell.until(r" claude\n")
        status, _, err = await piped("--port", port, env=clean(tmp_path), cwd=tmp_path)
    assert status == 1
    assert "a Claude Code Proxy that runs already" in err
    assert f"pid {shell.process.pid}" in err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--host", "192.0.2.1"], 1, "--host 127.0.0.1"),
        (["--host", "no.such.host.invalid"], 1, "is no address"),
        (["--port", "99999"], 2, "from 0 to 65535"),
        (["--workers", "0"], 2, "above 0"),
        (["--workers", "2", "--local"], 1, "leave out --workers"),
        (["--config", "nowhere.toml"], 2, "there is no file 'nowhere.toml'"),
        (["--env-file", "nowhere.env"], 2, "there is no file 'nowhere.env'"),
        (["--nonsense"], 2, "unrecognized arguments"),
        (["nonsense"], 2, "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_cannot_be_is_told(tmp_path: Path, words: list[str], status: int, told: str) -> None:
    env = clean(tmp_path) | {"PROXY_API_KEY": "canary-of-the-proxy"}
    got, out, err = await piped(*words, env=env, cwd=tmp_path)
    assert (got, out) == (status, "")
    assert told in err
    assert "Traceback" not in err


async def test_settings_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    status, _, err = await piped("--port", "0", env=clean(tmp_path, IDLE_TIMEOUT="soon"), cwd=tmp_path)
    assert status == 1
    assert "IDLE_TIMEOUT must be a number of seconds" in err
    assert "claude-code-proxy doctor" in err


async def test_files_of_settings_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("PREFERRED_PROVIDER=mine\n")
    (tmp_path / "my.toml").write_text(
        '[providers.mine]\ndialect = "openai_chat"\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "x"\n'
    )
    words = ("--env-file", "my.env", "--config", "my.toml", "--port", "0")
    async with session(*words, env=clean(tmp_path), cwd=tmp_path) as shell:
        assert await shell.until(r"ready  mine  127\.0\.0\.1:9  \(preferred\)")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_log_as_json(tmp_path: Path, workers: str) -> None:
    """Every line of it, from every process; what is said to a person comes before."""
    port = free_port()
    words = ("--log-format", "json", "--workers", workers, "--port", str(port))
    async with session(*words, env=clean(tmp_path), cwd=tmp_path) as shell, aiohttp.ClientSession() as client:
        await shell.until(r" claude\n")
        async with client.post(f"http://127.0.0.1:{port}/v1/messages", json=SAID) as answer:
            assert answer.status == 401
            ident = answer.headers["request-id"]
        await shell.until(rf"{ident}.*\n")
        line = json.loads(next(line for line in shell.screen.splitlines() if ident in line))
        shell.press(b"\x03")
        await shell.ended()
    assert line["logger"] == "claude_code_proxy.access"
    assert line["request"]["id"] == ident
    assert (line["request"]["status"], line["request"]["target"]) == (401, "openai:nothing")


async def test_the_log_tells_of_a_window_once(tmp_path: Path) -> None:
    """To a user of Claude Code: others know what they ask."""
    body = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    async with FakeChat([Chat("Hello.")]) as chat, aiohttp.ClientSession() as client:
        env = clean(tmp_path, **KEYS, OPENAI_BASE_URL=chat.api)
        async with session("--port", "0", env=env, cwd=tmp_path) as shell:
            url = (await shell.until(r"Claude Code Proxy on (http://127\.0\.0\.1:\d+)"))[1]
            await shell.until(r" claude\n")
            for agent in (
                "curl/8",
                "claude-cli/2.1.330 (external, cli)",
                "claude-cli/2.1.330 (external, cli)",
                "curl/8",
            ):
                async with client.post(f"{url}/v1/messages", json=body, headers={"user-agent": agent}) as answer:
                    assert answer.status == 200
                    last = answer.headers["request-id"]
            await shell.until(last)
            told = [line for line in shell.screen.splitlines() if "holds" in line]
    [line] = told
    assert "openai:gpt-4o holds 128000 tokens, and Claude Code takes it for one of 1000000" in line
    assert line.endswith("with CLAUDE_CODE_MAX_CONTEXT_TOKENS=128000 ANTHROPIC_MODEL=openai:gpt-4o")


async def test_it_ends_with_the_pipe_of_whoever_started_it(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *("claude-code-proxy", "serve", "--with-stdin", "--port", str(port)),
        env=clean(tmp_path),
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    for _ in range(500):
        if holder(port).pid == process.pid:
            break
        await asyncio.sleep(0.02)
    assert holder(port).pid == process.pid
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 10) is not None


async def test_help_has_examples_everywhere(tmp_path: Path) -> None:
    for name in COMMANDS:
        status, out, _ = await piped(name, "--help", env=clean(tmp_path), cwd=tmp_path)
        assert status == 0
        assert "examples:\n  claude-code-proxy" in out
    status, out, _ = await piped("--help", env=clean(tmp_path), cwd=tmp_path)
    assert status == 0
    assert all(f"    {name}" in out for name in COMMANDS)


async def test_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    async with session("--port", "0", env=clean(tmp_path), cwd=tmp_path) as shell:
        await shell.until(r" claude\n")
        assert b"\x1b[" in shell.raw
    async with session("--port", "0", env=clean(tmp_path, NO_COLOR="1"), cwd=tmp_path) as shell:
        await shell.until(r" claude\n")
        assert b"\x1b[" not in shell.raw
