"""How one place that speaks generateContent differs from another."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import orjson
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STOPS: Final = 5
"""How many stop sequences are taken."""


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Deviations, with the choice that fits Google's own places as default.

    schema: how the inputs of tools are described: "json" in JSON Schema (`parametersJsonSchema`), "openapi" in
        Google's older form (`parameters`), for gateways that know only that.
    call_ids: whether calls and their results may carry ids. Without, they are paired by name and order.
    """

    schema: Literal["json", "openapi"] = "json"
    call_ids: bool = True


def quirks_of(row: Mapping[str, Any]) -> Quirks:
    """The quirks of a provider's row. Raises `msgspec.ValidationError` naming what is wrong with it."""
    return _quirks(orjson.dumps(dict(row), option=orjson.OPT_SORT_KEYS))


@cache
def _quirks(row: bytes) -> Quirks:
    return msgspec.json.decode(row, type=Quirks)
