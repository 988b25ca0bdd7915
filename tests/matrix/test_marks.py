"""The long session of the matrix, on a model at OpenRouter that is told by marks what to keep in its cache."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from .dialects import OpenAIChat
from .scenarios_cache import TURNS, plain, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cells import Cells

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Marked(OpenAIChat):
    """The same upstream, asked for Claude."""

    wish = "openrouter:anthropic/claude-sonnet-5.5"

    def __init__(self, among: Cells) -> None:
        super().__init__()
        self.fake = among.dialects[self.name].fake


def marks(value: Any) -> Iterator[Any]:
    """Every cache mark in it."""
    match value:
        case {"cache_control": mark}:
            yield mark
        case dict() | list():
            for inner in value.values() if isinstance(value, dict) else value:
                yield from marks(inner)


async def test_thirty_turns_move_the_marks_and_nothing_else(cells: Cells) -> None:
    await session(cells.stage_on(Marked(cells)))
    bodies = [rec.json for rec in cells.dialects["openai_chat"].fake.posts]
    assert len(bodies) == TURNS
    for before, after in pairwise(bodies):
        turns = before["messages"]
        assert plain(after["messages"][: len(turns)]) == plain(turns)
        assert after["tools"][: len(before["tools"])] == before["tools"]
    for body in bodies:
        system, *turns = body["messages"]
        assert len(list(marks(system))) == 2
        assert len(list(marks(turns))) == 1
        last = next(n for n, turn in enumerate(reversed(turns)) if list(marks(turn)))
        assert last <= 1, body["messages"][-3:]
    assert len({body["session_id"] for body in bodies}) == 1
