"""What Gemini really sent, and what Google's own library finds in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from google.genai.types import Candidate, FunctionCall, GenerateContentResponse, Part, PartialArg

from grammar import read
from recordings import documents, found

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = found(".chunks.txt", "candidates")
WHOLE = found(".json", "candidates")
ERRORS = found(".json", "error", folders="gemini")

STOPS = {"STOP": "end_turn", "MAX_TOKENS": "max_tokens", "SAFETY": "refusal"}


@dataclass
class Said:
    """What a reply says, as Google's own library reads it."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    usage: Any = None
    finish: str = ""
    going_on: bool = False

    @property
    def stop_reason(self) -> str:
        """What the finish means; a reply with calls ended in order to make them."""
        return "tool_use" if self.calls and self.finish == "STOP" else STOPS[self.finish]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Tokens of the prompt that were not cached, those that were, and those of the answer."""
        asked, used = self.usage.prompt_token_count or 0, self.usage.tool_use_prompt_token_count or 0
        cached = self.usage.cached_content_token_count or 0
        return asked + used - cached, cached, self.usage.total_token_count - asked - used

    def take(self, candidate: Candidate) -> None:
        for part in (candidate.content and candidate.content.parts) or ():
            self._part(part)
        if candidate.finish_reason:
            self.finish = candidate.finish_reason.value

    def _part(self, part: Part) -> None:
        if part.thought_signature:
            self.signatures.append(part.thought_signature.hex())
        if part.function_call:
            self._call(part.function_call)
        elif part.thought:
            self.thinking += part.text or ""
        else:
            self.text += part.text or ""

    def _call(self, call: FunctionCall) -> None:
        if call.name:
            self.calls.append((call.name, dict(call.args or {})))
        for piece in call.partial_args or ():
            _place(self.calls[-1][1], piece)


def _place(root: Any, piece: PartialArg) -> None:
    """Put a piece of an argument where its path says; those of these recordings have plain names."""
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^$.\[\]]+", piece.json_path or "")]
    last = steps[-1]
    for step, following in pairwise(steps):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(step, int) and len(root) <= step:
            root.append(empty)
        elif not isinstance(step, int):
            root.setdefault(step, empty)
        root = root[step]
    value: Any = piece.number_value if piece.number_value is not None else piece.bool_value
    if piece.string_value is not None:
        held = (root[last] if len(root) > last else "") if isinstance(last, int) else root.get(last, "")
        value = held + piece.string_value
    if isinstance(last, int) and len(root) <= last:
        root.append(value)
    else:
        root[last] = value


def said_in(lines: list[str]) -> Said:
    said = Said()
    for line in lines:
        chunk = GenerateContentResponse.model_validate(json.loads(line))
        for candidate in chunk.candidates or ():
            said.take(candidate)
        said.usage = chunk.usage_metadata or said.usage
    return said


def assert_same(out: bytes, said: Said) -> None:
    told = read(out)
    assert told.ended
    assert told.text == said.text
    assert told.thinking == said.thinking
    assert told.calls == said.calls
    assert told.stop_reason == said.stop_reason
    usage = told.usage
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == said.counts


def framed(file: Path) -> bytes:
    """A recorded stream with the framing it had."""
    return "".join(f"data: {line}\r\n\r\n" for line in documents(file)).encode()


def listed(file: Path) -> bytes:
    """The same as who does not ask for server-sent events gets it."""
    return "[{}\n]".format("\n,\r\n".join(documents(file))).encode()
