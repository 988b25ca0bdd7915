"""What kind of request it is, for the [routing.kinds] of the user's config.toml. Pure.

Only a kind that has a target is looked for, and nothing is parsed for one that the bytes rule out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from claude_code_proxy.tables import KINDS, Kinds, LongContext
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.json_text import fields, items
from claude_code_proxy.wire.scan import holds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_code_proxy.wire.head import Head

AGENT: Final = "x-claude-code-agent-id"
"""A header that Claude Code's subagents send, and nobody else."""

_NONE: Final = Kinds()
_CLIENT: Final = "claude-cli/"
_SEARCH: Final = "web_search"
_THINKS: Final = frozenset({"enabled", "adaptive"})


def kind_of(head: Head, headers: Mapping[str, str], kinds: Kinds) -> str:
    """The first kind with a target that the request is of; empty if it is of none.

    `headers` are the client's, names in lower case.
    """
    if kinds == _NONE:  # nearly always
        return ""
    return next((kind for kind in KINDS if kinds.target(kind) and _IS[kind](head, headers, kinds)), "")


def _web_search(head: Head, _: Mapping[str, str], __: Kinds) -> bool:
    """Claude Code's WebSearch: a request with nothing but the server's search tool."""
    tools = items(_field(head, "tools"))
    return bool(tools) and all(str(fields(tool).get("type", "")).startswith(_SEARCH) for tool in tools)


def _image(head: Head, _: Mapping[str, str], __: Kinds) -> bool:
    """An image anywhere in the conversation: a model that cannot see would refuse all of it."""
    if not holds(head.raw, b'"image"'):
        return False
    return any(_shows(fields(message).get("content")) for message in items(_field(head, "messages")))


def _shows(content: object) -> bool:
    blocks = [fields(block) for block in items(content)]
    return any(block.get("type") == "image" or _shows(block.get("content")) for block in blocks)


def _long_context(head: Head, _: Mapping[str, str], kinds: Kinds) -> bool:
    limit = kinds.long_context
    if not isinstance(limit, LongContext) or len(head.raw) <= limit.over:  # no token has less than a byte
        return False
    try:
        return count(head) > limit.over
    except ApiError:  # whoever is asked will say what is wrong with it
        return False


def _subagent(_: Head, headers: Mapping[str, str], __: Kinds) -> bool:
    return AGENT in headers


def _background(head: Head, headers: Mapping[str, str], __: Kinds) -> bool:
    """Claude Code's own errands (titles, summaries of pages): no tools, and no word about thinking."""
    client = headers.get("user-agent", "").startswith(_CLIENT)
    return client and not items(_field(head, "tools")) and _field(head, "thinking") is None


def _thinking(head: Head, _: Mapping[str, str], __: Kinds) -> bool:
    return str(fields(_field(head, "thinking")).get("type")) in _THINKS


_IS: Final[Mapping[str, Callable[[Head, Mapping[str, str], Kinds], bool]]] = {
    "web_search": _web_search,
    "image": _image,
    "long_context": _long_context,
    "subagent": _subagent,
    "background": _background,
    "thinking": _thinking,
}


def _field(head: Head, name: str) -> Any:
    """A top-level field of the body; None if it is absent or cannot be read."""
    try:
        return msgspec.json.decode(head.fields.get(name, Raw(b"null")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
