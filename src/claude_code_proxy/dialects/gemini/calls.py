"""The tool calls of one reply: whole ones, and those that come in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.dialects.gemini.partial import Pieces, pieces_in
from claude_code_proxy.dialects.names import client_id
from claude_code_proxy.wire.events import ToolArgs, ToolCall
from claude_code_proxy.wire.json_text import dumped, loads, paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_code_proxy.wire.events import Event
    from claude_code_proxy.wire.messages import Tool

_SPACE: Final = "default_api"
"""What Gemini's tools are called together where it writes code."""


class Calls:
    """Gives each call its key, its id and its whole arguments.

    `seed` makes ids for calls that come without one. `tools` are those that were offered, by the name they were
    offered under.
    """

    __slots__ = ("_ids", "_key", "_last", "_pieces", "_seed", "_skipping", "_tools")

    def __init__(self, seed: str, tools: Mapping[str, Tool]) -> None:
        self._seed, self._tools = seed, tools
        self._key = -1
        self._ids: set[str] = set()
        self._pieces: Pieces | None = None  # of the call that goes on with the next part
        self._last: dict[str, Any] = {}  # how the last call began
        self._skipping = False

    @property
    def made(self) -> bool:
        """Whether any call began."""
        return self._key >= 0

    @property
    def going_on(self) -> bool:
        """Whether the last call has not come to its end."""
        return self._pieces is not None

    def begins(self, part: dict[str, Any]) -> bool:
        """Whether a call begins with this part; otherwise it belongs to the last."""
        if not part.get("name"):
            return False
        again = part.get("name") == self._last.get("name") and part.get("id") == self._last.get("id")
        return not (again and "partialArgs" in part and (self.going_on or self._skipping))

    def skip(self, part: dict[str, Any]) -> None:
        """Leave out the call that begins with this part."""
        self._last, self._skipping = part, True

    def begin(self, part: dict[str, Any]) -> ToolCall:
        """A call begins; the one before must have ended."""
        self._last, self._skipping = part, False
        self._key += 1
        given = part.get("id")
        ident = client_id(paired(given), self._seed) if isinstance(given, str) and given else ""
        if not ident or ident in self._ids:
            ident = f"toolu_{self._seed}_{self._key}"
        self._ids.add(ident)
        self._pieces = Pieces()
        return ToolCall(self._key, ident, self._named(paired(str(part.get("name") or ""))))

    def _named(self, name: str) -> str:
        """The client's name for the tool; the model sometimes writes `default_api.` before the one it was given."""
        bare = name.removeprefix(_SPACE).lstrip(".:") if name.startswith(_SPACE) else name
        known = next((one for one in (name, bare) if one in self._tools), None)
        return self._tools[known]["name"] if known else name

    def take(self, part: dict[str, Any]) -> Iterator[Event]:
        """What a part says of the call that began last."""
        if self._pieces is None:
            return
        for piece in pieces_in(part):
            self._pieces.add(piece)
        args = _args(part.get("args"))
        self._pieces.args |= args or {}
        self._pieces.broken = self._pieces.broken or args is None
        if not part.get("willContinue"):
            yield from self.end()

    def end(self, *, cut: bool = False) -> Iterator[Event]:
        """The call that goes on has all its arguments. `cut`: it has not, and nobody may run it as it is."""
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            return
        said = paired(dumped(pieces.args))
        if cut or pieces.broken:
            yield ToolArgs(self._key, said[:-1])
        elif pieces.args:
            yield ToolArgs(self._key, said)


def _args(args: object) -> dict[str, Any] | None:
    """Arguments as an object, also where a gateway wrote them as text; None for what is none."""
    if isinstance(args, str) and args:
        try:
            args = loads(args.encode("utf-8", "surrogatepass"))
        except ValueError:
            return None
    return {} if args is None or args == "" else args if isinstance(args, dict) else None
