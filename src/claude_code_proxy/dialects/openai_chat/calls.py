"""Tool calls put together from the parts in which a chat upstream sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects.arguments import Arguments
from claude_code_proxy.dialects.names import client_id, client_name
from claude_code_proxy.wire.events import ToolArgs, ToolCall
from claude_code_proxy.wire.json_text import dumped, fields, paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_code_proxy.wire.messages import Tool


class Call(Arguments):
    """A tool call that is being said. `index`, `ident` and `name` are the upstream's."""

    __slots__ = ("announced", "ident", "index", "key", "name")

    def __init__(self, key: int, index: object, ident: str, name: str) -> None:
        super().__init__()
        self.key, self.index, self.ident, self.name = key, index, ident, name
        self.announced = False


class Calls:
    """The tool calls of one reply.

    `seed` makes ids for those that come without one. `tools` are those that were offered, by the name they
    were offered under.
    """

    __slots__ = ("_calls", "_ids", "_pending", "_seed", "_tools")

    def __init__(self, seed: str, tools: Mapping[str, Tool]) -> None:
        self._seed, self._tools = seed, tools
        self._calls: list[Call] = []
        self._ids: set[str] = set()
        self._pending: Call | None = None  # its name may not be whole yet

    @property
    def pending(self) -> bool:
        """Whether a call was begun that is not announced."""
        return self._pending is not None

    def begins(self, part: dict[str, Any]) -> bool:
        """Whether a part begins a call."""
        return self._known(part) is None

    def take(self, part: dict[str, Any]) -> tuple[Call, str]:
        """The call that a part belongs to, which it may begin, and the arguments in it."""
        call = self._known(part)
        name, ident = _name(part), _ident(part)
        if call is None:
            call = self._pending = Call(len(self._calls), part.get("index"), ident, name)
            self._calls.append(call)
        elif name and not call.announced and name != call.name:
            call.name += name  # a name in pieces
        return call, _arguments(part)

    def announced(self) -> Iterator[ToolCall]:
        """The call that was begun last, once its name is known to be whole."""
        call, self._pending = self._pending, None
        if call:
            call.announced = True
            ident = client_id(call.ident, self._seed) if call.ident else ""
            if not ident or ident in self._ids:
                ident = f"toolu_{self._seed}_{call.key}"
            self._ids.add(ident)
            yield ToolCall(call.key, ident, client_name(call.name, self._tools))

    def rest(self) -> Iterator[ToolArgs]:
        """The arguments that were held back, at the end of the reply."""
        for call in self._calls:
            if rest := call.rest():
                yield ToolArgs(call.key, rest)

    def _known(self, part: dict[str, Any]) -> Call | None:
        """The call that a part belongs to; None where it begins a new one.

        By index, unless a part that has a name brings another id: some servers number every call 0.
        Without an index by id, and without both it is the last call, unless the part has a name.
        """
        index, ident, name = part.get("index"), _ident(part), _name(part)
        for call in reversed(self._calls):
            if index is not None:
                if call.index == index:
                    return None if name and self._another(call, ident, part) else call
            elif ident:
                if call.ident == ident:
                    return call
            else:
                return None if name else call
        return None

    def _another(self, call: Call, ident: str, part: dict[str, Any]) -> bool:
        """Whether a named part with the index of a call is another: it has another id, or the call is whole."""
        if ident and ident != call.ident:
            return True
        return bool(_arguments(part)) and call.whole()


def _ident(part: dict[str, Any]) -> str:
    return paired(str(part.get("id") or ""))


def _name(part: dict[str, Any]) -> str:
    return paired(str(fields(part.get("function")).get("name") or ""))


def _arguments(part: dict[str, Any]) -> str:
    arguments = fields(part.get("function")).get("arguments")
    if isinstance(arguments, (dict, list)):
        return dumped(arguments)
    return paired(arguments) if isinstance(arguments, str) else ""
