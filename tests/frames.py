"""Amazon's frames, as its services write them."""

from __future__ import annotations

from binascii import crc32
from struct import pack

CHUNK = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}


def frame(headers: dict[str, str], payload: bytes, more: bytes = b"") -> bytes:
    named = b"".join(
        b"%b%b\x07%b%b" % (bytes([len(name.encode())]), name.encode(), pack(">H", len(value.encode())), value.encode())
        for name, value in headers.items()
    )
    named += more
    start = pack(">II", 16 + len(named) + len(payload), len(named))
    whole = start + pack(">I", crc32(start)) + named + payload
    return whole + pack(">I", crc32(whole))
