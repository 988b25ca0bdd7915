"""Tools for a server that has none, but can be held to a JSON schema.

The tools are described in the system prompt, and the answer is held to a schema of which each tool is one
branch (and plain text another, unless a call is demanded). Even a model of 135 million parameters then calls
the right tool with well-formed arguments. The price is that nothing streams: the answer is read as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.dialects.names import upstream_name
from claude_code_proxy.wire.events import Stop, Text, ToolArgs, ToolCall
from claude_code_proxy.wire.json_text import dumped, fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Request, Tool

_ANSWER: Final = "answer"
_HOW: Final = 'To call a function, reply with only this JSON object: {"name": <its name>, "arguments": <its arguments>}'
_OR: Final = 'Otherwise reply with only this JSON object: {"answer": <your answer>}'


def instructions(tools: Mapping[str, Tool], *, must_call: bool) -> str:
    """The part of the system prompt that describes the tools and how to call them."""
    lines = ["You can call these functions:"]
    for name, tool in tools.items():
        described = {"name": name, "description": tool.get("description", ""), "arguments": _schema(tool)}
        lines.append(msgspec.json.encode(described).decode())
    return "\n".join([*lines, _HOW, *([] if must_call else [_OR])])


def response_format(tools: Mapping[str, Tool], *, must_call: bool) -> dict[str, Any]:
    """The schema that the answer is held to."""
    shared: dict[str, Any] = {}
    branches = []
    for name, tool in tools.items():
        schema = _schema(tool)
        for kind in _DEFINITIONS:
            for key, value in fields(schema.pop(kind, None)).items():
                shared[f"{name}.{key}"] = _moved(value, name)
        branches.append(_branch({"name": {"const": name}, "arguments": _moved(schema, name)}))
    if not must_call:
        branches.append(_branch({_ANSWER: {"type": "string"}}))
    schema = {"anyOf": branches, **({"$defs": shared} if shared else {})}
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}


_DEFINITIONS: Final = ("$defs", "definitions")


def _moved(schema: Any, name: str) -> Any:
    """A part of the schema of the tool `name`, its references leading to where the definitions are now."""
    if isinstance(schema, list):
        return [_moved(one, name) for one in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, name) for key, value in schema.items()}
    match str(schema.get("$ref", "")).split("/"):
        case ["#", "$defs" | "definitions", key, *rest]:
            moved["$ref"] = "/".join(["#", "$defs", f"{name}.{key}", *rest])
    return moved


def choosable(request: Request, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
    """The tools that the request's choice leaves: all, one, or none."""
    choice = request.get("tool_choice") or {}
    if choice.get("type") == "none":
        return {}
    named = upstream_name(choice.get("name") or "") if choice.get("type") == "tool" else ""
    return {named: tools[named]} if named in tools else tools


def must_call(request: Request) -> bool:
    """Whether the request demands that a tool be called."""
    return (request.get("tool_choice") or {}).get("type") in {"any", "tool"}


def as_text(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conversation for a server that knows no tools: calls as the JSON they were, results as user text."""
    out: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            out.append({"role": "user", "content": f"Result of the function: {message['content']}"})
        elif calls := message.get("tool_calls"):
            said = [
                f'{{"name": "{call["function"]["name"]}", "arguments": {call["function"]["arguments"]}}}'
                for call in calls
            ]
            out.append({"role": "assistant", "content": "\n".join([*filter(None, [message["content"]]), *said])})
        else:
            out.append(dict(message))
    return out


class SchemaCalls:
    """A machine from events to events: an answer in that schema becomes a tool call, or the text it holds."""

    __slots__ = ("_seed", "_text", "_tools")

    def __init__(self, seed: str, tools: Mapping[str, Tool]) -> None:
        self._seed, self._tools = seed, tools
        self._text: list[str] = []

    def feed(self, event: Event, /) -> Sequence[Event]:
        if isinstance(event, Text):
            self._text.append(event.text)
            return ()
        if isinstance(event, Stop):
            return (*self._said(), event)
        return (event,)

    def close(self) -> Sequence[Event]:
        return ()  # without a Stop the answer was cut, and half of it is no call

    def _said(self) -> Sequence[Event]:
        text = "".join(self._text)
        try:
            said = fields(msgspec.json.decode(text))
        except (msgspec.DecodeError, RecursionError):
            said = {}
        name, arguments = said.get("name"), said.get("arguments", {})
        if isinstance(name, str) and name in self._tools and isinstance(arguments, dict):
            call = ToolCall(0, f"toolu_{self._seed}", self._tools[name]["name"])
            return call, ToolArgs(0, dumped(arguments))
        answer = said.get(_ANSWER) if len(said) == 1 else None
        return (Text(answer if isinstance(answer, str) else text),)


def _branch(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(tool: Tool) -> dict[str, Any]:
    schema = {key: value for key, value in (tool.get("input_schema") or {}).items() if key != "$schema"}
    return schema or {"type": "object", "properties": {}}
