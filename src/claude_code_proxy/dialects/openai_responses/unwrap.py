"""Calls that a model wraps into one.

OpenAI's models were trained with a tool for several calls at once, and at times call it although nobody offered
it: `parallel` with `{"tool_uses": [{"recipient_name": "functions.Read", "parameters": {…}}, …]}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from claude_code_proxy.wire.events import Failed, Stop, ToolArgs, ToolCall
from claude_code_proxy.wire.json_text import dumped, fields, items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Tool

_WRAPPERS: Final = frozenset({"parallel", "multi_tool_use.parallel", "multi_tool_use_parallel"})
_STEP: Final = 1_000_000
"""The keys of calls that were wrapped begin here; no reply has so many items."""


class WrappedCalls:
    """A machine from events to events: a call of a wrapper that was not offered becomes the calls in it.

    `tools` are those that were offered, by the name they were offered under. A wrapper with anything else in it
    stays what it is.
    """

    __slots__ = ("_held", "_tools")

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._held: dict[int, tuple[ToolCall, list[str]]] = {}

    def feed(self, event: Event, /) -> Sequence[Event]:
        if isinstance(event, ToolCall) and event.name in _WRAPPERS and event.name not in self._tools:
            self._held[event.key] = (event, [])
            return ()
        if isinstance(event, ToolArgs) and event.key in self._held:
            self._held[event.key][1].append(event.json)
            return ()
        if self._held and isinstance(event, (Stop, Failed)):
            return (*self.close(), event)
        return (event,)

    def close(self) -> Sequence[Event]:
        held, self._held = self._held, {}
        return [event for call, said in held.values() for event in self._unwrapped(call, "".join(said))]

    def _unwrapped(self, call: ToolCall, arguments: str) -> Iterator[Event]:
        wrapped = self._calls(arguments)
        if not wrapped:
            yield call
            yield ToolArgs(call.key, arguments)
        for n, (name, given) in enumerate(wrapped):
            key = call.key if n == 0 else _STEP * n + call.key
            yield ToolCall(key, call.id if n == 0 else f"{call.id}_{n + 1}", name)
            yield ToolArgs(key, dumped(given))

    def _calls(self, arguments: str) -> list[tuple[str, dict[str, Any]]]:
        """The calls in a wrapper; none unless each is of a tool that was offered."""
        try:
            uses = items(fields(msgspec.json.decode(arguments)).get("tool_uses"))
        except (msgspec.DecodeError, RecursionError):
            return []
        calls = [(str(fields(use).get("recipient_name")), fields(use).get("parameters")) for use in uses]
        named = [(self._tools.get(name.rpartition(".")[2]), given) for name, given in calls]
        known = [(tool["name"], given) for tool, given in named if tool and isinstance(given, dict)]
        return known if len(known) == len(uses) else []
