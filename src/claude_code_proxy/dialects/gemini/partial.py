"""Arguments that come in pieces, each with the path of the value that it belongs to.

Vertex AI sends them so when it is asked to:

    {"jsonPath": "$.files[0].name", "stringValue": "a", "willContinue": true}
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from claude_code_proxy.wire.json_text import fields

Path: TypeAlias = tuple[str | int, ...]

_STEP: Final = re.compile(
    r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d{1,6})\]|\[(?P<quote>['\"])(?P<quoted>(?:\\.|(?!(?P=quote)).)*)(?P=quote)\]",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_VALUES: Final = ("stringValue", "numberValue", "boolValue")
_FURTHEST: Final = 10_000
"""The largest index of a list; a piece beyond it is no argument that anybody meant."""


class Pieces:
    """The arguments of one call as they come together. `broken`: a piece could not be put in its place."""

    __slots__ = ("_open", "args", "broken")

    def __init__(self) -> None:
        self.args: dict[str, Any] = {}
        self.broken = False
        self._open: Path | None = None  # the text that goes on with the next piece

    def add(self, piece: dict[str, Any]) -> None:
        """One more piece."""
        path = _path(piece.get("jsonPath"))
        if not path:
            self.broken = True
            return
        found = [piece[name] for name in _VALUES if name in piece]
        if not found and "nullValue" not in piece:
            return
        value = found[0] if found else None
        goes_on = path == self._open and isinstance(value, str)
        self._open = path if piece.get("willContinue") else None
        self.broken = not _put(self.args, path, value, goes_on=goes_on) or self.broken


def _path(text: object) -> Path:
    """The steps of a path; none for what is no path to one value."""
    if not isinstance(text, str) or not text.startswith("$"):
        return ()
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            return ()
        at = step.end()
        if step["index"] is not None:
            steps.append(int(step["index"]))
        else:
            steps.append(step["name"] if step["name"] is not None else _ESCAPED.sub(r"\1", step["quoted"]))
    return tuple(steps)


def _put(root: dict[str, Any], path: Path, value: Any, *, goes_on: bool) -> bool:
    """Put a value in its place, or behind the text that is there; False where there is no such place."""
    holder: Any = root
    for n, step in enumerate(path):
        if isinstance(step, int):
            if not isinstance(holder, list) or step > _FURTHEST:
                return False
            holder += [None] * (step + 1 - len(holder))
        elif not isinstance(holder, dict):
            return False
        held = holder[step] if isinstance(step, int) else holder.get(step)
        if n == len(path) - 1:
            holder[step] = held + value if goes_on and isinstance(held, str) else value
        else:
            if held is None:
                holder[step] = held = [] if isinstance(path[n + 1], int) else {}
            holder = held
    return True


def pieces_in(call: dict[str, Any]) -> list[dict[str, Any]]:
    """The pieces that a function call carries."""
    held = call.get("partialArgs")
    return [fields(piece) for piece in held] if isinstance(held, list) else []
