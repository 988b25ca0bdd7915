"""The messages endpoint with capture on, in this process, before an upstream that says what it is told to."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import asgi
from claude_code_proxy.gateway import Known, preparations
from claude_code_proxy.http.messages import Messages
from claude_code_proxy.ledger.capture import Kept, opened_parts
from claude_code_proxy.ledger.reading import Chosen, read
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool
from faults.replies import PROVIDERS
from faults.stage import TOOLS, config, environment
from faults.upstream import FaultUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.settings import Settings
    from faults.ops import Op

PORTS = ("plain", "refused", "tls", "mute", "expired", "wrong-host", "self-signed")
_numbers = count(1)


@dataclass
class Stage:
    """The endpoint, the upstream and the ledger. `place` is the ledger's file."""

    upstream: FaultUpstream
    settings: Settings
    ledger: Ledger
    pool: Pool
    place: Path
    messages: Messages = field(init=False)

    def __post_init__(self) -> None:
        known = Known(preparations(self.pool))
        self.messages = Messages(self.settings, self.pool, known, Metrics(ledger=self.ledger))

    def began(
        self,
        dialect: str,
        scripts: Sequence[Sequence[Op]],
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> asgi.Exchange:
        """A request whose attempts find these scripts, not yet sent."""
        case = next(_numbers)
        self.upstream.scripts[case] = scripts
        made = {"model": "m", "max_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}], **body}
        self.pinned = f"{PROVIDERS[dialect]}:case-{case}"
        return asgi.Exchange(json.dumps(made).encode(), headers=dict(headers or {}))

    async def ask(
        self,
        dialect: str,
        scripts: Sequence[Sequence[Op]],
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> asgi.Exchange:
        """Its answer."""
        exchange = self.began(dialect, scripts, {"tools": TOOLS, **(body or {})}, headers)
        await asyncio.wait_for(self.messages(exchange.scope, exchange.receive, exchange.send, self.pinned), 30)
        return exchange

    async def written(self) -> None:
        """Everything is in the file."""
        await asyncio.to_thread(self.ledger.close)

    def rows(self) -> list[Entry]:
        """The rows of the ledger, the latest first."""
        with read(str(self.place)) as reader:
            return reader.page(Chosen(), most=1000)

    def parts(self, id: str) -> dict[str, Kept]:  # noqa: A002
        """What was captured of a request."""
        with read(str(self.place)) as reader:
            return opened_parts(reader.captured(id))

    def sealed(self, id: str) -> dict[str, bytes]:  # noqa: A002
        """The same as it is kept."""
        with read(str(self.place)) as reader:
            return reader.captured(id)

    def latest(self) -> dict[str, Kept]:
        """What was captured of the latest request."""
        return self.parts(self.rows()[0].id)


@asynccontextmanager
async def capturing(folder: Path, **env: str) -> AsyncIterator[Stage]:
    """A stage whose ledger writes; capture is on unless `env` says otherwise."""
    place = folder / "ledger.db"
    async with FaultUpstream() as upstream:
        ports = {name: upstream.ports.get(name, 9) for name in PORTS}
        file = folder / "config.toml"
        file.write_text(config(ports), "utf-8")
        said = {
            "CLAUDE_CODE_PROXY_ENV_FILE": "",
            "CLAUDE_CODE_PROXY_CONFIG": str(file),
            "PROXY_LEDGER": str(place),
            "PROXY_CAPTURE": "true",
        }
        settings = load_settings({**environment(ports), **said, **env})
        ledger = Ledger(str(place), interval=0.01)
        ledger.start()
        pool = Pool(settings)
        try:
            yield Stage(upstream, settings, ledger, pool, place)
        finally:
            await asyncio.to_thread(ledger.close)
            await pool.close()
