"""What the ledger keeps of the real client: its session, and the folder that it works in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.ledger.reading import Chosen, read
from upstreams import Chat, FakeChat

if TYPE_CHECKING:
    from pathlib import Path

    from .claude import Claude
    from .proxy import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_session_of_the_real_client(proxy: Start, claude: Claude, tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.db")
    async with FakeChat([Chat("Hello there")]) as chat:
        env = {"OPENAI_BASE_URL": chat.api, "OPENAI_API_KEY": "canary-openai-key"}
        server = await proxy(**env, PROXY_LEDGER=place)
        assert (await claude.run(server.url)).answer == "Hello there"
        server.process.terminate()
        await server.process.wait()
    with read(place) as reader:
        rows = [row for row in reader.page(Chosen()) if row.state == "ok"]
        sessions = reader.sums(Chosen(), "session")
    assert rows
    assert str(claude.cwd) in {row.project for row in rows}
    assert {row.client.partition("/")[0] for row in rows} == {"claude-cli"}
    assert len(sessions) == 1
    assert sessions[0].key
    assert (sessions[0].input, sessions[0].output) == (100 * len(rows), 34 * len(rows))
