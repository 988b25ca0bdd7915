"""The cells of the matrix: what each scenario found on each dialect, and the table of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from e2e.claude import Claude, Run

    from .dialect import Dialect

DONE = "✓"


@dataclass(frozen=True)
class Stage:
    """Where a scenario plays: one dialect, the server before it, a client of its own, and a page that it may fetch.

    `trusted` holds the certificate of the page.
    """

    dialect: Dialect[Any]
    server: str
    claude: Claude
    page: str
    trusted: Path

    @property
    def url(self) -> str:
        """The base URL that pins the dialect's model."""
        return self.server + self.dialect.path

    @property
    def cwd(self) -> Path:
        """The folder that the client works in."""
        return self.claude.cwd

    def file(self, name: str) -> str:
        """The path of a file there."""
        return str(self.cwd / name)

    def with_env(self, **more: str) -> Stage:
        """The same with these variables for the client."""
        return replace(self, claude=replace(self.claude, more={**self.claude.more, **more}))

    def permitted(self, *permission: str) -> Stage:
        """The same with this in place of leave for everything."""
        return replace(self, claude=replace(self.claude, permission=permission))

    async def run(self, *args: str, prompt: str = "Hello") -> Run:
        """Let Claude Code answer a prompt."""
        return await self.claude.run(self.url, *args, prompt=prompt)


Scenario: TypeAlias = "Callable[[Stage], Awaitable[str | None]]"
SCENARIOS: dict[str, Scenario] = {}
"""By name, in the table's order. A scenario may find that a feature is there with a difference, and says which."""


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Put a scenario into the matrix."""

    def put(play: Scenario) -> Scenario:
        assert name not in SCENARIOS
        SCENARIOS[name] = play
        return play

    return put


@dataclass
class Cells:
    """Plays each scenario on all chosen dialects at once, and keeps what it found."""

    server: str
    dialects: Mapping[str, Dialect[Any]]
    client: Callable[[], Claude]
    page: str
    trusted: Path
    chosen: Callable[[str], Iterable[str]]
    tasks: dict[tuple[str, str], asyncio.Task[str]] = field(default_factory=dict)

    async def found(self, name: str, dialect: str) -> str:
        """What the scenario found on the dialect: done, or done with a difference. It raises what it missed."""
        if (name, dialect) not in self.tasks:
            for one in self.chosen(name):
                task = self.tasks[name, one] = asyncio.create_task(self._play(name, self.dialects[one]))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is told by its own test
        return await self.tasks[name, dialect]

    def stage(self, dialect: str) -> Stage:
        """A stage on the dialect, whose upstream has forgotten what was asked before."""
        return self.stage_on(self.dialects[dialect])

    def stage_on(self, dialect: Dialect[Any]) -> Stage:
        """The same on a dialect that is not in the table, whose upstream is."""
        dialect.fake.use()
        return Stage(dialect, self.server, self.client(), self.page, self.trusted)

    async def _play(self, name: str, dialect: Dialect[Any]) -> str:
        note = await SCENARIOS[name](self.stage(dialect.name))
        assert dialect.fake.refusals == []
        return note or DONE


HEAD = """<!-- made by the tests in tests/matrix: WRITE_COMPATIBILITY=1 writes what they found -->

# What works on which dialect

Every row is played by the real Claude Code, or a real SDK, through the server, against an upstream that refuses
whatever the real one would refuse. ✓ says that the client got what it should, and the upstream was sent nothing wrong.
"""


def page(found: Mapping[tuple[str, str], str], version: str) -> str:
    """The page with the table, and what is different where as footnotes."""
    scenarios = list(dict.fromkeys(name for name, _ in found))
    dialects = list(dict.fromkeys(name for _, name in found))
    notes: list[str] = []
    rows = [["", *(f"`{name}`" for name in dialects)], ["---"] * (len(dialects) + 1)]
    for scenario_ in scenarios:
        cells = []
        for dialect in dialects:
            note = found[scenario_, dialect]
            if note == DONE:
                cells.append(DONE)
                continue
            if note not in notes:
                notes.append(note)
            cells.append(f"{notes.index(note) + 1})")
        rows.append([scenario_, *cells])
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    foot = "\n".join(f"{n}. {note}" for n, note in enumerate(notes, 1))
    return f"{HEAD}\nClaude Code {version}.\n\n{table}\n" + (f"\n{foot}\n" if foot else "")
