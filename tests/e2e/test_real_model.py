"""A real model: the real clients, the server, and the small model of `claude-code-proxy try`.

It is too small for its words to be relied on, so it is the shape of what comes back that is asserted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import pytest_asyncio

from .proxy import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_code_proxy.local.server import LocalModel

    from .claude import Claude
    from .proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRANSLATED = "/local:smollm2-135m"
RESPONSES = "/responses:smollm2-135m"
NATIVE = "/anthropic-compatible:smollm2-135m"
WAYS = pytest.mark.parametrize("path", [TRANSLATED, RESPONSES, NATIVE])
ASK: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 32,
    "system": "You are a helpful assistant.",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "extra_body": {"temperature": 0},
}
TOOL: Any = {
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
# Without tools and most of its instructions the CLI's prompt fits a model this small.
BARE = ("--bare", "--tools", "", "--system-prompt", "You are a helpful assistant.")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real(local_model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    """The server, with the model behind its own OpenAI endpoints and its own Anthropic endpoint."""
    home = tmp_path_factory.mktemp("real")
    config = home / "config.toml"
    config.write_text(
        f'[providers.local]\ndialect = "openai_chat"\nbase_url = "{local_model.base_url}"\n'
        f'api_key_env = "LOCAL_KEY"\nquirks = {{ tools = "schema" }}\n'
        f'[providers.responses]\ndialect = "openai_responses"\nbase_url = "{local_model.base_url}"\n'
        f'api_key_env = "LOCAL_KEY"\n'
    )
    env = {
        "CLAUDE_CODE_PROXY_CONFIG": str(config),
        "LOCAL_KEY": local_model.api_key,
        "ANTHROPIC_COMPATIBLE_BASE_URL": local_model.base_url.removesuffix("/v1"),
        "ANTHROPIC_COMPATIBLE_API_KEY": local_model.api_key,
    }
    async with serving(home, **env) as proxy:
        yield proxy


def client(real: Proxy, path: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=real.url + path, api_key="any", max_retries=0)


def check(message: Any) -> None:
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text.strip()
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert 1 <= message.usage.output_tokens <= 32
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) >= 20


@WAYS
async def test_whole(real: Proxy, path: str) -> None:
    async with client(real, path) as api:
        check(await api.messages.create(**ASK))


@WAYS
async def test_streamed(real: Proxy, path: str) -> None:
    async with client(real, path) as api, api.messages.stream(**ASK) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    check(message)
    assert len(pieces) > 1
    assert "".join(pieces) == message.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_tool_call(real: Proxy, *, stream: bool) -> None:
    ask = ASK | {"tools": [TOOL], "tool_choice": {"type": "any"}, "max_tokens": 64}
    ask["messages"] = [{"role": "user", "content": "What is the weather in Paris?"}]
    async with client(real, TRANSLATED) as api:
        if stream:
            async with api.messages.stream(**ask) as events:
                message = await events.get_final_message()
        else:
            message = await api.messages.create(**ask)
    call = message.content[-1]
    assert call.type == "tool_use"
    assert call.name == "get_weather"
    assert isinstance(call.input["city"], str)
    assert message.stop_reason == "tool_use"


@WAYS
async def test_a_conversation_of_the_cli(claude: Claude, real: Proxy, path: str) -> None:
    first = await claude.run(real.url + path, *BARE, prompt="What is the capital of France?")
    assert first.answer.strip()
    second = await claude.run(real.url + path, *BARE, "--continue", prompt="And of Italy?")
    assert second.answer.strip()
    assert second.result["session_id"] == first.result["session_id"]
    assert tokens(second) > tokens(first)  # it was told the first turn


def tokens(run: Any) -> int:
    usage = run.result["usage"]
    return int(usage["input_tokens"] + usage["cache_read_input_tokens"])
