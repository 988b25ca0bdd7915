"""The little of ASGI that the endpoints share: types, reading a body, sending a whole answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

from claude_code_proxy.wire.failure import ApiError, Failed, envelope, error

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
HeaderList: TypeAlias = Iterable[tuple[bytes, bytes]]

_DRAIN: Final = 8
"""A body that is too large is read and thrown away up to so many times the limit: a client that is still
sending does not read the answer that says so."""


_SIMPLE: Final = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})

_IDENTITY: Final = frozenset({"", "identity"})


class ClientGone(Exception):
    """The client closed the connection."""


def client_headers(scope: Scope) -> dict[str, str]:
    """The request's headers, see `every_header`.

    Raises `ApiError` for a body in an encoding, which would have to be unpacked before it can be checked, and for
    one that says it is a form or a text: a web page can send those anywhere without asking first.
    """
    headers = every_header(scope)
    if headers.get("content-type", "").partition(";")[0].strip().lower() in _SIMPLE:
        raise error("invalid_request_error", "Send the body as JSON: content-type: application/json.", status=415)
    if headers.get("content-encoding", "").strip().lower() not in _IDENTITY:
        raise error("invalid_request_error", "The request body must not be compressed.")
    return headers


def every_header(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case; of a repeated one the values joined by commas."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole request body.

    Raises `ApiError` (413) for one over `limit` bytes, and `ClientGone`.
    """
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if declared.isdigit() and int(declared) > limit * _DRAIN:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if part := message.get("body", b""):
            size += len(part)
            if size > limit:
                parts.clear()
            else:
                parts.append(part)
        if size > limit * _DRAIN:
            raise _too_large(limit)
        if not message.get("more_body"):
            break
    if size > limit:
        raise _too_large(limit)
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


def _too_large(limit: int) -> ApiError:
    return error("request_too_large", f"The request body is larger than {limit >> 20} MiB.")
