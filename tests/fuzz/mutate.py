"""Other documents from one: JSON, alone or in events, whose values, names and order are changed at random.

Bytes that are changed anywhere are mostly no JSON any more, and say nothing of what reads it.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random

ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 1.5, 1e300, "", " ", "0", "null", "\0", "\u2028", "\ud83d"),
    *([], {}, [None], [[]], {"": None}, "a" * 300, "data: {}\n\n", "\n\nevent: error\n\n", "../..", "http://x/?#@"),
]
KINDS: Final = (
    *("text", "thinking", "redacted_thinking", "image", "document", "tool_use", "tool_result", "server_tool_use"),
    *("web_search_tool_result", "search_result", "message", "reasoning", "function_call", "custom_tool_call", "base64"),
    *("url", "file", "tool", "any", "auto", "none", "enabled", "disabled", "adaptive", "object", "array", "string"),
    *("user", "assistant", "system", "stop", "length", "tool_calls", "content_filter", "end_turn", "error"),
)
MOST_CHANGES: Final = 4


def mutated(data: bytes, random: Random) -> bytes | None:
    """The document with a few changes; None if it is none, or bytes should be changed instead."""
    if random.random() < 0.1:
        return None
    lines = data.split(b"\n")
    held = [at for at, line in enumerate(lines) if line.startswith(b"data:")]
    if not held:
        return _changed(data, random)
    for _ in range(random.randint(1, 2)):
        _move(lines, held, random)
    at = random.choice(held)
    new = _changed(lines[at].removeprefix(b"data:"), random)
    if new is not None:
        lines[at] = b"data: " + new
    return b"\n".join(lines)


def _move(lines: list[bytes], held: list[int], random: Random) -> None:
    """An event is left out, sent twice, or takes another's place."""
    one, other = random.choice(held), random.choice(held)
    match random.randrange(8):
        case 0:
            lines[one] = b": gone"
        case 1:
            lines[one] = lines[other]
        case 2:
            lines[one], lines[other] = lines[other], lines[one]


def _changed(text: bytes, random: Random) -> bytes | None:
    try:
        value = [json.loads(text)]  # so that it has a place, too
    except (ValueError, RecursionError):
        return None
    for _ in range(random.randint(1, MOST_CHANGES)):
        _change(value, random)
    return json.dumps(value[0] if value else None).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a document: what holds it, and its name or number there."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        one = todo.pop()
        names = one if isinstance(one, dict) else range(len(one))
        for name in names:
            found.append((one, name))
            if isinstance(one[name], dict | list):
                todo.append(one[name])
    return found


def _change(value: list[Any], random: Random) -> None:
    places = _places(value)
    if not places:
        return
    held, name = random.choice(places)
    other, there = random.choice(places)
    match random.randrange(8):
        case 0:
            held[name] = copy.deepcopy(random.choice(ODD))
        case 1:
            held[name] = random.choice(KINDS)
        case 2:
            held.pop(name)
        case 3:
            held[name] = copy.deepcopy(other[there])
        case 4 if isinstance(held, list):
            held.insert(name, copy.deepcopy(held[name]))
        case 5 if isinstance(held[name], str):
            text = held[name]
            at = random.randint(0, len(text))
            held[name] = text[:at] + random.choice(("", '"', "\\", "{", "}", "<", "\u00e9", "\ud83d", "\n")) + text[at:]
        case 6 if isinstance(held[name], str):
            held[name] = held[name][: random.randint(0, len(held[name]))]
        case 7 if isinstance(held, dict) and isinstance(other, dict):
            held[there] = copy.deepcopy(other[there])
        case _:
            held[name] = [held[name]]
