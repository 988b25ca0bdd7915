"""How a provider's Chat Completions differ from the common ground; one row of providers.toml each."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import orjson
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Deviations, with the safest choice for an unknown server as default.

    max_tokens: the field that limits the output. OpenAI's reasoning models refuse the old name, most
        other servers know only that.
    system_anywhere: whether system messages may stand between turns. Most chat templates of open models
        raise an error on one that is not first; there the text becomes part of a user message.
    files: whether user messages take file parts (PDF).
    top_k: whether the sampling field of that name is taken.
    """

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_anywhere: bool = False
    files: bool = False
    top_k: bool = False


def quirks_of(row: Mapping[str, Any]) -> Quirks:
    """The quirks of a provider's row. Raises `msgspec.ValidationError` naming what is wrong with it."""
    return _quirks(orjson.dumps(dict(row), option=orjson.OPT_SORT_KEYS))


@cache
def _quirks(row: bytes) -> Quirks:
    return msgspec.json.decode(row, type=Quirks)
