"""A long session keeps the prompt cache of its upstream: what was sent before stays as it was, byte for byte.

The session is the real client's: tool loops, results in another order, images and documents, tools that are found
late, and two more processes that go on with it. Between them the client moves its cache marks, and writes content now
as a list and now as a string.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from upstreams import Call

from .cells import scenario
from .dialect import Said
from .files import MCP, pdf, png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cells import Stage

TURNS = 30
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def bash(command: str) -> Call:
    return Call("Bash", {"command": command, "description": "Look"})


def loops(stage: Stage) -> Iterator[list[Call]]:
    """The calls of every turn that makes some; after each tenth an answer ends the run."""
    yield [bash("echo one")]
    yield [bash("sleep 0.3; echo slow"), bash("echo fast")]
    yield [Call("Read", {"file_path": stage.file("red.png")})]
    yield [Call("ToolSearch", {"query": "select:mcp__house__greet", "max_results": 1})]
    yield [Call("mcp__house__greet", {"name": "Ada"})]
    yield [Call("Read", {"file_path": stage.file("missing.txt")})]
    yield [Call("Read", {"file_path": stage.file("bird.pdf")}), bash("echo beside")]
    yield [Call("Write", {"file_path": stage.file("new.txt"), "content": "größer \u2028 line\n"})]
    yield [Call("ToolSearch", {"query": "select:WebFetch,NotebookEdit", "max_results": 2})]
    for n in range(TURNS):
        yield [bash(f"echo round-{n}")]


async def session(stage: Stage) -> None:
    """Three processes, ten requests each."""
    (stage.cwd / "red.png").write_bytes(png())
    (stage.cwd / "bird.pdf").write_bytes(pdf())
    (stage.cwd / "house.py").write_text(MCP)
    servers = {"mcpServers": {"house": {"command": sys.executable, "args": [stage.file("house.py")]}}}
    calls = loops(stage)
    said = [
        Said(f"Answer {n}.", thought="Hm.") if n % 10 == 9 else Said(f"Step {n}.", next(calls), "Hm." * (n % 3))
        for n in range(TURNS)
    ]
    stage.dialect.use(*said)
    for n in range(TURNS // 10):
        more = ["--continue"] if n else []
        # It stands in the attribution that the client puts before its system prompt.
        run = await stage.with_env(CLAUDE_CODE_ENTRYPOINT=f"place-{n}").run(
            "--mcp-config", json.dumps(servers), *more, prompt=f"Prompt {n}."
        )
        assert run.answer == f"Answer {10 * n + 9}."


def plain(value: Any) -> Any:
    """Content of Anthropic's format without marks, and as a list wherever it is a string: the same to its cache."""
    match value:
        case list():
            return [plain(inner) for inner in value]
        case {"role": _, "content": str(text)}:
            return plain({**value, "content": [{"type": "text", "text": text}]})
        case dict():
            return {name: plain(inner) for name, inner in value.items() if name != "cache_control"}
        case _:
            return value


def sent(stage: Stage) -> list[dict[str, bytes]]:
    """The fields of every request, byte for byte; where the client's own format goes through, as its cache sees them."""
    asked = [FIELDS.decode(rec.raw) for rec in stage.dialect.asked]
    if not stage.dialect.native:
        return [{name: bytes(raw) for name, raw in fields.items()} for fields in asked]
    bodies = [plain(stage.dialect.cached(json.loads(rec.raw))) for rec in stage.dialect.asked]
    return [{name: json.dumps(value).encode() for name, value in body.items()} for body in bodies]


@scenario("thirty turns keep the upstream's prompt cache")
async def prompt_cache(stage: Stage) -> str | None:
    await session(stage)
    asked = sent(stage)
    assert len(asked) == TURNS
    turns = stage.dialect.turns
    for n, (before, after) in enumerate(pairwise(asked)):
        assert after[turns].startswith(before[turns][:-1] + b","), n
        if "late tools" not in stage.dialect.notes:
            assert after["tools"].startswith(before["tools"].rstrip(b"]}")), n
        rest = (after.keys() | before.keys()) - {turns, "tools"}
        assert {name: after.get(name) for name in rest} == {name: before.get(name) for name in rest}, n
    return stage.dialect.notes.get("late tools")
