"""The official Python SDKs, through the server, to both kinds of upstream."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import claude_agent_sdk as agent
import pytest

from upstreams import Call, Chat, Http, Msg, text, thinking, tool_use

from .claude import CLIENT_TOKEN
from .world import BIG

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstreams import FakeChat, FakeMessages

    from .claude import Claude
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "claude-sonnet-5-5"
TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "description": "Tell the weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 1024}
HELLO: list[Any] = [{"role": "user", "content": "Weather in Łódź?"}]


@dataclass(frozen=True)
class Route:
    """A way through the server, and how its upstream says the same things."""

    path: str
    upstream: FakeChat | FakeMessages
    script: Callable[..., Chat | Msg]

    def says(self, *replies: dict[str, Any]) -> None:
        """Let the upstream give these answers."""
        made: list[Any] = [self.script(**reply) for reply in replies]
        self.upstream.use(*made)


def chat_reply(said: str = "", thought: str = "", call: tuple[str, dict[str, Any]] | None = None) -> Chat:
    return Chat(said, [Call(*call)] if call else [], reasoning=thought)


def native_reply(said: str = "", thought: str = "", call: tuple[str, dict[str, Any]] | None = None) -> Msg:
    blocks = [thinking(thought)] if thought else []
    return Msg([*blocks, *([text(said)] if said else []), *([tool_use(*call)] if call else [])])


@pytest.fixture(params=["chat", "native"])
def route(request: pytest.FixtureRequest, world: World) -> Route:
    if request.param == "chat":
        return Route(f"/openai:{BIG}", world.chat, chat_reply)
    return Route(f"/anthropic:{MODEL}", world.native, native_reply)


def client(world: World, route: Route) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=world.url + route.path, api_key=CLIENT_TOKEN, max_retries=0, timeout=20)


async def test_create(world: World, route: Route) -> None:
    route.says({"said": "Hello"})
    async with client(world, route) as api:
        message = await api.messages.create(**ASK, system="Be kind.", messages=HELLO)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hello"}]
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id
    assert CLIENT_TOKEN not in str(route.upstream.posts[0].headers)
    world.only(route.upstream)


async def test_the_client_that_does_not_await(world: World, route: Route) -> None:
    route.says({"said": "Hello"}, {"said": "Hello again"})

    def blocking() -> tuple[anthropic.types.Message, str]:
        with anthropic.Anthropic(base_url=world.url + route.path, api_key=CLIENT_TOKEN, max_retries=0) as api:
            created = api.messages.create(**ASK, messages=HELLO)
            with api.messages.stream(**ASK, messages=HELLO) as stream:
                return created, "".join(stream.text_stream)

    created, streamed = await asyncio.wait_for(asyncio.to_thread(blocking), 20)
    assert [block.to_dict() for block in created.content] == [{"type": "text", "text": "Hello"}]
    assert streamed == "Hello again"


async def test_stream_with_thinking_and_tools(world: World, route: Route) -> None:
    call = ("get_weather", {"city": "Łódź"})
    route.says({"thought": "I must look.", "said": "Looking.", "call": call}, {"said": "It rains."})
    async with client(world, route) as api:
        options: dict[str, Any] = {**ASK, "tools": TOOLS, "thinking": {"type": "adaptive"}}
        async with api.messages.stream(**options, messages=HELLO) as stream:
            kinds = [event.type async for event in stream]
            first = await stream.get_final_message()
        thought, said, used = first.content
        assert (thought.type, said.type, used.type) == ("thinking", "text", "tool_use")
        assert thought.type == "thinking"
        assert used.type == "tool_use"
        assert (thought.thinking, used.name, used.input) == ("I must look.", *call)
        assert thought.signature
        assert (first.stop_reason, kinds[0], kinds[-1]) == ("tool_use", "message_start", "message_stop")
        result = {"type": "tool_result", "tool_use_id": used.id, "content": "Rain."}
        history: list[Any] = [
            *HELLO,
            {"role": "assistant", "content": [block.to_dict() for block in first.content]},
            {"role": "user", "content": [result]},
        ]
        async with api.messages.stream(**options, messages=history) as stream:
            assert await stream.get_final_text() == "It rains."
    bodies = world.only(route.upstream)
    assert used.id in str(bodies[1])
    assert "Rain." in str(bodies[1])


async def test_count_tokens(world: World, route: Route) -> None:
    async with client(world, route) as api:
        few = await api.messages.count_tokens(model=MODEL, messages=HELLO)
        more = await api.messages.count_tokens(model=MODEL, messages=HELLO, tools=TOOLS)
    assert 0 < few.input_tokens < more.input_tokens


async def test_an_error(world: World, route: Route) -> None:
    told = {"type": "rate_limit_error", "message": "Slow down.", "code": None, "param": None}
    body = {"type": "error", "error": told, "request_id": "req_upstream"}
    route.upstream.use(Http(429, body, {"retry-after": "7"}))
    async with client(world, route) as api:
        for ask in (api.messages.create(**ASK, messages=HELLO), stream_of(api)):
            with pytest.raises(anthropic.RateLimitError, match=r"Slow down\.") as refused:
                await ask
            assert refused.value.response.headers["retry-after"] == "7"
            assert refused.value.request_id


async def stream_of(api: anthropic.AsyncAnthropic) -> None:
    async with api.messages.stream(**ASK, messages=HELLO) as stream:
        await stream.until_done()


@pytest.fixture
def options(claude: Claude, monkeypatch: pytest.MonkeyPatch) -> Callable[..., agent.ClaudeAgentOptions]:
    """Make options for a run of the agent SDK, which hands its own environment on to the CLI."""
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)

    def made(url: str, **more: Any) -> agent.ClaudeAgentOptions:
        return agent.ClaudeAgentOptions(
            cli_path=claude.binary,
            cwd=claude.cwd,
            env=claude.env(url),
            permission_mode="bypassPermissions",
            setting_sources=[],
            **more,
        )

    return made


async def test_agent_query(
    claude: Claude, world: World, route: Route, options: Callable[..., agent.ClaudeAgentOptions]
) -> None:
    written = claude.cwd / "new.txt"
    call = ("Write", {"file_path": str(written), "content": "by the agent"})
    route.says({"thought": "Write it.", "call": call}, {"said": "Written."})

    async def conversation() -> list[agent.Message]:
        return [m async for m in agent.query(prompt="Write a file.", options=options(world.url + route.path))]

    messages = await asyncio.wait_for(conversation(), 60)
    ended = messages[-1]
    assert isinstance(ended, agent.ResultMessage)
    assert (ended.is_error, ended.result, ended.num_turns) == (False, "Written.", 2)
    assert written.read_text() == "by the agent"
    blocks = [block for m in messages if isinstance(m, agent.AssistantMessage) for block in m.content]
    assert [type(block).__name__ for block in blocks] == ["ThinkingBlock", "ToolUseBlock", "TextBlock"]
    assert len(world.only(route.upstream)) == 2


async def test_agent_client_with_a_tool_of_its_own(
    world: World, route: Route, options: Callable[..., agent.ClaudeAgentOptions]
) -> None:
    route.says({"call": ("mcp__house__greet", {"name": "Ada"})}, {"said": "Greeted."}, {"said": "Again."})
    greeted: list[str] = []

    @agent.tool("greet", "Greet somebody.", {"name": str})
    async def greet(arguments: dict[str, Any]) -> dict[str, Any]:
        greeted.append(arguments["name"])
        return {"content": [{"type": "text", "text": f"Good day, {arguments['name']}!"}]}

    server = agent.create_sdk_mcp_server("house", tools=[greet])

    async def conversation() -> None:
        async with agent.ClaudeSDKClient(options(world.url + route.path, mcp_servers={"house": server})) as session:
            assert await answer_of(session, "Greet Ada.") == "Greeted."
            assert await answer_of(session, "And again?") == "Again."

    await asyncio.wait_for(conversation(), 60)
    assert greeted == ["Ada"]
    bodies = world.only(route.upstream)
    assert len(bodies) == 3
    assert "Good day, Ada!" in str(bodies[-1])


async def answer_of(session: agent.ClaudeSDKClient, prompt: str) -> str | None:
    await session.query(prompt)
    results = [m.result async for m in session.receive_response() if isinstance(m, agent.ResultMessage)]
    return results[-1]
