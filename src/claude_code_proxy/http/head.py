"""A large body is read beside the event loop, where the other streams go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from claude_code_proxy.wire.head import LARGE, decode_head

if TYPE_CHECKING:
    from claude_code_proxy.wire.head import Head


async def head_of(body: bytes, *, whole: bool = False) -> Head:
    """The same as `decode_head`."""
    return await asyncio.to_thread(decode_head, body) if len(body) > LARGE else decode_head(body, whole=whole)
