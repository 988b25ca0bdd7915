"""Reading the quirks of a provider's row, whatever the dialect."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import orjson
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T", bound=Struct)


def reader(kind: type[T]) -> Callable[[Mapping[str, Any]], T]:
    """What reads quirks of this kind from a row, which raises `msgspec.ValidationError` naming what is wrong with it.

    A row is read once; it is asked for with every request.
    """

    @cache
    def read(row: bytes) -> T:
        return msgspec.json.decode(row, type=kind)

    return lambda row: read(orjson.dumps(dict(row), option=orjson.OPT_SORT_KEYS))
