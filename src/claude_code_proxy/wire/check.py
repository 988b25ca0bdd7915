"""The outline of a request that a translation walks through, checked before it does.

Only what would make the walk stumble is checked: the types of the fields that are read. Unknown fields,
unknown block types and unknown values pass, because clients learn new ones every week. A native upstream
judges its requests itself; nothing here touches them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from claude_code_proxy.wire.failure import ApiError, Failed, error
from claude_code_proxy.wire.json_text import MOST, fields, items

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_code_proxy.wire.messages import Request

_WORDS: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}

_TEXT_OR_BLOCKS: Final = (str, list)
_TEXT_OR_BLOCKS_OR_NOTHING: Final = (str, list, type(None))

_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "max_tokens": (int,),
    "messages": (list,),
    "system": _TEXT_OR_BLOCKS_OR_NOTHING,
    "tools": (list, type(None)),
    "tool_choice": (dict, type(None)),
    "thinking": (dict, type(None)),
    "output_config": (dict, type(None)),
    "metadata": (dict, type(None)),
    "stop_sequences": (list, type(None)),
    "temperature": (int, float, type(None)),
    "top_p": (int, float, type(None)),
    "top_k": (int, type(None)),
}
"""Top-level fields that are read, and what they may hold."""

_NESTED: Final[dict[str, tuple[str, ...]]] = {
    "tool_choice": ("type", "name"),
    "thinking": ("type",),
    "output_config": ("effort",),
}
"""Names in these fields that are read, all of them strings."""

_REQUIRED: Final = ("max_tokens", "messages")
_ROLES: Final = ("user", "assistant", "system")

_BLOCK_FIELDS: Final[dict[str, tuple[tuple[str, type], ...]]] = {
    "text": (("text", str),),
    "thinking": (("thinking", str),),
    "image": (("source", dict),),
    "document": (("source", dict),),
    "tool_use": (("id", str), ("name", str)),
    "tool_result": (("tool_use_id", str),),
    "tool_reference": (("tool_name", str),),
}
"""Fields that a block of the type must have. Blocks of other types are not looked into."""


class _AmissError(Exception):
    """Something is not as it must be: what, and `where`, from the outermost name to the innermost.

    The way there is told on the way out, so that a request with nothing amiss does not pay for it.
    """

    def __init__(self, problem: str, *where: str | int) -> None:
        super().__init__(problem)
        self.where = where

    def inside(self, *where: str | int) -> _AmissError:
        """The same, further out."""
        self.where = (*where, *self.where)
        return self


def checked(body: object, *, counting: bool = False) -> Request:
    """The body as a request, or `ApiError` (400) that names the field and what it must hold.

    `counting`: the body is one of count_tokens, which has no `max_tokens`.
    """
    try:
        return _checked(body, counting=counting)
    except _AmissError as amiss:
        raise error("invalid_request_error", f"{'.'.join(map(str, amiss.where))}: {amiss}") from None


def _checked(body: object, *, counting: bool) -> Request:
    request = _object(body, "The request body")
    for name in _REQUIRED:
        if name not in request and not (counting and name == "max_tokens"):
            raise _AmissError("field required", name)
    for name, kinds in _FIELDS.items():
        if name in request:
            _expect(request[name], kinds, name)
    for name, inner in _NESTED.items():
        for one in inner if name in request else ():
            _expect(fields(request[name]).get(one), (str, type(None)), name, one)
    if not 0 <= request.get("max_tokens", 0) <= MOST:
        raise _AmissError("must be between 0 and 2^53", "max_tokens")
    if request.get("thread") is not None and not counting:
        raise no_thread()
    if not request["messages"]:
        raise _AmissError("at least one message is required", "messages")
    _check_each("messages", request["messages"], _check_message)
    _check_content("system", request.get("system"), _TEXT_OR_BLOCKS_OR_NOTHING)
    _check_each("tools", items(request.get("tools")), _check_tool)
    for n, sequence in enumerate(items(request.get("stop_sequences"))):
        _expect(sequence, (str,), "stop_sequences", n)
    return cast("Request", request)


def no_thread() -> ApiError:
    """What to say to a request that begins or goes on with a conversation which the server keeps.

    One that goes on holds nothing but what is new. Told this, Anthropic's SDKs send the whole conversation instead.
    Source: the anthropic SDK 2.12, lib/threads, whose `tool_runner` keeps its conversations there.
    """
    message = "thread: conversations are not kept here. Send the whole conversation without this field."
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return ApiError(Failed("invalid_request_error", message, 400, details=details))


def _check_each(name: str, values: list[Any], check: Callable[[Any], None]) -> None:
    n = 0
    try:
        for n, value in enumerate(values):  # noqa: B007 -- it is read when one is amiss
            check(value)
    except _AmissError as amiss:
        raise amiss.inside(name, n) from None


def _check_message(value: Any) -> None:
    message: dict[str, Any] = value
    if type(message) is not dict:
        raise _wrong(value, (dict,))
    if message.get("role") not in _ROLES:
        raise _AmissError(f"must be one of {', '.join(_ROLES)}", "role")
    content = message.get("content")
    if content is None and "content" not in message:
        raise _AmissError("field required", "content")
    _check_content("content", content, _TEXT_OR_BLOCKS)


def _check_content(name: str, content: Any, kinds: tuple[type, ...]) -> None:
    """Content of one of these kinds. That which is a list has blocks, that which is a string none."""
    blocks: list[Any] = content
    if type(blocks) is list:
        _check_each(name, blocks, _check_block)
    elif type(content) not in kinds:
        _expect(content, kinds, name)


def _check_block(value: Any) -> None:
    """Most of a request are blocks: what is right with them is asked for in as few steps as can be."""
    block: dict[str, Any] = value
    if type(block) is not dict:
        raise _wrong(value, (dict,))
    kind = block.get("type")
    if type(kind) is not str:
        raise _wrong(kind, (str,), "type")
    for name, wanted in _BLOCK_FIELDS.get(kind, ()):
        if type(block.get(name)) is not wanted:
            raise _wrong(block.get(name), (wanted,), name)
    if kind == "tool_result":
        _check_content("content", block.get("content"), _TEXT_OR_BLOCKS_OR_NOTHING)


def _check_tool(value: Any) -> None:
    tool = _object(value)
    if type(tool.get("name")) is not str and ("name" in tool or (tool.get("type") or "custom") == "custom"):
        raise _wrong(tool.get("name"), (str,), "name")
    if type(schema := tool.get("input_schema")) is not dict:
        _expect(schema, (dict, type(None)), "input_schema")


def _object(value: object, *where: str | int) -> dict[str, Any]:
    return fields(_expect(value, (dict,), *where))


def _expect(value: Any, kinds: tuple[type, ...], *where: str | int) -> Any:
    if isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds):
        return value
    raise _wrong(value, kinds, *where)


def _wrong(value: object, kinds: tuple[type, ...], *where: str | int) -> _AmissError:
    allowed = " or ".join(dict.fromkeys(_WORDS[kind] for kind in kinds))
    held = next((word for kind, word in _WORDS.items() if type(value) is kind), "that")
    return _AmissError(f"must be {allowed}, not {held}", *where)
