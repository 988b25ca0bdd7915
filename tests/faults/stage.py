"""Where faults are played: one server, one faulty upstream behind it, and what must hold after each."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.http_client import HELLO, send

from .expected import judge, shown
from .replies import DIALECTS, KEYS, PROVIDERS, TOOL, Reply, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from e2e.http_client import Answer
    from e2e.proxy import Log

    from .expected import Expected
    from .ops import Op
    from .upstream import FaultUpstream

EVERY = tuple(DIALECTS)
BOTH = (True, False)
CANARY_PROMPT = "canary-prompt-plover"
TOOLS = [{"name": TOOL, "input_schema": {"type": "object", "properties": {"file_path": {"type": "string"}}}}]
LONGEST_CLEANUP = 5.0
_numbers = count(1)
_BAD_LOG = ("never retrieved", "was never awaited", "Task was destroyed", "ResourceWarning", "Unclosed", CANARY_PROMPT)


@dataclass(frozen=True)
class Fault:
    """One way to fail, and what the client must get: `stream` where it asked for one, `whole` where not.

    `script` makes what the upstream does of the answer that it should give (`of`). `but` holds what is expected
    otherwise, by dialect or by dialect and mode (`gemini stream`). `via` names a provider that is reached
    otherwise. `grows` is by how many bytes the server may grow at most; such a fault is played alone.
    """

    row: str
    name: str
    script: Callable[[Reply], Sequence[Op]]
    stream: Expected
    whole: Expected | None = None
    of: Callable[..., Reply] = reply
    only: tuple[str, ...] = EVERY
    modes: tuple[bool, ...] = BOTH
    but: Mapping[str, Expected] = field(default_factory=dict)
    via: str = ""
    grows: int = 0

    @property
    def cells(self) -> list[tuple[str, bool]]:
        """Where it is played: the dialects, streamed or not."""
        return [(dialect, stream) for dialect in self.only for stream in self.modes]

    def expected(self, dialect: str, *, stream: bool) -> Expected:
        """What the client must get there."""
        place = f"{dialect} {'stream' if stream else 'whole'}"
        usual = self.stream if stream or self.whole is None else self.whole
        return self.but.get(place) or self.but.get(dialect) or usual


@dataclass
class Stage:
    """The server and the upstream. `tasks` are those of the server at rest."""

    url: str
    log: Log
    upstream: FaultUpstream
    pid: int = 0
    tasks: Sequence[str] = ()
    grown: int = 0

    async def begin(self) -> None:
        """Take the measure of the server at rest."""
        await self.healthy()
        probe = await self.probe()
        self.pid, self.tasks = probe["pid"], probe["tasks"]

    async def probe(self) -> dict[str, Any]:
        """What the server holds."""
        got: dict[str, Any] = (await send(self.url, "/__probe", method="GET")).json
        return got

    def seconds(self) -> float:
        """The time that the server has computed so far. Linux tells."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def ask(
        self,
        provider: str,
        scripts: Sequence[Sequence[Op]],
        *,
        stream: bool,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to a request whose attempts find these scripts, one after the other."""
        case = next(_numbers)
        self.upstream.scripts[case] = scripts
        prompt = [{"role": "user", "content": CANARY_PROMPT}]
        body = {**HELLO, "messages": prompt, "stream": stream, "tools": TOOLS}
        return await send(self.url, f"/{provider}:case-{case}/v1/messages", body, **(headers or {}))

    async def play(self, fault: Fault) -> dict[str, str]:
        """What went wrong, by dialect and mode: nothing."""
        if fault.grows:
            found = [await self.play_cell(fault, *cell) for cell in fault.cells]
        else:
            found = await asyncio.gather(*(self.play_cell(fault, *cell) for cell in fault.cells))
        return {place: wrong for place, wrong in found if wrong}

    async def play_cell(self, fault: Fault, dialect: str, stream: bool) -> tuple[str, str]:  # noqa: FBT001
        """What went wrong in one dialect and mode: the place, and nothing."""
        place = f"{dialect} {'stream' if stream else 'whole'}"
        made = fault.of(dialect, stream=stream)
        provider = f"{fault.via}-{dialect.replace('_', '-')}" if fault.via else PROVIDERS[dialect]
        memory = Memory(self.pid) if fault.grows else None
        answer = await self.ask(provider, [fault.script(made)], stream=stream)
        try:
            judge(answer, fault.expected(dialect, stream=stream), stream=stream)
            grown = memory.grown() if memory else 0
            self.grown = max(self.grown, grown)
            assert grown <= fault.grows, f"{grown >> 20} MiB more"
        except (AssertionError, LookupError, ValueError) as cause:
            return place, f"{cause!r} in {shown(answer)}"
        return place, ""

    async def healthy(self, *dialects: str) -> None:
        """Every dialect still gets its own answer."""

        async def one(dialect: str, stream: bool) -> None:  # noqa: FBT001
            text = f"healthy-{next(_numbers)}"
            answer = await self.ask(PROVIDERS[dialect], [reply(dialect, stream=stream, text=text).whole], stream=stream)
            assert answer.status == 200, shown(answer)
            assert text.encode() in answer.body, shown(answer)

        await asyncio.gather(*(one(dialect, stream) for dialect in dialects or EVERY for stream in BOTH))

    async def settled(self) -> None:
        """Nothing is left behind: no connection at work, no task, no word of it in the log, no secret."""
        until = time.monotonic() + LONGEST_CLEANUP
        while (busy := self.upstream.busy) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert not busy, f"{len(busy)} upstream connections still at work"
        while (left := _more((await self.probe())["tasks"], self.tasks)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert not left, f"tasks left: {left}"
        self.said_nothing()

    def said_nothing(self) -> None:
        """The log has no trace of a mistake, and no secret."""
        fresh = "\n".join(self.log.lines[self.log.checked :])
        self.log.check()
        for bad in (*_BAD_LOG, *KEYS.values()):
            assert bad not in fresh, f"{bad} in the log:\n{fresh[-3000:]}"


def _more(now: Sequence[str], before: Sequence[str]) -> list[str]:
    """The tasks that there are more of now, whatever their addresses."""
    left = [_named(task) for task in now]
    for task in map(_named, before):
        if task in left:
            left.remove(task)
    return [] if len(now) <= len(before) else left


def _named(task: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", task)


class Memory:
    """How much memory a process has needed since now, at its highest. Linux tells."""

    def __init__(self, pid: int) -> None:
        self._place = Path(f"/proc/{pid}")
        (self._place / "clear_refs").write_text("5", "ascii")  # forget the highest mark
        self._before = self._read("VmRSS")

    def grown(self) -> int:
        """Bytes."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", (self._place / "status").read_text("ascii"))
        assert found
        return int(found[1]) << 10


def config(ports: Mapping[str, int]) -> str:
    """The server's config.toml: the dialects' providers, and those that are reached otherwise."""
    plain = f"http://127.0.0.1:{ports['plain']}"
    ways = {
        "refused": f"http://127.0.0.1:{ports['refused']}",
        "nowhere": "https://nowhere.invalid",
        "http": f"https://127.0.0.1:{ports['plain']}",
        **{
            name: f"https://127.0.0.1:{ports[name]}" for name in ("tls", "mute", "expired", "wrong-host", "self-signed")
        },
    }
    rows = [
        f'[providers.openai]\nbase_url = "{plain}/v1"\nbase_url_env = ""\ndialect = "openai_responses"\n'
        'quirks = { session_key = "prompt_cache_key" }\n'
    ]
    for way, url in ways.items():
        for dialect in EVERY:
            spoken = "anthropic" if dialect == "ollama" else dialect
            rows.append(
                f'[providers.{way}-{dialect.replace("_", "-")}]\nbase_url = "{url}/v1"\ndialect = "{spoken}"\n'
                f"api_key = {json.dumps(KEYS.get(dialect, 'sk-canary-ollama'))}\n"
            )
    return "\n".join(rows)


def environment(ports: Mapping[str, int]) -> dict[str, str]:
    """The server's variables."""
    plain = f"http://127.0.0.1:{ports['plain']}"
    return {
        "OPENAI_API_KEY": KEYS["openai_responses"],
        "OPENROUTER_API_KEY": KEYS["openai_chat"],
        "OPENROUTER_BASE_URL": f"{plain}/api/v1",
        "GEMINI_API_KEY": KEYS["gemini"],
        "GEMINI_API_BASE": f"{plain}/v1beta",
        "ANTHROPIC_API_KEY": KEYS["anthropic"],
        "ANTHROPIC_API_BASE": plain,
        "OLLAMA_API_BASE": plain,
        "OLLAMA_NUM_CTX": "0",  # its own API is test_ollama.py's
        "CONNECT_TIMEOUT": "1",
        "IDLE_TIMEOUT": "1.5",
        "PING_INTERVAL": "0.3",
        "FIRST_BYTE_TIMEOUT": "2",
        "LOCAL_FIRST_BYTE_TIMEOUT": "2",
        "ANSWER_TIMEOUT": "3",
        "STREAM_TIMEOUT": "5",
        "UPSTREAM_RETRIES": "0",
    }
