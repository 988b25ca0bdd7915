"""`/{provider}:[{model}]/v1/…`: every other path of a provider whose row says that its paths pass.

Files, batches, lists of models: method, path, query and bodies of any size go as they come, and so does the answer.
Never the client's credential, unless the user switched that on, nor its cookies; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from msgspec import Struct

from claude_code_proxy.dialects.anthropic import forwarded
from claude_code_proxy.dialects.errors import as_sent
from claude_code_proxy.http.access import Record
from claude_code_proxy.http.admission import Admission
from claude_code_proxy.http.asgi import ClientGone, every_header, merged
from claude_code_proxy.http.edge import answered
from claude_code_proxy.http.guard import admit
from claude_code_proxy.http.stream import while_connected
from claude_code_proxy.providers import find_provider
from claude_code_proxy.wire.failure import ApiError, error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping

    from claude_code_proxy.dialects.base import Answer
    from claude_code_proxy.http.asgi import Message, Receive, Scope, Send
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

_WAY: Final = re.compile(r"/+([^/:%]+)(?::|%3A)(.*?)(?:/v1)?(/v1/.+)", re.IGNORECASE | re.DOTALL)
_SEPARATORS: Final = re.compile(r"[/\\;]")
_MOST_DECODED: Final = 4
_SAFE: Final = "/%:@!$&'()*+,;=-._~"
_OURS: Final = "/v1/models"
_SHORTEST_SECRET: Final = 8
"""Characters below which a key is none that could be recognised in a header, or would be worth it."""

_ASKED: Final = frozenset(
    {
        *("accept", "accept-encoding", "content-encoding", "content-language", "content-type", "idempotency-key"),
        *("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"),
    }
)
"""Headers of the client that say what is asked, beside those that go with a message."""

_TOLD: Final = frozenset(
    {
        *("accept-ranges", "age", "allow", "cache-control", "content-disposition", "content-encoding"),
        *("content-language", "content-length", "content-range", "content-type", "etag", "expires", "last-modified"),
        *("link", "location", "request-id", "retry-after", "vary", "x-content-type-options", "x-should-retry"),
    }
)
"""Headers of the answer that say what it is; those of the connection and of the host stay behind."""

_log = logging.getLogger(__name__)


class Way(Struct, frozen=True):
    """Where a request goes: a provider, and a path there, encoded as the client sent it."""

    provider: Provider
    path: str

    def address(self, query: bytes = b"") -> str:
        """The URL there, at the provider's own host whatever the path is."""
        url = self.provider.root + quote(self.path, safe=_SAFE, encoding="latin-1")
        return f"{url}?{quote(query, safe=_SAFE + '?')}" if query else url


class Passage:
    """The endpoint."""

    def __init__(
        self, settings: Settings, pool: Pool, metrics: Metrics | None = None, admission: Admission | None = None
    ) -> None:
        self._settings, self._pool, self._metrics = settings, pool, metrics
        self._admission = admission or Admission(settings)

    def way(self, scope: Scope) -> Way | None:
        """The way of a request; None if it is not of this kind.

        Under a model the list of models is the proxy's own, which shows that model.
        """
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        found = _WAY.fullmatch(raw.decode("latin-1"))
        provider = find_provider(self._settings.providers, found[1].strip()) if found else None
        if not found or not provider or not provider.passes_paths:
            return None
        if unquote(found[2]).strip("/ ") and (found[3] + "/").startswith(f"{_OURS}/"):
            return None
        return Way(provider, found[3])

    async def __call__(self, scope: Scope, receive: Receive, send: Send, way: Way) -> None:
        record = Record(scope, self._metrics, "passage")
        record.target = way.provider.name
        await answered(self._answer(scope, receive, send, way, record), send, record)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, way: Way, record: Record) -> None:
        provider, method = way.provider, scope["method"]
        if leaves(way.path):
            raise error("invalid_request_error", "The path must not hold `.` or `..`.")
        client = admit(every_header(scope), self._settings)
        url = way.address(scope["query_string"])
        key = await self._pool.credentials.headers(provider, method, url, None, client)
        headers = {name: value for name, value in client.items() if name in _ASKED} | forwarded(client)
        upload = Upload(receive, self._settings.idle_timeout)
        body = None
        if "transfer-encoding" in client or client.get("content-length", "0") != "0":
            body = upload.parts()
            headers |= {"content-length": client["content-length"]} if "content-length" in client else {}
        asked = (method, url, body, {**headers, **provider.headers, **key})
        try:
            async with self._admission.turn():
                await while_connected(upload.receive, self._pass(send, asked, key.values(), record))
        except ClientGone:
            if upload.stalled and not record.status:
                raise error("timeout_error", f"{provider.host} took nothing for too long.") from None
            raise

    async def _pass(
        self,
        send: Send,
        request: tuple[str, str, AsyncGenerator[bytes] | None, Mapping[str, str]],
        secrets: Iterable[str],
        record: Record,
    ) -> None:
        async with self._pool.passed(*request) as upstream:
            status = record.status = upstream.answer.status
            headers = merged(
                _told(upstream.answer, [secret.rpartition(" ")[2] for secret in secrets]), (), record.request_id
            )
            await send({"type": "http.response.start", "status": status, "headers": headers})
            try:
                async for chunk in upstream.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except ApiError as cause:
                # An answer that is not ended makes the server close the connection, which tells the client.
                _log.warning("request %s: %s", record.request_id, cause)
                record.status = cause.failed.status
                return
            await send({"type": "http.response.body", "body": b""})


class Upload:
    """The body of a request as it comes, no faster than it is taken.

    `receive` stands in for the server's own, so that one reader gets both the body and the news that the client has
    gone. A part that nobody takes for `longest` seconds counts as such news, with `stalled` set.
    """

    def __init__(self, receive: Receive, longest: float) -> None:
        self._receive, self._longest = receive, longest
        self._parts: asyncio.Queue[Message] = asyncio.Queue(1)
        self.stalled = False

    async def receive(self) -> Message:
        """The server's next message, when the one before was taken."""
        message = await self._receive()
        if message["type"] == "http.request":
            try:
                async with asyncio.timeout(self._longest):
                    await self._parts.put(message)
            except TimeoutError:
                self.stalled = True
                return {"type": "http.disconnect"}
        return message

    async def parts(self) -> AsyncGenerator[bytes]:
        """The body."""
        more = True
        while more:
            message = await self._parts.get()
            if body := message.get("body"):
                yield body
            more = message.get("more_body", False)


def leaves(path: str) -> bool:
    """Whether a path would lead out of its base for anyone who decodes it, once or more often."""
    for _ in range(_MOST_DECODED):
        if any(part.strip() in {".", ".."} for part in _SEPARATORS.split(path)):
            return True
        before, path = path, unquote(path)
        if path == before:
            return False
    return True


def _told(answer: Answer, secrets: list[str]) -> Iterator[tuple[bytes, bytes]]:
    """The headers of the answer for the client; none that repeats what the request was sent with."""
    for name, value in answer.headers.items():
        known = name in _TOLD or name.startswith("anthropic-")
        if known and not any(secret in value for secret in secrets if len(secret) >= _SHORTEST_SECRET):
            yield as_sent(name), as_sent(value)
