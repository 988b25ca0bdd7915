"""One row of the ledger: what is kept of a request. Never a prompt, an answer or a key."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import astuple, fields

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 500
"""Characters of a text that are kept; clients and models choose some of them."""

MOST: Final = 1 << 53
"""The largest number that is kept. Upstreams have counted more tokens than there are."""

QUARTER: Final = 900
"""Seconds of a quarter of an hour: days begin at one in every time zone."""

_NOT_KEPT: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Entry(Struct, kw_only=True, gc=False):
    """What is kept of a request.

    `began`: seconds since 1970; `quarter` counts quarters of an hour since then. `owner` is the process that serves it.
    `session`, `agent`, `project`: the client's session, the subagent in it, and the folder it works in, where it says
    so. `client_model` is what was asked for, `provider` and `model` who was asked, `rule` why. `tried` are the attempts
    and what came of each, with ` | ` between them; `attempts` their number.

    `state`: `running`, `ok`, `client_closed`, `upstream_error`, `timeout`, `shed` (too much at once), `refused` (by the
    proxy itself), or `aborted` (its process ended before it). `status` is the HTTP status, 499 for a client that left;
    `error` the type of the error; `stop` why the model stopped.

    `first` and `seconds`: seconds to the first bytes of the answer, and to its end. Tokens as in `events.Usage`, None:
    not told. `cost` in US dollars, None: not known; `priced` says by whom. `received` and `sent` are bytes of the
    request and of the answer.
    """

    id: str
    began: float
    quarter: int = 0
    owner: str = ""
    endpoint: str = ""
    client: str = ""
    session: str = ""
    agent: str = ""
    project: str = ""
    client_model: str = ""
    kind: str = ""
    rule: str = ""
    provider: str = ""
    model: str = ""
    stream: int = 0
    attempts: int = 0
    tried: str = ""
    state: str = "running"
    status: int = 0
    error: str = ""
    stop: str = ""
    first: float | None = None
    seconds: float | None = None
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    thinking: int | None = None
    cost: float | None = None
    priced: str = ""
    received: int = 0
    sent: int = 0


COLUMNS: Final = tuple(field.name for field in fields(Entry))

_TEXTS: Final = tuple(field.name for field in fields(Entry) if field.type is str)
_texts_of: Final = attrgetter(*_TEXTS)


def bounded(entry: Entry) -> Entry:
    """The same entry, its texts such as they are kept."""
    texts = _texts_of(entry)
    whole = "".join(texts)
    if len(whole) > LONGEST or not whole.isprintable():  # else each is short enough, and what is not kept not printable
        for name, text in zip(_TEXTS, texts, strict=True):
            setattr(entry, name, kept(text))
    return entry


def values(entry: Entry) -> tuple[Any, ...]:
    """The values of a bounded entry in the order of `COLUMNS`, such as every database takes."""
    entry.quarter = int(entry.began // QUARTER)
    return tuple(
        [
            value if value is None or type(value) is str or -1 <= value <= MOST else kept(value)
            for value in astuple(entry)
        ]
    )


def kept(value: Any) -> Any:
    """A value such as it is kept: every database takes it."""
    if isinstance(value, str):
        return _NOT_KEPT.sub("?", value[:LONGEST])
    if isinstance(value, int):
        return max(-1, min(value, MOST))
    return value


def lines(texts: Iterable[str]) -> str:
    """Several texts as one value."""
    return " | ".join(texts)
