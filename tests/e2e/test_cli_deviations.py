"""The real Claude Code on a server that misbehaves: whatever the deviation, the task is done."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from upstreams import Call, Chat, FakeChat, Http

from .deviation_rows import MORE, ROWS, signed_details
from .deviations import (
    Deviation,
    deltas,
    details,
    function,
    parts,
    whole_calls,
)
from .leaked import NOTATIONS, hermes, leaking, llama
from .proxy import serving
from .tool_loop import DONE as ANSWER
from .tool_loop import READING, THOUGHT, WRITING, ToolLoop, answered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstreams import Raw, Recorded

    from .claude import Claude, Run
    from .proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIG = """
[providers.plain]
dialect = "openai_chat"
base_url = "{url}"
api_key = "canary-odd-key"

[providers.opened]
dialect = "openai_chat"
base_url = "{url}"
api_key = "canary-odd-key"
quirks = {{ think = "opened" }}

[providers.mistral]
dialect = "openai_chat"
base_url = "{url}"
api_key = "canary-odd-key"
quirks = {{ tool_ids = "mistral" }}

[providers.deepseek]
dialect = "openai_chat"
base_url = "{url}"
api_key = "canary-odd-key"
quirks = {{ replay = "reasoning_content" }}

[providers.router]
dialect = "openai_chat"
base_url = "{url}"
api_key = "canary-odd-key"
quirks = {{ replay = "reasoning_details" }}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def odd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[FakeChat, Proxy]]:
    """Give a server that misbehaves, and ours with rows for its kinds."""
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(FakeChat(extras=True))
        home = tmp_path_factory.mktemp("odd")
        config = home / "config.toml"
        config.write_text(CONFIG.format(url=chat.api))
        yield chat, await stack.enter_async_context(serving(home, CLAUDE_CODE_PROXY_CONFIG=str(config)))


def script(deviation: Deviation, loop: ToolLoop) -> ToolLoop:
    """Let the server deviate."""

    def render(reply: Chat, rec: Recorded, turn: int, before: int) -> Http | Raw | Chat:
        if turn not in deviation.on or not rec.json.get("stream") or (deviation.once and before):
            return reply
        return deviation.answer(reply, turn)

    loop.render, loop.ids = render, deviation.ids
    return loop


def assert_told(run: Run, deviation: Deviation) -> None:
    """The client was told what the server said, and what it cost."""
    if deviation.texts is not None:
        assert [block["text"] for block in run.blocks("text")] == list(deviation.texts)
    if deviation.thoughts is not None:
        assert [block["thinking"] for block in run.blocks("thinking")] == list(deviation.thoughts)
    usage = run.result["usage"]
    counted = (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"])
    if deviation.usage is not None:
        assert counted == tuple(3 * count for count in deviation.usage)
    assert counted[0] > 0
    assert counted[2] > 0


async def assert_finished(claude: Claude, odd: tuple[FakeChat, Proxy], deviation: Deviation, loop: ToolLoop) -> Run:
    """The task is done, the files are right, and each result went back under the id of its call."""
    chat, ours = odd
    chat.use(by=script(deviation, loop))
    run = await claude.run(f"{ours.url}/{deviation.provider}:some-model")
    ours.log.check()
    assert chat.refusals == []
    loop.assert_done(run)
    bodies = [asked.json for asked in chat.posts]
    if deviation.requests is not None:
        assert len(bodies) == deviation.requests
    loop.assert_results(bodies[-1], same_ids=deviation.same_ids)
    assert_told(run, deviation)
    inputs = [block["input"] for block in run.blocks("tool_use") if block["name"] in {"Read", "Write"}]
    assert all(call.arguments in inputs for call in loop.sent) or deviation.once
    return run


@pytest.mark.parametrize("case", ROWS | MORE)
async def test_a_task_on_a_server_that_deviates(claude: Claude, odd: tuple[FakeChat, Proxy], case: str) -> None:
    deviation = (ROWS | MORE)[case]
    await assert_finished(claude, odd, deviation, ToolLoop(claude.cwd, names=deviation.names))


@pytest.mark.parametrize("arguments", ["", "missing", None], ids=repr)
async def test_a_call_without_arguments(claude: Claude, odd: tuple[FakeChat, Proxy], arguments: str | None) -> None:
    def change(said: dict[str, Any]) -> dict[str, Any]:
        if said["name"] != "ListAgents":
            return said
        return {"name": said["name"]} if arguments == "missing" else said | {"arguments": arguments}

    agents = Call("ListAgents", "")
    deviation = Deviation([whole_calls, parts(function(change))], on=(0,))
    run = await assert_finished(claude, odd, deviation, ToolLoop(claude.cwd, also=[agents]))
    assert [block["input"] for block in run.blocks("tool_use") if block["name"] == "ListAgents"] == [{}]
    assert not any(block.get("is_error") for block in run.blocks("tool_result"))
    told = {call.id: (call.arguments, call.result) for call in answered(odd[0].posts[-1].json)}
    assert told[agents.id][0] == {}
    assert told[agents.id][1]


REPLAYS = {
    "deepseek": (Deviation(provider="deepseek"), {"reasoning_content": THOUGHT}),
    "deepseek without a thought": (Deviation(provider="deepseek", thoughts=()), {"reasoning_content": ""}),
    "router": (
        Deviation([deltas(details), signed_details], provider="router"),
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": THOUGHT, "format": "unknown", "index": 0, "signature": "c2ln"},
                {"type": "reasoning.encrypted", "data": "ZW5j", "id": "rs_1", "format": "unknown", "index": 1},
            ]
        },
    ),
    "nobody": (Deviation(), {}),
}


@pytest.mark.parametrize("case", REPLAYS)
async def test_reasoning_goes_back_the_way_it_is_wanted(claude: Claude, odd: tuple[FakeChat, Proxy], case: str) -> None:
    deviation, wanted = REPLAYS[case]
    loop = ToolLoop(claude.cwd, reasoning=THOUGHT if deviation.thoughts else "")
    await assert_finished(claude, odd, deviation, loop)
    called = [m for m in odd[0].posts[-1].json["messages"] if m.get("tool_calls")]
    assert len(called) == 2
    for message in called:
        assert {key: value for key, value in message.items() if key.startswith("reasoning")} == wanted


async def test_every_id_a_strict_upstream_sees_is_one_of_its_own_form(
    claude: Claude, odd: tuple[FakeChat, Proxy]
) -> None:
    deviation = Deviation(provider="mistral", same_ids=False)
    await assert_finished(claude, odd, deviation, ToolLoop(claude.cwd))
    idents = [call.id for call in answered(odd[0].posts[-1].json)]
    assert len(set(idents)) == 4
    assert all(len(ident) == 9 and ident.isalnum() and ident.isascii() for ident in idents)


LEAKS = (
    *(("Hermes", "Hermes"), ("Qwen3-Coder", "Qwen3-Coder"), ("GLM", "GLM"), ("Kimi", "Kimi"), ("MiniMax", "MiniMax")),
    ("DeepSeek V3", "DeepSeek V3.1"),
    ("DeepSeek V3.2", "DeepSeek V4"),
    ("DeepSeek V4 with doubled bars", "Claude"),
    ("Mistral", "Mistral v11"),
    ("gpt-oss", "Nemotron"),
    ("Granite", "Hermes"),
)
"""The notations of the first turn and the second."""


@pytest.mark.parametrize("notations", LEAKS, ids=" then ".join)
async def test_calls_that_a_server_left_in_the_text_are_made(
    claude: Claude, odd: tuple[FakeChat, Proxy], notations: tuple[str, str]
) -> None:
    edits = [leaking(NOTATIONS[name]) for name in notations]
    deviation = Deviation(by_turn=edits, same_ids=False, texts=None)
    run = await assert_finished(claude, odd, deviation, ToolLoop(claude.cwd))
    assert [block["text"].strip() for block in run.blocks("text")] == [READING, WRITING, ANSWER]


async def test_every_notation_is_tried() -> None:
    assert {name for names in LEAKS for name in names} == set(NOTATIONS)


async def test_a_call_in_the_notation_of_llama_is_made(claude: Claude, odd: tuple[FakeChat, Proxy]) -> None:
    deviation = Deviation([leaking(llama)], same_ids=False, texts=None, names=("one",))
    await assert_finished(claude, odd, deviation, ToolLoop(claude.cwd, names=("one",)))


async def test_calls_that_a_server_left_in_the_reasoning_are_made(claude: Claude, odd: tuple[FakeChat, Proxy]) -> None:
    deviation = Deviation([leaking(hermes, "reasoning_content")], same_ids=False, texts=None, thoughts=None)
    await assert_finished(claude, odd, deviation, ToolLoop(claude.cwd))


QUOTED = {
    "in a fence": "Models say it like this:\n```\n{call}\n```\nand so on.",
    "in a line": "Models say {call} and so on.",
    "of a tool that is not there": "{other}",
    "cut off": "It goes on.\n{cut}",
}


@pytest.mark.parametrize("how", QUOTED)
async def test_a_call_that_is_only_talked_about_is_not_made(
    claude: Claude, odd: tuple[FakeChat, Proxy], how: str
) -> None:
    chat, ours = odd
    path = claude.cwd / "never.txt"
    call = hermes([("Write", {"file_path": str(path), "content": "x"})])
    text = QUOTED[how].format(call=call, other=call.replace('"Write"', '"write_file"'), cut=call[: len(call) // 2])
    chat.use(Chat(text, chunk=3))
    run = await claude.run(f"{ours.url}/plain:some-model")
    assert run.answer == text
    assert not path.exists()
    assert len(chat.posts) == 1
