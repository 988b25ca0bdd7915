"""Scenarios of Anthropic's TypeScript SDKs. Their scripts are in tests/typescript."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e2e.claude import CLIENT_TOKEN
from upstreams import Call

from .cells import scenario
from .dialect import Said
from .node import played
from .scenarios_clients import ASK
from .scenarios_tools import assert_paired

if TYPE_CHECKING:
    from .cells import Stage


async def asked(stage: Stage, script: str) -> Any:
    """Let a script ask the pinned model."""
    return await played(script, stage.claude.home, url=stage.url, key=CLIENT_TOKEN, ask=ASK)


@scenario("TypeScript Agent SDK: `query()` with a tool of its own")
async def query(stage: Stage) -> None:
    greet = Call("mcp__house__greet", {"name": "Ada"})
    stage.dialect.use(Said(calls=[greet], thought="I greet her."), Said("Greeted."))
    told = await played(
        "query",
        stage.claude.home,
        cli=str(stage.claude.binary),
        cwd=str(stage.cwd),
        env=stage.claude.env(stage.url),
        prompt="Greet Ada.",
    )
    ended = told["ended"]
    assert (ended["type"], ended["is_error"], ended["result"]) == ("result", False, "Greeted.")
    assert told["greeted"] == ["Ada"]
    assert "Good day, Ada!" in assert_paired(stage, [greet])[greet.id]


@scenario("`@anthropic-ai/sdk`: a stream with thinking")
async def stream(stage: Stage) -> None:
    stage.dialect.use(Said("It rains, größer.", thought="I look."))
    told = await asked(stage, "stream")
    message = told["message"]
    assert "".join(told["pieces"]) == "It rains, größer."
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert (message["stop_reason"], message["usage"]["input_tokens"] > 0) == ("end_turn", True)


@scenario("`@anthropic-ai/sdk`: the tool runner")
async def runner(stage: Stage) -> None:
    call = Call("weather", {"city": "Łódź"})
    stage.dialect.use(Said("I look.", [call]), Said("It rains."))
    message = (await asked(stage, "runner"))["message"]
    assert [block["text"] for block in message["content"] if block["type"] == "text"] == ["It rains."]
    assert assert_paired(stage, [call])[call.id] == "Rain in Łódź."


@scenario("`@anthropic-ai/sdk`: an answer in a schema")
async def schema(stage: Stage) -> str | None:
    stage.dialect.use(Said('{"name": "plover", "legs": 2}'))
    told = await asked(stage, "schema")
    assert told["parsed"] == {"name": "plover", "legs": 2}
    [body] = stage.dialect.bodies
    assert '"legs"' in json.dumps(body)
    return stage.dialect.notes.get("schema")
