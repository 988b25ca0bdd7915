"""What clients and upstreams say that is not known, counted by name: a new Claude Code is noticed the day it comes.

Names only (of fields, betas, types, headers, paths), never what they hold; `drift.toml` has those that are known.

A request is looked at when its answer has begun, so nobody waits for it. Its top-level fields, headers and betas
are there anyway and are counted every time. Its messages are not: a long conversation would have to be parsed. They are
looked at the first time that a client comes with these fields and betas in a body of this size (to a power of two, so a
conversation that grows is looked at again), and then once in `EVERY` requests. So the counts of what is inside messages
are of samples. Native requests, which nobody parses, are looked at like all others.
"""

from __future__ import annotations

import re
import time
import tomllib
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from claude_code_proxy.wire.failure import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from claude_code_proxy.wire.head import Head

MOST: Final = 200
"""Names of a kind that are told apart; they come from anyone who can reach the proxy."""

LONGEST: Final = 100
"""Characters of a name that are kept."""

OTHERS: Final = "(others)"
"""Under which those beyond `MOST` are counted."""

NAMELESS: Final = "(no name)"
"""Under which is counted what stands where a name should, but is a text: it may be someone's words."""

EVERY: Final = 128
"""Of requests that look like others before them, the messages of one in so many are looked at."""

_LARGEST: Final = 2 << 20
"""Bytes of a body above which its messages are never looked at."""

_MOST_LOOKS: Final = 1000
"""Kinds of requests that are remembered."""

_CLIENTS: Final = 32
"""What was read of the headers of as many clients is at hand; no head is larger than 64 KiB."""

_NAME: Final = re.compile(r"([A-Z]+ /)?[!-~]+")
_PRODUCT: Final = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_WORD: Final = re.compile(r"v\d|[a-z]+([_-][a-z]+)*")
_PLACE: Final = re.compile(r".*(/(?:v1|api)/.*)", re.DOTALL)

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_LIST: Final = msgspec.json.Decoder(list[Raw])
_STRING: Final = msgspec.json.Decoder(str)
_OBJECTS: Final = ("cache_control", "context_management", "metadata", "output_config", "thinking", "tool_choice")
"""Top-level fields whose own fields are counted, too."""


class Known(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of drift.toml, which tells what its parts are."""

    source: str
    date: str
    fields: frozenset[str]
    types: frozenset[str]
    roles: frozenset[str]
    message_fields: frozenset[str]
    tools: frozenset[str]
    tool_fields: frozenset[str]
    betas: frozenset[str]
    headers: frozenset[str]
    endpoints: frozenset[str]
    events: frozenset[str]
    blocks: dict[str, frozenset[str]]

    def names(self, kind: str) -> frozenset[str]:
        """The known names of a kind."""
        if kind == "error":
            return frozenset(STATUS)
        if kind == "block":
            return frozenset(self.blocks)
        if kind == "block_field":
            return frozenset(f"{block}.{name}" for block, names in self.blocks.items() for name in (*names, "type"))
        names: frozenset[str] = getattr(self, f"{kind}s")
        return names | {"type"} if kind == "tool_field" else names


KINDS: Final = (
    *("field", "type", "role", "message_field", "block", "block_field", "tool", "tool_field"),
    *("beta", "header", "endpoint", "error", "event"),
)
"""What is counted. Of a tool only its `type` is a name of ours; the tool's own name is the user's."""


@cache
def known() -> Known:
    """What is known."""
    content = tomllib.loads(files(__package__).joinpath("drift.toml").read_text("utf-8"))
    return msgspec.convert(content, Known)


class Seen(Struct):
    """How often a name was seen, and when: seconds since 1970."""

    count: int
    first: float
    last: float

    def told(self) -> dict[str, int | str]:
        """The same for people: times in UTC, to the second."""
        return {"count": self.count, "first": stamp(self.first), "last": stamp(self.last)}


def stamp(seconds: float) -> str:
    """A time in UTC as text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Names:
    """Counts names, of which there may be any number, in a bounded room. `clock`: seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._seen: dict[str, Seen] = {}
        self._clock = clock

    def add(self, name: str) -> None:
        """Count one."""
        now = self._clock()
        if not (seen := self._seen.get(name)):  # most are there as they are
            seen = self._new(name, now)
        seen.count, seen.last = seen.count + 1, now

    def _new(self, name: str, now: float) -> Seen:
        name = name[:LONGEST] if _NAME.fullmatch(name) else NAMELESS
        if name not in self._seen and len(self._seen) >= MOST:
            name = OTHERS
        return self._seen.setdefault(name, Seen(0, now, now))

    def told(self) -> dict[str, dict[str, int | str]]:
        """What was seen, the most often first."""
        return {name: seen.told() for name, seen in sorted(self._seen.items(), key=lambda item: -item[1].count)}

    def counts(self) -> Mapping[str, int]:
        """How often each was seen."""
        return {name: seen.count for name, seen in self._seen.items()}


class Drift:
    """Counts what is not known, by kind and name; and which clients there were, by product and version."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._known = {kind: known().names(kind) for kind in KINDS}
        self._unknown = {kind: Names(clock) for kind in KINDS}
        self.clients = Names(clock)
        self._looks: set[object] = set()
        self._requests = 0

    def request(self, headers: Mapping[str, str], head: Head | None) -> None:
        """Count what a request has that is not known. Names of headers are in lower case; no head, no body."""
        client = headers.get("user-agent", "").partition(" ")[0]
        self.clients.add(_product(client))
        betas = _betas(headers.get("anthropic-beta", ""))
        self.count("header", headers)
        self.count("beta", betas)
        if head is None:
            return
        self.count("field", head.names)
        if self._is_due((client, betas, head.names, len(head.raw).bit_length())):
            for kind, name in set(inside(head)):
                if name and name not in self._known[kind]:
                    self._unknown[kind].add(name)

    def endpoint(self, method: str, path: str) -> None:
        """Count a request for something that the proxy itself does not have, unless clients are known to ask for it."""
        name = f"{method} {plain(path)}"
        if not any(fnmatchcase(name, one) for one in self._known["endpoint"]):
            self._unknown["endpoint"].add(name)

    def count(self, kind: str, names: Collection[str]) -> None:
        """Count those of these names that are not known."""
        names_known = self._known[kind]
        if names_known.issuperset(names):  # nearly always
            return
        for name in names:
            if name not in names_known:
                self._unknown[kind].add(name)

    def told(self) -> dict[str, dict[str, dict[str, int | str]]]:
        """What was seen that is not known, by kind and name; nothing of a kind that holds no surprise."""
        return {kind: told for kind, names in self._unknown.items() if (told := names.told())}

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """How often each was seen, by kind and name."""
        for kind, names in self._unknown.items():
            yield from (((kind, name), count) for name, count in names.counts().items())

    def _is_due(self, look: tuple[object, ...]) -> bool:
        self._requests += 1
        if self._requests % EVERY and look in self._looks:
            return False
        if len(self._looks) >= _MOST_LOOKS:
            self._looks.clear()
        self._looks.add(look)
        return True


@lru_cache(_CLIENTS)
def _product(client: str) -> str:
    """What a client calls itself, if that is a product and its version."""
    return client if _PRODUCT.fullmatch(client) else NAMELESS


@lru_cache(_CLIENTS)
def _betas(told: str) -> frozenset[str]:
    """The names in the header of betas."""
    return frozenset(beta.strip() for beta in told.split(",")) - {""}


def plain(path: str) -> str:
    """A path without what a base URL puts before it, and with `{id}` for whatever is no plain word.

    What follows a `provider:` and has neither `/v1/` nor `/api/` is the name of a model: the base URL itself.
    """
    if found := _PLACE.fullmatch(path):
        path = found[1]
    elif ":" in path:
        path = "/"
    parts = [part for part in path.split("/") if part]
    return "/" + "/".join(part if _WORD.fullmatch(part) else "{id}" for part in parts)


def inside(head: Head) -> Iterator[tuple[str, str]]:
    """Every name inside the fields of a request, with its kind. Values are skipped, not read."""
    if len(head.raw) > _LARGEST:
        return
    for field in _OBJECTS:
        yield from _nested(field, _object(head.fields.get(field)))
    for one in _list(head.fields.get("safeguards")):
        yield from _type("safeguards", _object(one))
    for block in _list(head.fields.get("system")):
        yield from _block(_object(block))
    for message in map(_object, _list(head.fields.get("messages"))):
        yield from (("message_field", name) for name in message)
        yield "role", _string(message.get("role"))
        yield from _nested("output_config", _object(message.get("output_config")))
        for block in _list(message.get("content")):
            yield from _block(_object(block))
    for tool in map(_object, _list(head.fields.get("tools"))):
        yield "tool", _string(tool.get("type")) or "custom"
        yield from (("tool_field", name) for name in tool)


def _nested(field: str, holder: Mapping[str, Raw]) -> Iterator[tuple[str, str]]:
    """The names in an object that is a field of the request, or has the same meaning further inside."""
    yield from (("field", f"{field}.{name}") for name in holder)
    yield from _type(field, holder)
    yield from _type(f"{field}.format", _object(holder.get("format")))
    for edit in _list(holder.get("edits")):
        yield from _type(f"{field}.edits", _object(edit))


def _type(place: str, holder: Mapping[str, Raw]) -> Iterator[tuple[str, str]]:
    if kind := _string(holder.get("type")):
        yield "type", f"{place}.{kind}"


def _block(block: Mapping[str, Raw]) -> Iterator[tuple[str, str]]:
    kind = _string(block.get("type"))
    yield "block", kind
    if kind not in known().blocks:
        return
    yield from (("block_field", f"{kind}.{name}") for name in block)
    yield from _nested("cache_control", _object(block.get("cache_control")))
    if kind in {"image", "document"}:
        yield from _type("source", _object(block.get("source")))
    if kind == "tool_result":
        for inner in _list(block.get("content")):
            yield from _block(_object(inner))


def _object(raw: Raw | None) -> dict[str, Raw]:
    try:
        return _OBJECT.decode(raw) if raw else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _list(raw: Raw | None) -> list[Raw]:
    try:
        return _LIST.decode(raw) if raw else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _string(raw: Raw | None) -> str:
    try:
        return _STRING.decode(raw) if raw else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
