"""An answer of the dashboard, and the headers that every one of them has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy.http.asgi import send_whole

if TYPE_CHECKING:
    from claude_code_proxy.http.asgi import Send

HTML: Final = b"text/html; charset=utf-8"
TEXT: Final = b"text/plain; charset=utf-8"
CSV: Final = b"text/csv; charset=utf-8"
SVG: Final = b"image/svg+xml"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)

HEADERS: Final[dict[bytes, bytes]] = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""What keeps other pages from framing, reading or driving these, and these from loading anything of others."""


class Answer(Struct, frozen=True):
    """A whole answer. Its headers go before those that every answer has."""

    body: bytes = b""
    status: int = 200
    media: bytes = HTML
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Send it."""
        first = dict(self.headers)
        cookies = [pair for pair in self.headers if pair[0] == b"set-cookie"]  # the one header that may be repeated
        first.pop(b"set-cookie", None)
        await send_whole(send, self.status, self.body, [*(HEADERS | first).items(), *cookies], self.media)


def text(words: str, status: int = 200, *headers: tuple[bytes, bytes]) -> Answer:
    """A few plain words."""
    return Answer(words.encode(), status, TEXT, headers)


def elsewhere(path: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Go to another page of the dashboard."""
    return Answer(b"", 303, TEXT, ((b"location", path.encode()), *headers))
