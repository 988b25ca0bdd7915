"""The few fields of a request that routing reads, without parsing the rest of a large body.

The body is taken apart at its top level only, unless all of it will be wanted. The pieces keep their bytes, so
replacing `model` leaves every other byte of every other field as the client sent it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import orjson
from msgspec import Raw

from claude_code_proxy.wire.failure import error
from claude_code_proxy.wire.json_text import items
from claude_code_proxy.wire.known_tools import KnownTools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.wire.known_tools import Tools

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_MODEL: Final = msgspec.json.Decoder(str | None)
_STREAM: Final = msgspec.json.Decoder(bool | None)
_LIST: Final = msgspec.json.Decoder(list[Raw])
_NULL: Final = Raw(b"null")
_NAME: Final = re.compile(rb'\s*[{,]\s*("(?:[^"\\]|\\.)*")\s*:\s*')
"""A field's name, after the value before it."""
_END: Final = re.compile(rb"\s*}\s*")
_HALF: Final = re.compile(rb"\\u([dD][89a-fA-F][\da-fA-F]{2})(\\u[dD][c-fC-F][\da-fA-F]{2})?")
"""What may be half of a surrogate pair, and the half behind it."""
_HALF_IN_BYTES: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_ESCAPED: Final = rb"\ufffd"
_BACKSLASH: Final = ord("\\")

LARGE: Final = 4 << 20
"""Bytes of a body whose decoding would keep the other requests waiting: longer ones than any model's window."""

T = TypeVar("T")

_tools: Final = KnownTools()


class Head:
    """A request's body, its `model` and `stream`, and the `names` of its top-level fields.

    Once the body is let go, `tokens` is the estimate of it. `tools` are those of the body, if others sent them before.
    """

    __slots__ = ("_fields", "_many", "_values", "model", "names", "raw", "stream", "tokens", "tools")

    def __init__(
        self,
        raw: bytes,
        model: str,
        *,
        stream: bool,
        fields: dict[str, Raw] | None = None,
        values: dict[str, Any] | None = None,
        tools: Tools | None = None,
    ) -> None:
        self.raw, self.model, self.stream, self.tokens = raw, model, stream, 0
        self.tools = tools
        self.names = frozenset(fields or values or ())
        self._fields, self._values = fields, values
        self._many = {name: len(items(value)) for name, value in (values or {}).items()}

    @property
    def fields(self) -> dict[str, Raw]:
        """The top-level fields as raw JSON."""
        if self._fields is None:
            self._fields = _FIELDS.decode(self.raw)
        return self._fields

    def many(self, name: str) -> int:
        """How many there are in a field that holds a list; 0 for any other."""
        if (known := self._many.get(name)) is not None:
            return known
        try:
            return len(_LIST.decode(self.fields.get(name, _NULL)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0

    def taken(self) -> dict[str, Any] | None:
        """The body's values, if they are here; whoever takes them may do with all but `tools` as they please."""
        values, self._values = self._values, None
        return values

    def let_go(self, tokens: int) -> None:
        """Keep no more of the body than the names of its fields, and this estimate of its tokens."""
        self.raw, self.tokens, self.tools = b"", tokens, None
        self._fields, self._values = dict.fromkeys(self.names, _NULL), None

    def __repr__(self) -> str:
        return f"Head({self.model!r}, {len(self.raw)} bytes)"  # never what was said

    def with_fields(self, **values: Any) -> bytes:
        """The body with these top-level fields set (None: left out) and every other byte of every other untouched."""
        encoded = {name: msgspec.json.encode(value) for name, value in values.items()}
        if None not in values.values() and (spliced := _spliced(self.raw, self.fields, encoded)):
            return spliced
        fields = {**self.fields, **encoded}
        fields = {name: value for name, value in fields.items() if values.get(name, value) is not None}
        return b"{%b}" % b",".join(b"%b:%b" % (orjson.dumps(name), bytes(value)) for name, value in fields.items())


def decode_head(raw: bytes, *, whole: bool = False) -> Head:
    """Read the head of a request body.

    `whole`: all of it will be wanted, see `body_of`, so that it is best decoded at once, unless it is large. That is
    no more than a guess: whoever guesses wrong has one decoding more.

    Raises `ApiError` (400) for a body that is no JSON object, a missing or empty `model`, a `stream` that
    is no boolean.
    """
    if whole and len(raw) <= LARGE and (head := _decoded(raw)):
        return head
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError:
        raise error("invalid_request_error", "The request body must be a JSON object.") from None
    except RecursionError:
        raise error("invalid_request_error", "The request body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        mended = _mended(raw)
        if mended is None:
            raise error("invalid_request_error", f"The request body is not valid JSON: {cause}") from None
        return decode_head(mended)
    model = _field(fields, "model", _MODEL, "a string")
    stream = _field(fields, "stream", _STREAM, "true or false")
    if not model or not model.strip():
        raise error("invalid_request_error", "model: must name a model")
    return Head(raw, model, stream=bool(stream), fields=fields)


def _decoded(raw: bytes) -> Head | None:
    """The head of a body whose every value is decoded; None for one that is not as it should be."""
    try:
        values, tools = _tools.decoded(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    match values:
        case {"model": str(model)} if model.strip() and isinstance(values.get("stream"), bool | None):
            return Head(raw, model, stream=bool(values.get("stream")), values=values, tools=tools)
        case _:
            return None


def _spliced(raw: bytes, fields: Mapping[str, Raw], new: Mapping[str, bytes]) -> bytes | None:
    """The body with the new values where the old ones stand, all else left alone; None if they cannot be found.

    Copying a large body once is what matters here. The pieces are as long as they were, so the way leads from one name
    to the next; a name that stands twice, or is missing, leads astray and is noticed.
    """
    parts: list[bytes] = []
    at = done = 0
    for name, value in fields.items():
        found = _NAME.match(raw, at)
        if not found:
            return None
        at, length = found.end(), len(memoryview(value))
        if name in new:
            if raw[at : at + length] != bytes(value) or found[1] != b'"%b"' % name.encode():
                return None
            parts += (raw[done:at], new[name])
            done = at + length
        at += length
    whole = len(parts) == 2 * len(new) and _END.fullmatch(raw, at)
    return b"".join((*parts, raw[done:])) if whole else None


def _field(fields: dict[str, Raw], name: str, decoder: msgspec.json.Decoder[T], what: str) -> T:
    try:
        return decoder.decode(fields.get(name, _NULL))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise error("invalid_request_error", f"{name}: must be {what}") from None


def _mended(raw: bytes) -> bytes | None:
    """The same JSON with U+FFFD for each half of a surrogate pair; None if there is none.

    JavaScript clients send such halves after cutting a string in the middle of an emoji. Every other byte stays.
    """
    mended = _HALF_IN_BYTES.sub(_ESCAPED.replace(b"\\", rb"\\"), _HALF.sub(_replaced, raw))
    return None if mended == raw else mended


def _replaced(found: re.Match[bytes]) -> bytes:
    """What stands for what looks like half of a pair, or two."""
    first, second = found.groups()
    if _is_escaped(found.string, found.start()):
        return found[0] if not second else rb"\u%b%b" % (first, _ESCAPED)
    if second and first[1:2] in b"89abAB":
        return found[0]
    return _ESCAPED * 2 if second else _ESCAPED


def _is_escaped(raw: bytes, at: int) -> bool:
    """Whether the backslash at this place is escaped by those before it."""
    before = at
    while before and raw[before - 1] == _BACKSLASH:
        before -= 1
    return bool((at - before) % 2)


def body_of(head: Head) -> Any:
    """The whole body as Python values; whole numbers of any size stay exact. Raises `ApiError` (400)."""
    if values := head.taken():
        return values
    try:
        return msgspec.json.decode(head.raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise error("invalid_request_error", f"The request body is not valid JSON: {cause}") from None
    except RecursionError:
        raise error("invalid_request_error", "The request body is nested too deeply.") from None
