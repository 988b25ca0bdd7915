"""Scenarios of the client's other manners, and of the SDKs."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import anthropic
import claude_agent_sdk as agent
from anthropic import beta_async_tool
from pydantic import BaseModel

from e2e.claude import CLIENT_TOKEN, LONGEST_RUN
from upstreams import Call

from .cells import scenario
from .dialect import Said
from .https_page import WORDS
from .scenarios_tools import assert_paired

if TYPE_CHECKING:
    from .cells import Stage
    from .dialect import Body

SUMMARY_OF_PAGE = "The page says that plovers are waders."


@scenario("a page fetched and summed up (WebFetch)")
async def web_fetch(stage: Stage) -> None:
    fetch = Call("WebFetch", {"url": stage.page, "prompt": "What is a plover?"})

    def script(body: Body) -> Said:
        if not stage.dialect.tools(body):
            return Said(SUMMARY_OF_PAGE)
        return Said("A wader.") if stage.dialect.answered(body) else Said(calls=[fetch])

    stage.dialect.use(by=script)
    # Without the setting it asks api.anthropic.com about the host first.
    run = await stage.with_env(NODE_EXTRA_CA_CERTS=str(stage.trusted)).run(
        "--settings", json.dumps({"skipWebFetchPreflight": True})
    )
    assert run.answer == "A wader."
    _, summing, _ = stage.dialect.bodies
    assert WORDS in stage.dialect.text(summing)
    assert SUMMARY_OF_PAGE in assert_paired(stage, [fetch])[fetch.id]


@scenario("plan mode")
async def plan(stage: Stage) -> None:
    write = Call("Write", {"file_path": stage.file("x.txt"), "content": "x"})
    stage.dialect.use(Said("I try.", [write]), Said("This is the plan."))
    run = await stage.permitted("--permission-mode", "plan").run()
    assert run.answer == "This is the plan."
    assert not (stage.cwd / "x.txt").exists()
    assert "plan mode" in assert_paired(stage, [write])[write.id]
    assert_safeguards(stage)


FOLDERS = (b"classifier_context", b"live_cwd", b"home_dir", b"rule_roots", b"trusted_directories")
"""Fields in which auto mode tells of this machine's folders."""


def assert_safeguards(stage: Stage) -> None:
    """What auto mode tells of this machine goes to Anthropic alone."""
    for rec in stage.dialect.asked:
        told = [word in rec.raw for word in (b'"safeguards"', *FOLDERS)]
        assert told == [stage.dialect.name == "anthropic"] * len(told)


UNSURE = "curl -s http://127.0.0.1:9/; echo ran-$((40 + 2))"
"""A command that auto mode does not run without asking somebody."""


@scenario("auto mode: what the server cannot judge is not run")
async def auto(stage: Stage) -> None:
    bash = Call("Bash", {"command": UNSURE, "description": "Look"})
    stage.dialect.use(Said(calls=[bash]), Said("It was not run."))
    run = await stage.permitted("--permission-mode", "auto").run()
    assert run.answer == "It was not run."
    assert "ran-42" not in assert_paired(stage, [bash])[bash.id]
    assert_safeguards(stage)


@scenario("auto mode: the model judges (`CLAUDE_CODE_AUTO_MODE_SERVER=0`)")
async def classifier(stage: Stage) -> None:
    bash = Call("Bash", {"command": UNSURE, "description": "Look"})
    for severity, runs in (("0", True), ("90", False)):
        judged: list[Body] = []

        def script(body: Body, severity: str = severity, judged: list[Body] = judged) -> Said:
            if "<severity>N</severity>" in stage.dialect.last(body):
                judged.append(body)
                return Said(f"<severity>{severity}</severity>")
            return Said("Done.") if stage.dialect.answered(body) else Said(calls=[bash])

        stage.dialect.use(by=script)
        run = await stage.permitted("--permission-mode", "auto").with_env(CLAUDE_CODE_AUTO_MODE_SERVER="0").run()
        assert run.answer == "Done."
        assert ("ran-42" in assert_paired(stage, [bash])[bash.id]) == runs
        assert len(judged) == (1 if runs else 2), stage.dialect.bodies
        assert not any("safeguards" in body for body in stage.dialect.bodies)


def options(stage: Stage, **more: Any) -> agent.ClaudeAgentOptions:
    """Options for the agent SDK, which hands on its own environment."""
    ours = {name: "" for name in os.environ if name.startswith(("ANTHROPIC_", "CLAUDE_"))}
    return agent.ClaudeAgentOptions(
        cli_path=stage.claude.binary,
        cwd=stage.cwd,
        env={**ours, **stage.claude.env(stage.url)},
        permission_mode="bypassPermissions",
        setting_sources=[],
        **more,
    )


@scenario("Agent SDK: `query()`")
async def sdk_query(stage: Stage) -> None:
    write = Call("Write", {"file_path": stage.file("new.txt"), "content": "by the agent"})
    stage.dialect.use(Said(calls=[write], thought="Write it."), Said("Written."))

    async def conversation() -> list[agent.Message]:
        return [message async for message in agent.query(prompt="Write a file.", options=options(stage))]

    *messages, ended = await asyncio.wait_for(conversation(), LONGEST_RUN)
    assert isinstance(ended, agent.ResultMessage)
    assert (ended.is_error, ended.result, ended.num_turns) == (False, "Written.", 2)
    assert (stage.cwd / "new.txt").read_text() == "by the agent"
    blocks = [block for message in messages if isinstance(message, agent.AssistantMessage) for block in message.content]
    blocks = [block for block in blocks if block != agent.ThinkingBlock("", getattr(block, "signature", ""))]
    assert [type(block) for block in blocks] == [agent.ThinkingBlock, agent.ToolUseBlock, agent.TextBlock]
    assert_paired(stage, [write])


@scenario("Agent SDK: `ClaudeSDKClient` with a tool of its own")
async def sdk_client(stage: Stage) -> None:
    greet = Call("mcp__house__greet", {"name": "Ada"})
    stage.dialect.use(Said(calls=[greet]), Said("Greeted."), Said("Again."))
    greeted: list[str] = []

    @agent.tool("greet", "Greet somebody.", {"name": str})
    async def welcome(arguments: dict[str, Any]) -> dict[str, Any]:
        greeted.append(arguments["name"])
        return {"content": [{"type": "text", "text": f"Good day, {arguments['name']}!"}]}

    server = agent.create_sdk_mcp_server("house", tools=[welcome])

    answers: list[str | None] = []

    async def conversation() -> None:
        async with agent.ClaudeSDKClient(options(stage, mcp_servers={"house": server})) as session:
            answers.extend([await _answer(session, prompt) for prompt in ("Greet Ada.", "And again?")])

    await asyncio.wait_for(conversation(), LONGEST_RUN)
    assert answers == ["Greeted.", "Again."]
    assert greeted == ["Ada"]
    assert "Good day, Ada!" in assert_paired(stage, [greet])[greet.id]


async def _answer(session: agent.ClaudeSDKClient, prompt: str) -> str | None:
    await session.query(prompt)
    results = [m.result async for m in session.receive_response() if isinstance(m, agent.ResultMessage)]
    return results[-1]


ASK: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Weather in Łódź?"}],
}


def api(stage: Stage) -> anthropic.AsyncAnthropic:
    """Anthropic's own library, on the pinned model."""
    return anthropic.AsyncAnthropic(base_url=stage.url, api_key=CLIENT_TOKEN, max_retries=0, timeout=LONGEST_RUN)


@scenario("`anthropic` SDK: a stream with thinking")
async def sdk_stream(stage: Stage) -> None:
    stage.dialect.use(Said("It rains, größer.", thought="I look."))
    async with api(stage) as client, client.messages.stream(**ASK, thinking={"type": "adaptive"}) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    assert "".join(pieces) == "It rains, größer."
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert (message.stop_reason, message.usage.input_tokens > 0) == ("end_turn", True)


@scenario("`anthropic` SDK: the tool runner")
async def sdk_runner(stage: Stage) -> None:
    call = Call("weather", {"city": "Łódź"})
    stage.dialect.use(Said("I look.", [call]), Said("It rains."))

    @beta_async_tool
    async def weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: The city.
        """
        return f"Rain in {city}."

    async with api(stage) as client:
        final = await client.beta.messages.tool_runner(**ASK, tools=[weather]).until_done()
    assert [block.text for block in final.content if block.type == "text"] == ["It rains."]
    assert assert_paired(stage, [call])[call.id] == "Rain in Łódź."


class Bird(BaseModel):
    """What the model must fill in."""

    name: str
    legs: int


@scenario("`anthropic` SDK: an answer in a schema")
async def sdk_schema(stage: Stage) -> str | None:
    stage.dialect.use(Said('{"name": "plover", "legs": 2}'))
    async with api(stage) as client:
        message = await client.messages.parse(**ASK, output_format=Bird)
    assert message.parsed_output == Bird(name="plover", legs=2)
    [body] = stage.dialect.bodies
    assert '"legs"' in json.dumps(body)
    return stage.dialect.notes.get("schema")
