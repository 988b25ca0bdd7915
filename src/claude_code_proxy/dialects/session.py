"""A key of the session for upstreams, which send the requests of one session to where its prompt is cached."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orjson

from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.dialects.base import Headers

SESSION: Final = "x-claude-code-session-id"
"""The header in which Claude Code names its session, the same over `--continue`."""

_LONGEST: Final = 500
"""Characters of a name whose key is remembered; every turn has the same."""

_OLD_FORM: Final = "_session_"
"""What stands before the session in the `user_id` of older clients."""


def session_key(metadata: object, headers: Mapping[str, str]) -> str:
    """A stable key of the session that a request belongs to, of 32 characters; empty where nothing names one.

    It is a hash: what the client says of its user, device and account stays here. `metadata` is the request's,
    `headers` are the client's, names in lower case.
    """
    if named := headers.get(SESSION):
        return _key(named) if len(named) <= _LONGEST else _key.__wrapped__(named)
    user = fields(metadata).get("user_id")
    if not isinstance(user, str) or not user:
        return ""
    return _key_of(user) if len(user) <= _LONGEST else _key_of.__wrapped__(user)


@lru_cache(256)
def _key(named: str) -> str:
    return sha256(named.encode()).hexdigest()[:32]


@lru_cache(256)
def _key_of(user: str) -> str:
    """The key of the session that a user id names, as Claude Code writes it; of other clients' the whole id."""
    try:
        session = fields(orjson.loads(user)).get("session_id")
    except orjson.JSONDecodeError:
        session = user.partition(_OLD_FORM)[2]
    return _key.__wrapped__(session if isinstance(session, str) and session else user)


def session_header(name: str, metadata: object, headers: Mapping[str, str]) -> Headers:
    """The same as a header of this name; none where there is no name or no session."""
    key = session_key(metadata, headers) if name else ""
    return ((name, key),) if key else ()
