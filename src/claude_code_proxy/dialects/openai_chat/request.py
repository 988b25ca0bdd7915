"""A Messages request into a Chat Completions request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects.base import Outgoing
from claude_code_proxy.dialects.openai_chat.messages import blocks_of, chat_messages, system_text
from claude_code_proxy.dialects.openai_chat.quirks import quirks_of
from claude_code_proxy.wire.check import checked
from claude_code_proxy.wire.head import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_code_proxy.dialects.base import Call
    from claude_code_proxy.dialects.openai_chat.quirks import Quirks
    from claude_code_proxy.wire.messages import Content, Message, Request, Tool

_CHOICES: Final[dict[str, str]] = {"auto": "auto", "any": "required", "none": "none"}
_MAX_STOPS: Final = 4  # OpenAI's limit
_PLACEHOLDER: Final = "DeferredToolPlaceholder"
"""A tool that Claude Code lists so that a request with deferred tools only is not one without tools."""


def request(call: Call) -> Outgoing:
    """The request to `{base_url}/chat/completions`. Raises `ApiError` (400) for a malformed one."""
    body = chat_request(checked(body_of(call.head)), call, quirks_of(call.quirks))
    return Outgoing(f"{call.base_url}/chat/completions", msgspec.json.encode(body))


def chat_request(request: Request, call: Call, quirks: Quirks) -> dict[str, Any]:
    """The body of the chat request, its keys in a stable order."""
    body: dict[str, Any] = {
        "model": call.model,
        "messages": chat_messages(system_text(request.get("system")), request["messages"], quirks),
        **_tool_fields(request),
        quirks.max_tokens: min(request["max_tokens"], call.max_output_tokens or request["max_tokens"]),
    }
    for name in ("temperature", "top_p", *(("top_k",) if quirks.top_k else ())):
        if request.get(name) is not None:
            body[name] = request.get(name)
    if stops := [stop for stop in request.get("stop_sequences") or () if stop]:
        body["stop"] = stops[:_MAX_STOPS]
    if form := _response_format(request):
        body["response_format"] = form
    if call.head.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _tool_fields(request: Request) -> dict[str, Any]:
    tools = offered(request)
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": [_function(tool) for tool in tools]}
    choice = request.get("tool_choice") or {}
    kind, name = choice.get("type"), choice.get("name")
    if kind == "tool" and name in {tool["name"] for tool in tools}:
        fields["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind in _CHOICES:
        fields["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        fields["parallel_tool_calls"] = False
    return fields


def offered(request: Request) -> list[Tool]:
    """The tools to send: those of the client, and of its deferred ones those that were loaded.

    A deferred tool is loaded once a tool result refers to it. Loaded ones come last, in the order of their
    loading: so the list only ever grows at its end, and the prompt's prefix stays what it was. Tools that
    Anthropic's servers would run (those with a type of their own) have no counterpart.
    """
    mine = [tool for tool in request.get("tools") or () if tool.get("type", "custom") == "custom"]
    at_once = [tool for tool in mine if not tool.get("defer_loading") and tool["name"] != _PLACEHOLDER]
    deferred = {tool["name"]: tool for tool in mine if tool.get("defer_loading")}
    loaded = dict.fromkeys(name for name in _references(request["messages"]) if name in deferred) if deferred else {}
    return [*at_once, *(deferred[name] for name in loaded)]


def _references(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        for block in blocks_of(message["content"]):
            if block.get("type") == "tool_result":
                inner: str | list[Content] = block.get("content") or ""
                yield from (b["tool_name"] for b in blocks_of(inner) if b.get("type") == "tool_reference")


def _function(tool: Tool) -> dict[str, Any]:
    schema = {key: value for key, value in (tool.get("input_schema") or {}).items() if key != "$schema"}
    function = {"name": tool["name"], "parameters": schema or {"type": "object", "properties": {}}}
    if description := tool.get("description"):
        function["description"] = description
    return {"type": "function", "function": function}


def _response_format(request: Request) -> dict[str, Any] | None:
    form = (request.get("output_config") or {}).get("format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None
    return {"type": "json_schema", "json_schema": {"name": "response", "schema": form.get("schema") or {}}}
