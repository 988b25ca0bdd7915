"""A request of any dialect, block by block, in the order in which prompt caches read it: tools, system, messages.

Anthropic's documentation of prompt caching names this order; the templates of other models begin with tools or system
too, and end with the messages. The bytes of each block are kept as they are: fields in another order are another
prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from claude_code_proxy.wire.counting import estimated
from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = Literal["tools", "system", "messages", "settings"]

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_LIST: Final = msgspec.json.Decoder(list[Raw])
_ANY: Final = msgspec.json.Decoder()

_MARK: Final = "cache_control"

_PLACES: Final[dict[str, Place]] = {
    "tools": "tools",
    "system": "system",
    "instructions": "system",
    "systemInstruction": "system",
    "system_instruction": "system",
    "messages": "messages",
    "contents": "messages",
    "input": "messages",
}
"""Where a field of the body belongs; all others are settings."""

ORDER: Final[tuple[Place, ...]] = ("tools", "system", "messages", "settings")
_INNER: Final = ("content", "parts", "tool_calls", "functionDeclarations", "function_declarations")
"""Fields that hold the blocks of a message, or the functions of a tool."""


class Block(Struct, frozen=True):
    """One block.

    `path` leads to it in the body, `kind` is its type. `raw` are its bytes without the mark of a cache, which is no
    part of the prompt; `marked`: it has one. `text` is what it says, for people.
    """

    place: Place
    path: str
    role: str
    kind: str
    raw: bytes
    marked: bool
    text: str
    tokens: int

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.raw)


def blocks(body: bytes) -> list[Block]:
    """The blocks of a request's body; none of what is no JSON object."""
    try:
        top = _FIELDS.decode(body)
        found = [block for name, value in top.items() for block in _of_field(name, value)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return sorted(found, key=lambda block: ORDER.index(block.place))


def _of_field(name: str, value: Raw) -> Iterator[Block]:
    place = _PLACES.get(name, "settings")
    items = _items(value) if place != "settings" else None
    if items is None:
        if place == "system" and (parts := _parts(value)):
            yield from (_block(place, f"{name}.{inner}", "", part) for inner, part in parts)
        else:
            yield _block(place, name, "", value)
        return
    for number, item in enumerate(items):
        yield from _of_item(place, f"{name}.{number}", item)


def _of_item(place: Place, path: str, item: Raw) -> Iterator[Block]:
    """A message with its blocks, a tool, a part of the system prompt."""
    parts = _parts(item) if place != "system" else []
    if not parts:
        yield _block(place, path, "", item)
        return
    held = _FIELDS.decode(item)
    role = _word(held, "role") or _word(held, "type")
    for inner, part in parts:
        yield _block(place, f"{path}.{inner}", role, part)
    rest = {name: value for name, value in held.items() if name not in {*_INNER, "role", "type"}}
    if rest and place == "messages":
        yield _block(place, path, role, Raw(_joined(rest)))


def _parts(item: Raw) -> list[tuple[str, Raw]]:
    """The blocks in an object, and where they stand in it."""
    held = _object(item)
    found: list[tuple[str, Raw]] = []
    for name in _INNER:
        if name not in held or bytes(held[name]) == b"null":
            continue
        items = _items(held[name])
        if items is None:
            found.append((name, held[name]))
        else:
            found += [(f"{name}.{number}", part) for number, part in enumerate(items)]
    return found


def _block(place: Place, path: str, role: str, value: Raw) -> Block:
    held = _object(value)
    marked = _MARK in held
    raw = _joined({name: one for name, one in held.items() if name != _MARK}) if held else bytes(value)
    plain = _ANY.decode(raw)
    kind = _word(held, "type") or _word(held, "role") or ("text" if isinstance(plain, str) else "")
    if set(held) - {_MARK} == {"type", "text"}:  # the same as the text alone
        raw = bytes(held["text"])
    named = _word(held, "name") or str(fields(fields(plain).get("function")).get("name") or "")
    return Block(place, path, role, f"{kind} {named}".strip(), raw, marked, _said(plain), estimated(plain))


def _said(value: Any) -> str:
    """What a block says: its text, or all of it."""
    if isinstance(value, str):
        return value
    held = fields(value)
    for name in ("text", "thinking"):
        if isinstance(held.get(name), str):
            return str(held[name])
    if held.get("type") == "tool_result" and isinstance(held.get("content"), str):
        return str(held["content"])
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _items(value: Raw) -> list[Raw] | None:
    return _LIST.decode(value) if bytes(value)[:1] == b"[" else None


def _object(value: Raw) -> dict[str, Raw]:
    return _FIELDS.decode(value) if bytes(value)[:1] == b"{" else {}


def _word(held: dict[str, Raw], name: str) -> str:
    value = _ANY.decode(held[name]) if name in held else ""
    return value if isinstance(value, str) else ""


def _joined(held: dict[str, Raw]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (msgspec.json.encode(name), bytes(value)) for name, value in held.items())
