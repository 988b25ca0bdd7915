"""Starting the server: what it reads, and how it refuses what it cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upstreams import Chat

from .http_client import CHAT, HELLO, send, told_text

if TYPE_CHECKING:
    from pathlib import Path

    from .proxy import Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PREFERRED_PROVIDER", "nonsense", "openrouter"),
        ("MAX_OUTPUT_TOKENS", "lots", "number"),
        ("OPENAI_BASE_URL", "not-a-url", "http"),
    ],
)
@pytest.mark.fault("R-18")
async def test_a_bad_value_is_told(proxy: Start, name: str, value: str, allowed: str) -> None:
    with pytest.raises(AssertionError, match="the server did not start") as refused:
        await proxy(**{name: value})
    told = str(refused.value)
    for part in (name, value, allowed):
        assert part in told
    assert "Traceback" not in told


async def test_an_env_file(world: World, proxy: Start, tmp_path: Path) -> None:
    """Nothing in it is expanded, and the real environment wins."""
    key = "canary-$HOME-${PATH}-key"
    file = tmp_path / "settings.env"
    file.write_text(f"OPENAI_BASE_URL={world.chat.api}\nOPENAI_API_KEY='{key}'\nBIG_MODEL=from-file\nSMALL_MODEL=s\n")
    ours = await proxy(CLAUDE_CODE_PROXY_ENV_FILE=str(file), BIG_MODEL="from-environment")
    world.chat.use(Chat("Hello"))
    assert told_text(await send(ours.url, "/v1/messages", HELLO)) == "Hello"
    [asked] = world.chat.posts
    assert asked.json["model"] == "from-environment"
    assert asked.headers["authorization"] == f"Bearer {key}"


async def test_without_a_key(proxy: Start) -> None:
    """It starts; a request is told which variable is missing, and not to try again."""
    ours = await proxy()
    answer = await send(ours.url, CHAT, HELLO)
    assert answer.status in {401, 403}
    assert "OPENAI_API_KEY" in answer.error()["message"]
    assert answer.headers["x-should-retry"] == "false"
