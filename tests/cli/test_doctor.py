"""`claude-code-proxy doctor`: what is well, what is not, and what it says to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from claude_code_proxy import __version__
from claude_code_proxy.cli.ports import free_port
from upstreams import Call, Chat, FakeChat, Http

from .terminal import clean, piped, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

STUB = "#!/bin/sh\necho '2.1.330 (Claude Code)'\n"
STATUS = {
    "version": "0.0.1",
    "started": "2026-11-22T10:00:00Z",
    "requests": 42,
    "running": 1,
    "drift": {"request fields": {"brand_new\x1b[2J": {"count": 3, "first": "2026-11-22T10:00:00Z", "last": "x"}}},
    "calibration": {"openai:gpt-4o": {"ratio": 1.13, "spread": 0.04, "replies": 17}},
    "breakers": {
        "openrouter:a/b": {"state": "open", "failures": 5, "seconds": 12.4},
        "openai:gpt-4o": {"state": "closed"},
    },
}


@pytest.fixture
async def chat() -> AsyncIterator[FakeChat]:
    async with FakeChat() as fake:
        yield fake


@pytest.fixture
def env(tmp_path: Path, chat: FakeChat) -> dict[str, str]:
    """A user whose everything is in order."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "claude").write_text(STUB)
    (folder / "claude").chmod(0o755)
    made = clean(
        tmp_path, OPENAI_API_KEY="canary-openai", OPENAI_BASE_URL=chat.api, OLLAMA_API_BASE="http://127.0.0.1:9"
    )
    return {**made, "PATH": f"{folder}:{made['PATH']}", "NO_PROXY": "127.0.0.1"}


async def doctor(env: dict[str, str], cwd: Path, *words: str) -> tuple[int, str]:
    """The exit status and the report."""
    if "--port" not in words:
        words = (*words, "--port", str(free_port()))
    status, out, err = await piped("doctor", *words, env=env, cwd=cwd)
    assert "Traceback" not in err, err
    assert "canary" not in out + err
    return status, out


async def test_all_is_well(env: dict[str, str], tmp_path: Path, chat: FakeChat) -> None:
    status, out = await doctor(env, tmp_path)
    assert status == 0, out
    assert "OPENAI_API_KEY = set  (environment)" in out
    assert "BIG_MODEL = gpt-4.1  (default)" in out
    assert "key accepted" in out
    assert "2 models" in out
    assert "gpt-4.1: 1,047,576 tokens" in out
    assert "2.1.330 at " in out
    assert "none runs at" in out
    assert chat.posts == []  # nothing that costs money
    assert {rec.headers.get("authorization") for rec in chat.requests} == {"Bearer canary-openai", None}


async def test_in_a_terminal_with_colour(env: dict[str, str], tmp_path: Path) -> None:
    async with session("doctor", "--offline", "--port", str(free_port()), env=env, cwd=tmp_path) as shell:
        status, screen = await shell.ended()
        assert b"\x1b[32mok" in shell.raw
    assert status == 0, screen
    assert screen.rstrip().endswith("to know.") or "All is well." in screen


async def test_where_each_value_comes_from(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("BIG_MODEL=from-file\nSMALL_MODEL=hidden\nMAX_OUTPUT_TOKENS=9\n")
    (tmp_path / "my.env").chmod(0o644)
    config = tmp_path / "my.toml"
    config.write_text('[routing.aliases]\nstrong = "openai:gpt-4.1"\n')
    words = ("--offline", "--env-file", "my.env", "--config", "my.toml", "--json")
    status, out = await doctor(env | {"SMALL_MODEL": "from-environment"}, tmp_path, *words)
    told = json.loads(out)
    places = {one["name"]: (one["value"], one["from"]) for one in told["settings"]["values"]}
    assert status == 0, out
    assert places["BIG_MODEL"] == ("from-file", str(tmp_path / "my.env"))
    assert places["SMALL_MODEL"] == ("from-environment", "environment")
    assert places["MAX_OUTPUT_TOKENS"] == ("9", str(tmp_path / "my.env"))
    assert places["PREFERRED_PROVIDER"] == ("openai", "default")
    findings = [one["text"] for one in told["settings"]["findings"]]
    assert "routing.aliases  (config.toml)" in findings
    assert any("others on this machine may use it (mode 044)" in text for text in findings)
    assert told["ok"] is True


async def test_settings_that_cannot_be_used(env: dict[str, str], tmp_path: Path) -> None:
    status, out = await doctor(env | {"IDLE_TIMEOUT": "soon"}, tmp_path)
    assert status == 1
    assert "bad   IDLE_TIMEOUT must be a number of seconds" in out
    assert "IDLE_TIMEOUT = soon  (environment)" in out
    assert "2.1.330" in out


@pytest.mark.parametrize(
    ("more", "told", "fix"),
    [
        ({"OPENAI_API_KEY": ""}, "has no key: set OPENAI_API_KEY", "Set it in the .env"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, "Cannot connect to 127.0.0.1:9", "Check the network"),
        ({"PREFERRED_PROVIDER": "ollama"}, "Cannot connect to 127.0.0.1:9", "Start ollama"),
        ({"CLAUDE_CODE_USE_BEDROCK": "1"}, "CLAUDE_CODE_USE_BEDROCK is set: ", "claude-code-proxy code"),
    ],
)
async def test_what_is_broken_is_told_with_its_fix(
    env: dict[str, str], tmp_path: Path, more: dict[str, str], told: str, fix: str
) -> None:
    status, out = await doctor(env | more, tmp_path)
    lines = out.splitlines()
    [at] = [number for number, line in enumerate(lines) if told in line and line.startswith("  bad ")]
    assert fix in lines[at + 1]
    assert status == 1


async def test_a_refused_key(env: dict[str, str], tmp_path: Path, chat: FakeChat) -> None:
    chat.front = lambda rec: Http(401, {"error": {"message": "no"}})  # type: ignore[method-assign]
    status, out = await doctor(env, tmp_path, "openai")
    assert status == 1
    assert "the key is refused" in out
    assert "docs/providers/openai.md" in out


async def test_a_list_for_everybody_proves_no_key(env: dict[str, str], tmp_path: Path, chat: FakeChat) -> None:
    chat.front = lambda rec: Http(200, {"data": [{"id": "gpt-4.1"}]})  # type: ignore[method-assign]
    status, out = await doctor(env, tmp_path, "openai")
    assert status == 0, out
    assert "key set, which its list needs not, so --live tells if it is good" in out


async def test_a_live_question(env: dict[str, str], tmp_path: Path, chat: FakeChat) -> None:
    chat.use(Chat(tool_calls=[Call("clock", {"zone": "UTC"})]))
    status, out = await doctor(env, tmp_path, "openai", "--live")
    assert status == 0, out
    assert "streams, calls tools" in out
    [asked] = chat.posts
    assert asked.json["stream"] is True


async def test_a_live_question_that_fails(env: dict[str, str], tmp_path: Path, chat: FakeChat) -> None:
    chat.use(Http(402, {"error": {"message": "Your credit is used up."}}))
    status, out = await doctor(env, tmp_path, "openai", "--live")
    assert status == 1
    assert "Your credit is used up." in out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"ANTHROPIC_API_KEY": "canary", "ANTHROPIC_AUTH_TOKEN": "canary"}, "ANTHROPIC_AUTH_TOKEN are both set"),
        ({"ANTHROPIC_CUSTOM_HEADERS": "a: canary"}, "ANTHROPIC_CUSTOM_HEADERS is set"),
        ({"ANTHROPIC_BASE_URL": "https://gateway.example/x"}, "leads to gateway.example, not to port"),
        ({"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": ""}, "NO_PROXY does not name this machine"),
    ],
)
async def test_what_is_in_the_way_of_claude_code(
    env: dict[str, str], tmp_path: Path, more: dict[str, str], told: str
) -> None:
    _, out = await doctor(env | more, tmp_path, "--offline")
    lines = out.splitlines()
    [at] = [number for number, line in enumerate(lines) if told in line and line.startswith("  note")]
    assert "→" in lines[at + 1]


async def test_the_users_own_settings_of_claude_code(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    file = tmp_path / ".claude" / "settings.json"
    file.write_text(json.dumps({"env": {"CLAUDE_CODE_USE_VERTEX": "1"}, "apiKeyHelper": "x"}))
    status, out = await doctor(env, tmp_path, "--offline")
    assert status == 1
    assert f"CLAUDE_CODE_USE_VERTEX is set in {file}" in out
    assert "Remove it there" in out
    assert "apiKeyHelper" in out
    file.write_text("{")
    assert f"{file} cannot be read" in (await doctor(env, tmp_path, "--offline"))[1]


async def test_without_claude_code(env: dict[str, str], tmp_path: Path) -> None:
    status, out = await doctor(env | {"PATH": "/nowhere"}, tmp_path, "--offline")
    assert status == 0
    assert "→ curl -fsSL https://claude.ai/install.sh" in out


async def test_what_cannot_be_looked_at(env: dict[str, str], tmp_path: Path) -> None:
    status, out, err = await piped("doctor", "nowhere", env=env, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert "There is no provider 'nowhere'" in err


async def test_a_proxy_that_runs(env: dict[str, str], tmp_path: Path) -> None:
    """The real one: what it does not tell is not asked for."""
    async with session("--port", "0", env=env, cwd=tmp_path) as shell:
        port = (await shell.until(r"on http://127\.0\.0\.1:(\d+)"))[1]
        await shell.until(r" claude\n")
        status, out = await doctor(env, tmp_path, "--offline", "--port", port)
    assert status == 0, out
    assert f"ok    http://127.0.0.1:{port}" in out


@pytest.fixture
async def serving() -> AsyncIterator[Callable[[object, int], Awaitable[str]]]:
    """A proxy that says this of itself; gives its port."""
    runners: list[web.AppRunner] = []

    async def serve(told: object, status: int = 200) -> str:
        async def home(_: web.Request) -> web.Response:
            return web.json_response({"message": "Claude Code Proxy"})

        async def about(request: web.Request) -> web.Response:
            assert request.headers["x-api-key"] == "canary-proxy"
            return web.json_response(told, status=status)

        app = web.Application()
        app.router.add_get("/", home)
        app.router.add_get("/status", about)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return str(runner.addresses[0][1])

    yield serve
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("nested", [False, True])
async def test_what_a_proxy_tells_of_itself(env: dict[str, str], tmp_path: Path, serving: Any, *, nested: bool) -> None:
    breakers = {"targets": STATUS["breakers"], "resting_keys": []} if nested else STATUS["breakers"]
    port = await serving({**STATUS, "breakers": breakers})
    status, out = await doctor(env | {"PROXY_API_KEY": "canary-proxy"}, tmp_path, "--offline", "--port", port)
    assert status == 0, out
    assert "requests 42" in out
    assert f"it is version 0.0.1, and this is {__version__}" in out
    assert "not known to this version, request fields: brand_new[2J (3×)" in out
    assert "tokens of openai:gpt-4o are 1.13 ± 0.04 of the estimate, by 17 replies" in out
    assert "openrouter:a/b failed, and its breaker is open, tried again in 12 s" in out
    assert "openai:gpt-4o failed" not in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("about", "shown"),
    [
        (({}, 200), "ok    http://127.0.0.1"),
        (([], 200), "tells nothing more"),
        (({"drift": [], "calibration": {"x": 1}, "breakers": {"y": None}}, 200), "ok    http://127.0.0.1"),
        (({"type": "error"}, 404), "tells nothing more"),
        (({"type": "error"}, 401), "wants another PROXY_API_KEY"),
    ],
)
async def test_what_it_does_not_tell_is_no_harm(
    env: dict[str, str], tmp_path: Path, serving: Any, about: tuple[object, int], shown: str
) -> None:
    port = await serving(*about)
    code, out = await doctor(env | {"PROXY_API_KEY": "canary-proxy"}, tmp_path, "--offline", "--port", port)
    assert code == 0, out
    assert shown in out
