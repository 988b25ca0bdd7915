"""The outermost frame of an endpoint: whatever happens inside, the client gets an answer and the log a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from claude_code_proxy.http.asgi import CLIENT_GONE, ClientGone, send_failure
from claude_code_proxy.http.crash import traced
from claude_code_proxy.http.drain import LAST_WORDS, STOPPING
from claude_code_proxy.wire.failure import INTERNAL, ApiError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from claude_code_proxy.http.access import Record
    from claude_code_proxy.http.asgi import Send

_log = logging.getLogger(__name__)


async def answered(work: Coroutine[None, None, None], send: Send, record: Record) -> None:
    """Run an endpoint's work; turn what it raises before its answer has begun into an error answer.

    Only a server that stops cancels a request.
    """
    try:
        await work
    except ClientGone:
        record.status = CLIENT_GONE
    except ApiError as cause:
        record.status, record.failed = cause.failed.status, cause.failed
        await send_failure(send, cause.failed, record.request_id)
    except asyncio.CancelledError:
        if not record.status:  # else it has begun, and an answer without an end makes the server close the connection
            record.status = STOPPING.status
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await send_failure(send, STOPPING, record.request_id)
    except Exception as cause:  # noqa: BLE001 -- a mistake of ours: the client is told so much, the log where
        record.status, record.failed = INTERNAL.status, INTERNAL
        _log.error("request %s failed\n%s", record.request_id, traced(cause))
        await send_failure(send, INTERNAL, record.request_id)
    finally:
        record.write()
