"""Anthropic's Messages API as types, and the few shapes of it that every reply shares.

Requests stay plain dicts: what is not named here survives, because a new client sends fields that this
version has never heard of. Only the outline that a translation walks through is checked (`checked`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from claude_code_proxy.wire.events import Citation, Stop, StopReason, Usage


class Content(TypedDict, total=False):
    """A content block. `type` is always there; the other keys are those of its type."""

    type: str
    text: str
    source: dict[str, Any]
    id: str
    name: str
    input: Any
    tool_use_id: str
    tool_name: str
    content: str | list[Content] | None
    is_error: bool
    thinking: str
    signature: str
    data: str
    title: str
    cache_control: dict[str, Any]


class Message(TypedDict):
    """One turn. `system` may stand anywhere, and its content may be an empty list."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Content]


class Tool(TypedDict):
    """A tool of the client's, or (with a `type` other than custom) of the server's."""

    name: str
    type: NotRequired[str]
    description: NotRequired[str]
    input_schema: NotRequired[dict[str, Any]]
    defer_loading: NotRequired[bool]


class ToolChoice(TypedDict, total=False):
    """Which tool the model may or must call."""

    type: str
    name: str
    disable_parallel_tool_use: bool


class Request(TypedDict, total=False):
    """The body of `POST /v1/messages`."""

    model: str
    messages: list[Message]
    system: str | list[Content]
    max_tokens: int
    tools: list[Tool]
    tool_choice: ToolChoice
    thinking: dict[str, Any]
    output_config: dict[str, Any]
    stop_sequences: list[str]
    stream: bool
    temperature: float
    top_p: float
    top_k: int
    metadata: dict[str, Any]


def usage_json(usage: Usage) -> dict[str, int]:
    """`usage` as Anthropic writes it. What the upstream did not tell is 0: clients add these figures up."""
    return {
        "input_tokens": usage.input or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "output_tokens": usage.output or 0,
    }


def opening_message(ident: str, model: str, usage: Usage) -> dict[str, Any]:
    """A message of which nothing was said yet, as `message_start` carries it."""
    return {
        "id": ident,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_json(usage),
    }


def citation_json(citation: Citation) -> dict[str, str]:
    """A citation of the web as Anthropic writes it; only its own searches have an encrypted index."""
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


_NOT_WITH_CALLS: Final = frozenset({"end_turn", "pause_turn"})


def settled(stop: Stop, *, called: bool) -> StopReason:
    """The stop reason that agrees with what was said.

    Upstreams say "stop" after tool calls and "tool_calls" without any; Claude Code goes by the reason.
    """
    if stop.native:
        return stop.reason
    if called and stop.reason in _NOT_WITH_CALLS:
        return "tool_use"
    if not called and stop.reason == "tool_use":
        return "end_turn"
    return stop.reason
