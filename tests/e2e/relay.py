"""A recorder between a client and the server."""

from __future__ import annotations

from typing import Never

import aiohttp
from yarl import URL

from upstreams import Http, Recorded
from upstreams.server import Fake

HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "content-encoding"}
LONGEST_ANSWER = aiohttp.ClientTimeout(total=60)


class Relay(Fake[Never]):
    """Passes each request on as it came, and gives the answer when it is whole."""

    def __init__(self, target: str) -> None:
        """Stand before `target`."""
        super().__init__(self._pass_on)
        self.target = target
        self.answers: list[Http] = []

    def front(self, rec: Recorded) -> None:
        """Answer nothing itself."""

    def render(self, reply: Never, rec: Recorded) -> Never:
        """Render nothing: there are only whole answers."""
        raise NotImplementedError

    async def _pass_on(self, rec: Recorded) -> Http:
        url = URL(self.target + rec.path + (f"?{rec.query}" if rec.query else ""), encoded=True)
        headers = {k: v for k, v in rec.headers.items() if k not in HOP_BY_HOP}
        async with (
            aiohttp.ClientSession(timeout=LONGEST_ANSWER) as session,
            session.request(rec.method, url, data=rec.raw, headers=headers) as got,
        ):
            kept = {k: v for k, v in got.headers.items() if k.lower() not in HOP_BY_HOP}
            self.answers.append(Http(got.status, await got.read(), kept))
        return self.answers[-1]
