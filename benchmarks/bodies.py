"""Requests of the shape that Claude Code's have: instructions, tools, and turns of calls and their results."""

from __future__ import annotations

from typing import Any, Final

import orjson

_LINE: Final = "    def answer(self, question: str) -> str:  # what it says of it is\tin the 'file' that was read\n"
_MARKED: Final = _LINE.replace("  # what", "  # → what")
"""Text beyond ASCII takes another way through every library."""

_MARKED_EVERY: Final = 4
_RESULT: Final = 5_000
_TOOLS: Final = 20


def body(size: int, *, model: str, stream: bool = True) -> bytes:
    """A request of about this many bytes."""
    tools = [_tool(n, min(2_000, size // 70)) for n in range(_TOOLS)]
    system = [{"type": "text", "text": _text(min(3_000, size // 20))} for _ in range(3)]
    asked: dict[str, Any] = {"model": model, "max_tokens": 32_000, "stream": stream, "system": system, "tools": tools}
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "What does it say?"}]}]
    held = len(orjson.dumps(asked))
    while held < size:
        line = _LINE if len(turns) // 2 % _MARKED_EVERY else _MARKED
        turn = _turn(len(turns), _text(min(_RESULT, size - held), line))
        held += len(orjson.dumps(turn))
        turns += turn
    return orjson.dumps({**asked, "messages": turns})


def _text(size: int, line: str = _LINE) -> str:
    return (line * (size // len(line) + 1))[:size]


def _tool(number: int, size: int) -> dict[str, Any]:
    fields = {f"field_{n}": {"type": "string", "description": _text(size // 20)} for n in range(6)}
    schema = {"type": "object", "properties": fields, "required": ["field_0"], "additionalProperties": False}
    return {"name": f"Tool{number}", "description": _text(size // 2), "input_schema": schema}


def _turn(number: int, said: str) -> list[dict[str, Any]]:
    ident = f"toolu_{number:024}"
    call = {"type": "tool_use", "id": ident, "name": "Tool1", "input": {"field_0": f"/home/user/file_{number}.py"}}
    result = {"type": "tool_result", "tool_use_id": ident, "content": [{"type": "text", "text": said}]}
    return [
        {"role": "assistant", "content": [{"type": "text", "text": "I read it."}, call]},
        {"role": "user", "content": [result]},
    ]
