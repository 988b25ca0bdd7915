"""The server with every log at its most talkative, and dialects that break on purpose. For tests only.

A model that is named `…-request` breaks the translation of its request, `…-reply` that of its reply; both in the words
that a mistake would find at hand, which are the client's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from claude_code_proxy.app import create_app
from claude_code_proxy.dialects import DIALECTS

if TYPE_CHECKING:
    from claude_code_proxy.dialects.base import Answer, Call, Dialect, Local, Outgoing, Reply
    from claude_code_proxy.dialects.search import Search
    from claude_code_proxy.wire.watch import Watch

logging.basicConfig(level=logging.DEBUG, format="%(name)s %(levelname)s %(message)s")
for name in ("claude_code_proxy", "asyncio", "aiohttp", "uvicorn", "botocore", "google", "urllib3", "requests"):
    logging.getLogger(name).setLevel(logging.DEBUG)


class _Breaking:
    """A machine that says a little and then breaks."""

    def __init__(self, machine: Reply, call: Call) -> None:
        self._machine, self._call, self._left = machine, call, 2

    def feed(self, item: bytes) -> list[bytes]:
        self._left -= 1
        if not self._left:
            raise KeyError(item, self._call.head.fields["messages"], dict(self._call.headers))
        return list(self._machine.feed(item))

    def close(self) -> list[bytes]:
        raise ValueError(self._call.head.raw)


def _breakable(dialect: Dialect) -> Dialect:
    def request(call: Call) -> Outgoing | Local | Search:
        if call.model.endswith("-request"):
            try:
                int(call.head.raw)
            except ValueError as cause:
                raise RuntimeError(dict(call.headers), call.head.raw) from cause
        return dialect.request(call)

    def reply(call: Call, outgoing: Outgoing, answer: Answer, watch: Watch) -> Reply:
        machine = dialect.reply(call, outgoing, answer, watch)
        return _Breaking(machine, call) if call.model.endswith("-reply") else machine

    return replace(dialect, request=request, reply=reply)


for name, dialect in list(DIALECTS.items()):
    DIALECTS[name] = _breakable(dialect)

app = create_app()
