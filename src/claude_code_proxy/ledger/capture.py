"""What is said for one request, kept to be looked at: gathered as it passes, masked and compressed beside the traffic.

    request    the client's body
    asked      JSON: how the last upstream was asked, and all that its answer is to be read with
    outgoing   the body that it was sent
    incoming   what it answered, in the pieces that came
    failed-N   what the attempts before it got
    answer     what the client was sent

Each part is a line of JSON about it and its bytes, compressed.
"""

from __future__ import annotations

import json
import platform
import zlib
from array import array
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from claude_code_proxy import __version__
from claude_code_proxy.ledger.masking import masked_pieces, told, written
from claude_code_proxy.ledger.scattered import gathered

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence

LARGEST: Final = 4 << 20
"""Bytes of a part that are kept."""

MOST_FAILED: Final = 5
"""Failed attempts that are kept."""

VERSIONS: Final = {
    "proxy": __version__,
    "python": platform.python_version(),
    "system": f"{platform.system()} {platform.release()} {platform.machine()}",
}

_OVER: Final = 8192
"""Bytes beyond them that are masked with the others, so that no secret is cut where it is not known any more."""

_OPENED: Final = 64 << 20
_LEVEL: Final = 1  # ten times as fast as the best one, and a tenth larger


class Part(Struct):
    """One part. `lengths`: of the pieces it came in. `size`: how many bytes it had before it was cut."""

    data: bytes | bytearray
    size: int
    about: dict[str, Any]
    secrets: tuple[bytes, ...]
    lengths: array[int] | None = None

    def sealed(self) -> bytes:
        """The part as it is stored. Takes a while, and is called from the thread that writes."""
        data, about = bytes(self.data), dict(self.about)
        lengths: Sequence[int] = self.lengths if self.lengths is not None else (len(data),)
        data, lengths = masked_pieces(data, lengths, self.secrets)
        if self.lengths is not None:
            data, lengths = gathered(data, lengths, self.secrets)
        if self.size > LARGEST or about.get("lost"):
            about |= {"cut": True, "size": self.size}
            data, lengths = data[:LARGEST], list(_within(lengths, LARGEST))
        if self.lengths is not None:
            about["lengths"] = list(lengths)
        return zlib.compress(json.dumps(about, default=str).encode() + b"\n" + data, _LEVEL)


class Kept(Struct, frozen=True):
    """A part as it was kept. `about` says `cut` and its whole `size` where it was longer."""

    about: dict[str, Any]
    data: bytes

    @property
    def pieces(self) -> list[bytes]:
        """The bytes as they came."""
        out: list[bytes] = []
        at = 0
        for length in self.about.get("lengths", (len(self.data),)):
            out.append(self.data[at : at + length])
            at += length
        return [piece for piece in out if piece]


def opened(sealed: bytes) -> Kept:
    """A part of the ledger. Raises `ValueError` for one that is damaged."""
    try:
        about, _, data = zlib.decompressobj().decompress(sealed, _OPENED).partition(b"\n")
    except zlib.error as cause:
        raise ValueError(f"A captured part is damaged: {cause}") from None
    return Kept(json.loads(about), data)


def opened_parts(parts: Mapping[str, bytes]) -> dict[str, Kept]:
    """The parts of a request, as `Reader.captured` gives them."""
    return {name: opened(sealed) for name, sealed in parts.items()}


class Ledger(Protocol):
    """Where captures go: see `writer.Ledger`."""

    def reserve(self, size: int) -> bool:
        """Make room for so many bytes; whether there is any."""

    def release(self, size: int) -> None:
        """Give that back."""

    def keep(self, id: str, part: str, began: float, data: Callable[[], bytes], held: int) -> None:  # noqa: A002
        """Write a part, for whose bytes there is room."""


class _Tape:
    """Bytes that come in pieces, as many of them as are kept."""

    __slots__ = ("about", "data", "ledger", "lengths", "size")

    def __init__(self, ledger: Ledger, **about: Any) -> None:
        self.ledger, self.about = ledger, about
        self.data, self.lengths, self.size = bytearray(), array("I"), 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if (room := LARGEST + _OVER - len(self.data)) <= 0 or self.about.get("lost"):
            return
        piece = piece[:room]
        if not self.ledger.reserve(len(piece)):
            self.about["lost"] = True
            return
        self.data += piece
        self.lengths.append(len(piece))


class Capture:
    """What is said for one request, while it is served. For the event loop's thread; nothing here waits."""

    __slots__ = ("_answer", "_began", "_failed", "_id", "_incoming", "_ledger", "_secrets", "_waiting")

    def __init__(self, ledger: Ledger, id: str, began: float, secrets: tuple[bytes, ...]) -> None:  # noqa: A002
        self._ledger, self._id, self._began, self._secrets = ledger, id, began, secrets
        self._waiting: dict[str, tuple[bytes, dict[str, Any]]] = {}
        self._incoming: _Tape | None = None
        self._answer = _Tape(ledger)
        self._failed = 0

    def requested(self, body: bytes, secrets: Iterable[str]) -> None:
        """The client asks with this body and these credentials."""
        self._secrets = (*self._secrets, *written(secrets))
        self._hold("request", body)

    def asks(self, about: Mapping[str, Any], headers: Mapping[str, str], key: Mapping[str, str], body: bytes) -> None:
        """An upstream is asked; `key` are the headers that prove to it who does. What one before it said has failed."""
        self._flush_incoming(failed=True)
        self._secrets = (*self._secrets, *written(value.rpartition(" ")[2] for value in key.values()))
        shown = told({**headers, **dict.fromkeys(key, "")})
        self._hold("asked", json.dumps({**about, "headers": shown, "versions": VERSIONS}, default=str).encode())
        self._hold("outgoing", body)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The upstream answers."""
        self._incoming = _Tape(self._ledger, status=status, headers=told(headers))

    def took(self, piece: bytes) -> None:
        """A piece of the upstream's answer."""
        if self._incoming is not None:
            self._incoming.add(piece)

    def broke(self, kind: str, message: str, status: int) -> None:
        """The upstream's answer, or the way to it, broke off."""
        if self._incoming is None:
            self._incoming = _Tape(self._ledger)
        self._incoming.about["broke"] = {"type": kind, "message": message, "status": status}

    def begun(self) -> None:
        """Nobody else is asked from now on: what was said so far need not be held."""
        self._flush_waiting()

    async def heard(self, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The chunks of the answer as they are."""
        async with aclosing(chunks):
            async for data in chunks:
                self._answer.add(data)
                yield data

    def ended(self, status: int, failure: bytes = b"") -> None:
        """The request is over; `failure` is what the client was told at last beside the chunks."""
        if failure:
            self._answer.add(failure)
        self._flush_waiting()
        self._flush_incoming(failed=False)
        self._answer.about["status"] = status
        self._keep_tape("answer", self._answer)

    def _hold(self, name: str, body: bytes) -> None:
        about: dict[str, Any] = {"size": len(body)}
        body = body[: LARGEST + _OVER]
        before, _ = self._waiting.pop(name, (b"", {}))
        self._ledger.release(len(before))
        if not self._ledger.reserve(len(body)):
            about["lost"], body = True, b""
        self._waiting[name] = (body, about)

    def _flush_waiting(self) -> None:
        for name, (body, about) in self._waiting.items():
            self._keep(name, Part(body, about.pop("size"), about, self._secrets))
        self._waiting.clear()

    def _flush_incoming(self, *, failed: bool) -> None:
        tape, self._incoming = self._incoming, None
        if tape is None:
            return
        if failed:
            self._failed += 1
            if self._failed > MOST_FAILED:
                self._ledger.release(len(tape.data))
                return
        self._keep_tape(f"failed-{self._failed}" if failed else "incoming", tape)

    def _keep_tape(self, name: str, tape: _Tape) -> None:
        self._keep(name, Part(tape.data, tape.size, tape.about, self._secrets, tape.lengths))

    def _keep(self, name: str, part: Part) -> None:
        self._ledger.keep(self._id, name, self._began, part.sealed, len(part.data))


def _within(lengths: Iterable[int], size: int) -> Iterator[int]:
    """The lengths of the pieces of the first bytes."""
    for length in lengths:
        if size <= 0:
            return
        yield min(length, size)
        size -= length
