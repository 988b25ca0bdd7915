"""The shape of what was said, without the words: as long, byte for byte, and with the same JSON, events and pieces.

Letters become `x` and digits `1`; what is written between them stays, and so do the names of fields, of tools and of
models, schemas, ids and types. A text that comes in many events is looked at as a whole, so that the arguments of a
tool are still JSON.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import crc32
from struct import Struct
from typing import TYPE_CHECKING, Final

from claude_code_proxy.ledger.strings import Document, documents, strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.ledger.strings import Found, Path

AMAZON: Final = "application/vnd.amazon.eventstream"

_NAMES: Final = frozenset(
    {
        *("type", "role", "model", "name", "object", "status", "event", "phase", "format", "ttl", "display", "mode"),
        *("id", "tool_use_id", "call_id", "tool_call_id", "item_id", "response_id", "responseId", "modelVersion"),
        *("stop_reason", "finish_reason", "finishReason", "native_finish_reason", "stop_sequence", "blockReason"),
        *("media_type", "mime_type", "mimeType", "jsonPath"),
        *("service_tier", "effort", "detail", "provider", "code", "reason"),
        *("system_fingerprint", "created_at", "tool_choice", "thinkingLevel", "summary_type", "verbosity", "language"),
    }
)
_SCHEMAS: Final = frozenset({"input_schema", "parameters", "parametersJsonSchema", "responseSchema", "schema"})
_WORDS_OF_SCHEMAS: Final = frozenset({"description", "default", "examples", "const", "title"})
_SAID: Final = frozenset({"args", "arguments", "functionResponse"})
"""Fields below which a user's own objects stand, whose fields may have any name."""

_ARGUMENTS: Final = frozenset({"arguments", "partial_json", "delta", "input"})
"""Fields whose text may be JSON, which has to stay that."""

_OPAQUE: Final = frozenset({"signature", "thoughtSignature", "thought_signature", "encrypted_content", "data"})
"""Fields that hold bytes in base64."""

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")

_CHARACTER: Final = re.compile(
    r"</?[A-Za-z_:|]{1,30}>"
    r"|\\u(?P<escaped>[0-9a-fA-F]{4})|(?P<kept>\\.)"
    r"|(?P<letter>[A-Za-z])|(?P<digit>[0-9])|(?P<foreign>[^\x00-\x7f])"
)
_ESCAPES: Final = ((0x80, r"\u0078"), (0x800, r"\u00e9"), (0xD800, r"\u4e00"), (0xDC00, r"\ud83d"), (0xE000, r"\ude00"))
_FOREIGN: Final = {1: "x", 2: "é", 3: "一", 4: "😀"}
_MARK: Final = re.compile(rb"(?:event|retry):[ ]?[A-Za-z0-9_.]{0,60}\s*|data:[ ]?(?:\[DONE\])?\s*")
"""A line of a stream that says nothing of what is said."""

_PRELUDE: Final = Struct(">III")


def shaped(data: bytes, media_type: str = "") -> bytes:
    """The bytes without words."""
    if media_type == AMAZON:
        return _frames(data)
    out = bytearray(data)
    held = documents(data)
    for start, end in _between(held, len(data)):
        out[start:end] = _outside(data[start:end])
    held = [document for document in held if not document.broken]
    texts: dict[tuple[object, ...], list[Found]] = {}
    for document in held:
        for found in strings(data, document):
            if not _kept(found.path):
                texts.setdefault((found.path, found.which), []).append(found)
    for pieces in texts.values():
        text = b"".join(data[one.start : one.end] for one in pieces)
        _put(out, pieces, _blanked(text, pieces[0].path[-1] if pieces[0].path else ""))
    return bytes(out)


def _put(out: bytearray, pieces: Sequence[Found], text: bytes) -> None:
    at = 0
    for one in pieces:
        size = one.end - one.start
        out[one.start : one.end] = text[at : at + size]
        at += size


def _kept(path: Path) -> bool:
    if any(name in _SAID for name in path) or "input" in path[1:]:
        return False
    last = next((name for name in reversed(path) if isinstance(name, str)), "")
    if any(name in _SCHEMAS for name in path[:-1]):
        return last not in _WORDS_OF_SCHEMAS
    return last in _NAMES


def _blanked(text: bytes, name: str | int) -> bytes:
    if name in _OPAQUE and _BASE64.fullmatch(text):
        return b"x" * len(text.rstrip(b"=")) + b"=" * (len(text) - len(text.rstrip(b"=")))
    return _arguments(text) if name in _ARGUMENTS else _blank(text)


def _arguments(text: bytes) -> bytes:
    """A text as it stands in JSON, without words; where it is JSON itself, with the names of its fields."""
    if not text.lstrip().startswith((b"{", b"[", rb"\n{")) or rb"\"" not in text:
        return _blank(text)
    inner = text.replace(rb"\"", b'"\0')  # a quote of the inner JSON, as long as it was
    out = bytearray(inner)
    for match in _INNER.finditer(inner):
        if not match[2]:
            out[match.start(1) : match.end(1)] = _blank(match[1])
    return bytes(out).replace(b'"\0', rb"\"")


_INNER: Final = re.compile(rb'"\x00((?:[^"\\]|\\\\"\x00|\\.)*)(?:"\x00|$)(\s*:)?', re.DOTALL)
"""A string of JSON that stands in a string, see `_arguments`."""


def _blank(text: bytes) -> bytes:
    return _CHARACTER.sub(_without, text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _without(match: re.Match[str]) -> str:
    if match["letter"]:
        return "x"
    if match["digit"]:
        return "1"
    if match["escaped"]:
        code = int(match["escaped"], 16)
        return next((put for below, put in _ESCAPES if code < below), r"\u4e00")
    if foreign := match["foreign"]:
        if "\ud800" <= foreign <= "\udfff":  # half of a character, at the end of what was kept
            return foreign
        return _FOREIGN[len(foreign.encode())]
    return match[0]


def _between(held: Sequence[Document], size: int) -> Iterator[tuple[int, int]]:
    at = 0
    for start, end, broken in held:
        if not broken:
            yield at, start
            at = end
    yield at, size


def _outside(text: bytes) -> bytes:
    """What is no JSON: names of events and the like stay."""
    return b"".join(line if _MARK.fullmatch(line) else _line(line) for line in text.splitlines(keepends=True))


def _line(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return name + colon + _blank(value) if colon and name in {b"data", b"event", b"retry"} else _blank(line)


def _frames(data: bytes) -> bytes:
    """Amazon's frames the same way: their events stand in base64, and a checksum is at the end of each."""
    out = bytearray(data)
    held: list[tuple[int, int, bytes]] = []
    ends: list[tuple[int, int]] = []
    at = 0
    while at + _PRELUDE.size <= len(data):
        total, size, _ = _PRELUDE.unpack_from(data, at)
        if total < size + 16 or at + total > len(data):
            break
        match = re.search(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]*)"', data[at : at + total])
        if match:
            held.append((at + match.start(1), at + match.end(1), b64decode(match[1])))
        else:
            body = at + _PRELUDE.size + size
            out[body : at + total - 4] = shaped(data[body : at + total - 4])
        ends.append((at, at + total))
        at += total
    out[at:] = bytes(len(data) - at)
    events = shaped(b"\n".join(b"data:" + event for _, _, event in held)).split(b"\n")
    for (start, end, _), event in zip(held, events, strict=False):
        out[start:end] = b64encode(event.removeprefix(b"data:"))
    for start, end in ends:
        out[end - 4 : end] = crc32(out[start : end - 4]).to_bytes(4, "big")
    return bytes(out)
