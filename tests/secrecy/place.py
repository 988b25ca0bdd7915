"""The server with its secrets, its upstream, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from e2e.http_client import Answer, send

from .stage import ANSWER, CLIENT, OURS, PROMPT, PROXY_KEY

if TYPE_CHECKING:
    from e2e.proxy import Proxy
    from faults.upstream import FaultUpstream


@dataclass
class Place:
    """The server, its upstream, and what it was given."""

    proxy: Proxy
    upstream: FaultUpstream
    env: dict[str, str]
    private: tuple[str, ...]
    answers: list[Answer] = field(default_factory=list)

    async def ask(self, path: str, body: Any = None, *, method: str = "POST", **headers: str) -> Answer:
        """An answer, kept."""
        named = {"x-api-key": PROXY_KEY, "authorization": f"Bearer {CLIENT}", **headers}
        answer = await send(self.proxy.url, path, body, method=method, **named)
        self.answers.append(answer)
        return answer

    def log(self) -> str:
        """All that the server has written."""
        return "\n".join(self.proxy.log.lines)

    def hidden(self) -> tuple[str, ...]:
        """What the log must not tell."""
        return (*OURS, *self.private, CLIENT, PROMPT, ANSWER)
