"""`claude-code-proxy code` with the real Claude Code: it answers, knows the window, and shows the models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.terminal import clean, piped, session
from upstreams import Chat, FakeChat

from .claude import QUIET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .claude import Claude

PRINT = ("-p", "Hello", "--output-format", "json")


@pytest.fixture
async def chat() -> AsyncIterator[FakeChat]:
    async with FakeChat(extras=True) as fake:
        yield fake


@pytest.fixture
def env(claude: Claude, chat: FakeChat) -> dict[str, str]:
    """The environment of a user with a key and Claude Code."""
    folder = claude.home / "bin"
    folder.mkdir()
    (folder / "claude").symlink_to(claude.binary)
    made = clean(claude.home, OPENAI_API_KEY="x", OPENAI_BASE_URL=chat.api, BIG_MODEL="gpt-4o", **QUIET)
    return {**made, "PATH": f"{folder}:{made['PATH']}"}


async def answered(env: dict[str, str], claude: Claude, *words: str) -> dict[str, Any]:
    status, out, err = await piped("code", *words, env=env, cwd=claude.cwd)
    assert status == 0, (out, err)
    result: dict[str, Any] = json.loads(out)
    assert result["is_error"] is False
    return result


async def test_it_answers_and_knows_the_window(env: dict[str, str], claude: Claude, chat: FakeChat) -> None:
    chat.use(Chat("Hello from far away."))
    result = await answered(env, claude, "--", *PRINT)
    assert result["result"] == "Hello from far away."
    assert {name: used["contextWindow"] for name, used in result["modelUsage"].items()} == {"claude-via-opus": 128_000}
    assert chat.posts[0].json["model"] == "gpt-4o"


async def test_on_a_model_that_is_named(env: dict[str, str], claude: Claude, chat: FakeChat) -> None:
    chat.use(Chat("Hello."))
    result = await answered(env, claude, "--model", "openai:gpt-4o-mini", "--", *PRINT)
    assert {name: used["contextWindow"] for name, used in result["modelUsage"].items()} == {
        "openai:gpt-4o-mini": 128_000
    }
    assert {post.json["model"] for post in chat.posts} == {"gpt-4o-mini"}


async def test_whatever_else_is_set(env: dict[str, str], claude: Claude, chat: FakeChat) -> None:
    """Clashing variables, an HTTP proxy, and the user's own settings, which win over the environment."""
    (claude.home / ".claude").mkdir()
    own = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_AUTH_TOKEN": "other"}
    (claude.home / ".claude" / "settings.json").write_text(json.dumps({"env": own}))
    env |= {"CLAUDE_CODE_USE_VERTEX": "1", "HTTP_PROXY": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "x"}
    env |= {"PROXY_API_KEY": "canary-of-the-proxy"}
    chat.use(Chat("Still here."))
    assert (await answered(env, claude, "--", *PRINT))["result"] == "Still here."


async def test_the_picker_shows_what_answers(env: dict[str, str], claude: Claude, chat: FakeChat) -> None:
    trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    seeds = {"hasCompletedOnboarding": True, "theme": "dark", "projects": {str(claude.cwd): trusted}}
    (claude.home / ".claude.json").write_text(json.dumps(seeds))
    chat.use(Chat("Hello."))
    del env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]  # with it nobody asks for the models
    words = ("code", "--model", "openai:gpt-4.1-mini")
    async with session(*words, env=env, cwd=claude.cwd) as shell:
        await shell.until("through http")
        await shell.until(r"\? for shortcuts|shift\+tab|auto")
        for key in b"/model":
            shell.press(bytes([key]))
        await shell.until("(?i)model")
        assert "openai:gpt-4o" not in shell.screen
        shell.press(b"\r")
        assert await shell.until("openai:gpt-4o")
