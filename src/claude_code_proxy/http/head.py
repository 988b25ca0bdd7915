"""A large body is read beside the event loop, where the other streams go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.head import decode_head

if TYPE_CHECKING:
    from claude_code_proxy.wire.head import Head

_LARGE: Final = 4 << 20
"""Bytes: longer ones than any model's window."""


async def head_of(body: bytes) -> Head:
    """The same as `decode_head`."""
    return await asyncio.to_thread(decode_head, body) if len(body) > _LARGE else decode_head(body)
