"""`POST [/{provider}:{model}]/v1/messages/count_tokens`: an estimate, made here.

Claude Code asks for two dozen counts at once; asking an upstream for each would cost more than the answer
is worth. Nothing leaves the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from claude_code_proxy.http.access import Record
from claude_code_proxy.http.asgi import client_headers, merged, read_body, send_whole
from claude_code_proxy.http.edge import answered
from claude_code_proxy.http.guard import admit
from claude_code_proxy.kinds import kind_of
from claude_code_proxy.routing import route
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.head import decode_head

if TYPE_CHECKING:
    from claude_code_proxy.http.asgi import Receive, Scope, Send
    from claude_code_proxy.settings import Settings


class CountTokens:
    """The endpoint. `pinned` is what the URL names before it: `provider:model`, or empty."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send, pinned: str) -> None:
        record = Record(scope)
        await answered(self._answer(scope, receive, send, pinned, record), send, record)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, pinned: str, record: Record) -> None:
        headers = admit(client_headers(scope), self._settings)
        head = record.head = decode_head(await read_body(scope, receive, self._settings.max_body))
        kind = "" if pinned else kind_of(head, headers, self._settings.tables.kinds)
        record.target = str(route(pinned, head.model, self._settings, kind))
        body = orjson.dumps({"input_tokens": count(head)})
        record.status = 200
        await send_whole(send, 200, body, merged((), (), record.request_id))
