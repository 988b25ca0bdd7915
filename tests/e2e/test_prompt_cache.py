"""The real Claude Code keeps the prompt cache of models that want to be told what to keep, and of the host that has it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Call, Chat, FakeMessages, Msg, text

from .http_client import HELLO, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .claude import Claude
    from .proxy import Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARKED = "/openrouter:anthropic/claude-sonnet-5.5"
SUBAGENT = {
    "description": "Look",
    "prompt": "Look around.",
    "subagent_type": "general-purpose",
    "run_in_background": False,
}


def bash(command: str) -> Call:
    return Call("Bash", {"command": command, "description": "Look"})


def marks(value: Any) -> Iterator[dict[str, Any]]:
    """Every cache mark in it."""
    match value:
        case dict():
            if "cache_control" in value:
                yield value["cache_control"]
            for inner in value.values():
                yield from marks(inner)
        case list():
            for inner in value:
                yield from marks(inner)


def unmarked(value: Any) -> Any:
    match value:
        case dict():
            return {name: unmarked(inner) for name, inner in value.items() if name != "cache_control"}
        case list():
            return [unmarked(inner) for inner in value]
        case _:
            return value


async def test_marks_move_on_over_the_same_prefix(claude: Claude, world: World) -> None:
    world.router.use(
        *(Chat(f"Step {n}.", [bash(f"echo {n}"), bash(f"echo again {n}")]) for n in range(4)), Chat("Done.")
    )
    assert (await claude.run(world.url + MARKED)).answer == "Done."
    assert (await claude.run(world.url + MARKED, "--continue", prompt="And now?")).answer == "Done."
    bodies = world.only(world.router)
    assert len(bodies) == 6
    for body in bodies:
        system, *turns = body["messages"]
        assert len(list(marks(system))) == 2
        assert len(list(marks(turns))) == 1
        assert list(marks(turns[-2:]))  # as far to the end as the client wants it
    for before, after in pairwise(bodies):
        count = len(before["messages"])
        assert unmarked(after["messages"][:count]) == unmarked(before["messages"])
        assert after["tools"][: len(before["tools"])] == before["tools"]


async def test_how_long_a_mark_holds(claude: Claude, world: World) -> None:
    """Where that is known; it is the user who pays for it."""
    world.router.use(Chat("Done."))
    for model, kept in (("anthropic/claude-sonnet-5.5", ["1h"]), ("qwen/qwen3-coder-plus", [None])):
        hour = replace(claude, more={"CLAUDE_CODE_PROMPT_CACHE_TTL": "1h"})
        assert (await hour.run(f"{world.url}/openrouter:{model}")).answer == "Done."
        found = list(marks(world.router.posts[-1].json))
        assert {mark.get("ttl") for mark in found} == set(kept)
        assert len(found) == 3


async def test_a_session_stays_with_its_host(claude: Claude, world: World) -> None:
    """OpenRouter sends what has one `session_id` to the host that has its cache; so each request must have it."""
    agent = Call("Agent", SUBAGENT)
    world.router.use(Chat("", [agent]), Chat("Seen."), Chat("Done."))
    path = f"{world.url}/openrouter:qwen/some-model"
    assert (await claude.run(path)).answer == "Done."
    assert (await claude.run(path, "--continue", prompt="And now?")).answer == "Done."
    first = [body["session_id"] for body in world.only(world.router)]
    assert len(first) == 4
    assert len(set(first)) == 1
    assert (await claude.run(path, prompt="Another session.")).answer == "Done."
    assert world.router.posts[-1].json["session_id"] not in first
    named = world.router.posts[-1]
    assert "metadata" not in named.json
    assert not [name for name in named.headers if name.startswith("x-claude-code")]


async def test_its_other_formats_keep_a_session_together(claude: Claude, proxy: Start) -> None:
    async with FakeMessages([Msg([text("Hello")])], lenient=True) as router:
        ours = await proxy(OPENROUTER_BASE_URL=router.url, OPENROUTER_API_KEY="k", OPENROUTER_DIALECT="anthropic")
        assert (await claude.run(f"{ours.url}/openrouter:qwen/some-model")).answer == "Hello"
        assert (await claude.run(f"{ours.url}/openrouter:qwen/some-model", "--continue")).answer == "Hello"
        keys = {rec.headers["x-session-id"] for rec in router.posts}
        assert len(keys) == 1
        assert len(keys.pop()) == 32


USAGES: list[tuple[str, dict[str, Any], tuple[int, int, int]]] = [
    ("OpenRouter", {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}}, (10, 60, 30)),
    (
        "DashScope",
        {"prompt_tokens_details": {"cached_tokens": 60, "cache_creation_input_tokens": 30, "cache_type": "ephemeral"}},
        (10, 60, 30),
    ),
    ("DeepSeek", {"prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40}, (40, 60, 0)),
    ("Kimi", {"cached_tokens": 60}, (40, 60, 0)),
    ("Mistral", {"prompt_tokens_details": {"cached_tokens": 60}}, (40, 60, 0)),
    ("a server without a cache", {}, (100, 0, 0)),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("usage", "told"), [row[1:] for row in USAGES], ids=[row[0] for row in USAGES])
async def test_what_the_cache_did_is_told(
    world: World, usage: dict[str, Any], told: tuple[int, int, int], *, stream: bool
) -> None:
    world.router.use(Chat("Hello", usage={"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105, **usage}))
    answer = await send(world.url, "/openrouter:m/v1/messages", {**HELLO, "stream": stream})
    last = [event for event in answer.events() if "usage" in event][-1] if stream else answer.json
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert tuple(last["usage"][name] for name in names) == told
