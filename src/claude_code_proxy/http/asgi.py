"""The little of ASGI that the endpoints share: types, reading a body, sending a whole answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import monotonic
from typing import Any, Final, TypeAlias

from claude_code_proxy.wire.failure import ApiError, Failed, envelope, error

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
HeaderList: TypeAlias = Iterable[tuple[bytes, bytes]]

_SIMPLE: Final = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})

_MOST_DIGITS: Final = 18
"""Of a length that is worth reading as a number."""

_IDENTITY: Final = frozenset({"", "identity"})


CLIENT_GONE: Final = 499
"""The status that is told, as is the custom, of a request whose client did not wait for the answer."""


class ClientGone(Exception):
    """The client closed the connection."""


def of_json(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request, as they are, if they let its body be JSON.

    Raises `ApiError` for a body in an encoding, which would have to be unpacked before it can be checked, and for
    one that says it is a form or a text: a web page can send those anywhere without asking first.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() in _SIMPLE:
        raise error("invalid_request_error", "Send the body as JSON: content-type: application/json.", status=415)
    if headers.get("content-encoding", "").strip().lower() not in _IDENTITY:
        raise error("invalid_request_error", "The request body must not be compressed.")
    return headers


def every_header(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case; of a repeated one the values joined by commas."""
    told = scope["headers"]
    headers: dict[str, str] = {name.decode("latin-1"): value.decode("latin-1") for name, value in told}
    if len(headers) == len(told):  # nearly always: none is repeated
        return headers
    headers.clear()
    for name, value in told:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


async def read_body(scope: Scope, receive: Receive, limit: int, within: float, hold: Callable[[int], None]) -> bytes:
    """The whole request body.

    `hold` is told of the size of each part and may refuse it. Raises `ApiError`: 413 for a body over `limit` bytes, as
    soon as that is known; 408 for one that takes more than `within` seconds, which is looked at with each part, as the
    server limits the time between two. Raises `ClientGone`.

    What a refused client goes on sending the server reads and throws away, so that the client comes to read the answer.
    """
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if declared.isdigit() and (len(declared) > _MOST_DIGITS or int(declared) > limit):
        raise _too_large(scope, limit)
    parts: list[bytes] = []
    size, began = 0, monotonic()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if part := message.get("body", b""):
            size += len(part)
            if size > limit:
                raise _too_large(scope, limit)
            hold(len(part))
            parts.append(part)
        if not message.get("more_body"):
            break
        if monotonic() - began > within:
            raise error("timeout_error", "The request body did not come in time.", status=408)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def send_whole(
    send: Send,
    status: int,
    body: bytes,
    headers: HeaderList,
    media_type: bytes = b"application/json",
) -> None:
    """A whole answer."""
    head = [(b"content-type", media_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_failure(send: Send, failure: Failed, request_id: str, headers: HeaderList = ()) -> None:
    """An error in Anthropic's envelope."""
    merged_headers = merged(headers, failure.headers, request_id)
    if failure.body is None:  # the body names our id, so the header does
        merged_headers = merged(merged_headers, [(b"request-id", request_id.encode())], request_id)
    await send_whole(send, failure.status, envelope(failure, request_id), merged_headers)


def merged(first: HeaderList, second: HeaderList, request_id: str) -> list[tuple[bytes, bytes]]:
    """Headers of both, the second's winning, and a `request-id` in any case."""
    return list({b"request-id": request_id.encode(), **dict(first), **dict(second)}.items())


def _too_large(scope: Scope, limit: int) -> ApiError:
    """A client that asked whether to send the body keeps it, so that nothing can follow on this connection."""
    headers = ((b"connection", b"close"),) if any(name == b"expect" for name, _ in scope["headers"]) else ()
    message = f"The request body is larger than {limit >> 20} MiB."
    return ApiError(Failed("request_too_large", message, 413, headers))
