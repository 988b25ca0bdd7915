"""One conversation with Claude, GPT, Gemini and an open model in turn, and around again.

Each upstream gets all that was said and done, whoever said it, and of the thinking only what it minted itself.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from upstreams import (
    Call,
    Chat,
    FakeChat,
    FakeGemini,
    FakeMessages,
    FakeResponses,
    Gemini,
    Msg,
    Resp,
    text,
    thinking,
    tool_use,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .claude import Claude
    from .proxy import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLAUDE, GPT = "anthropic:claude-sonnet-5-5", "openai:gpt-5.4"
GEMINI, OPEN = "gemini:gemini-3-pro-preview", "openrouter:qwen/qwen3-coder"
ROUND = (CLAUDE, GPT, GEMINI, OPEN)
SEAL = "EClaudeSealedThis"
STAND_IN = "skip_thought_signature_validator"


@dataclass
class Party:
    """The upstreams, by the model that is asked there, and the server before them."""

    fakes: dict[str, Any]
    url: str


@pytest_asyncio.fixture(loop_scope="session")
async def party(proxy: Start) -> AsyncIterator[Party]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        claude, gpt = await enter(FakeMessages()), await enter(FakeResponses())
        gemini, router = await enter(FakeGemini()), await enter(FakeChat(base="/api/v1", extras=True))
        ours = await proxy(
            ANTHROPIC_API_KEY="a",
            ANTHROPIC_API_BASE=claude.url,
            OPENAI_API_KEY="o",
            OPENAI_BASE_URL=gpt.api,
            OPENAI_DIALECT="openai_responses",
            GEMINI_API_KEY="g",
            GEMINI_API_BASE=gemini.api,
            OPENROUTER_API_KEY="r",
            OPENROUTER_BASE_URL=router.api,
        )
        fakes: dict[str, Any] = dict(zip(ROUND, (claude, gpt, gemini, router), strict=True))
        yield Party(fakes, ours.url)
        assert [fake.refusals for fake in fakes.values()] == [[], [], [], []]


def thought(n: int) -> str:
    return f"pondering-{n}"


def replies(model: str, n: int) -> Sequence[Any]:
    """What the model says in turn `n`: it thinks, speaks and calls a tool, then thinks and answers."""
    working, answer = f"Working {n}.", f"Answer {n}."
    command = {"command": f"echo from-$(({n} * 11))", "description": "Echo"}
    call = Call("Bash", command)
    match model:
        case "anthropic:claude-sonnet-5-5":
            sealed = thinking(thought(n), f"{SEAL}{n}" * 3)
            return Msg([sealed, text(working), tool_use("Bash", command)]), Msg([sealed, text(answer)])
        case "openai:gpt-5.4":
            summary = [thought(n)]
            return Resp(working, [call], summary=summary, phase="commentary"), Resp(answer, summary=summary)
        case "gemini:gemini-3-pro-preview":
            return Gemini(working, [call], thought(n)), Gemini(answer, (), thought(n))
        case _:
            return Chat(working, [call], thought(n)), Chat(answer, (), thought(n))


def own_state(model: str, body: dict[str, Any]) -> int:
    """How much of what this upstream minted comes back to it."""
    match model:
        case "anthropic:claude-sonnet-5-5":
            return sum(block["type"] == "thinking" for one in body["messages"] for block in blocks(one["content"]))
        case "openai:gpt-5.4":
            return sum(item["type"] == "reasoning" and bool(item["encrypted_content"]) for item in body["input"])
        case "gemini:gemini-3-pro-preview":
            signed = [part.get("thoughtSignature") for content in body["contents"] for part in content["parts"]]
            return sum(one is not None and one != STAND_IN for one in signed)
        case _:
            return 0


def blocks(content: Any) -> list[dict[str, Any]]:
    return [] if isinstance(content, str) else content


async def test_everything_said_goes_on_and_nothing_minted_goes_astray(claude: Claude, party: Party) -> None:
    minted = {CLAUDE: 2, GPT: 2, GEMINI: 1, OPEN: 0}  # of Gemini's final text the signature is not kept
    for n, model in enumerate((*ROUND, *ROUND), start=1):
        fake = party.fakes[model]
        fake.use(*replies(model, n))
        goes_on = ["--continue"] if n > 1 else []
        run = await claude.run(party.url, *goes_on, "--model", model, prompt=f"Question {n}?")
        assert run.answer == f"Answer {n}."
        asked = [post for post in fake.posts if post.method == "POST"][-1]
        told = json.dumps(asked.json, ensure_ascii=False)
        for before in range(1, n + 1):
            assert f"Question {before}?" in told
            assert f"Working {before}." in told
            assert f"from-{before * 11}" in told
            assert f"Answer {before}." in told or before == n
        assert "ccp1." not in told
        assert (SEAL in told) == (model == CLAUDE)
        others = [k for k in range(1, n) if (*ROUND, *ROUND)[k - 1] != model]
        assert [k for k in others if thought(k) in told] == []
        first_round = n <= len(ROUND)
        current = {CLAUDE: 1, GPT: 1, GEMINI: 1, OPEN: 0}[model]
        assert own_state(model, asked.json) == current + (0 if first_round else minted[model])
