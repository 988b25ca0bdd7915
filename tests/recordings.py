"""What providers really sent, and what OpenAI's own library finds in it.

The recordings are not part of the project: they lie beside its checkout, or their tests are skipped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from grammar import read

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "recordings"
SIZES = (1, 7, 64, 1000, 1 << 30)
"""Five ways to cut a stream: the bytes in a piece."""

NEEDED = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not here")


def found(ending: str, word: str, *, folders: str = "*") -> list[Any]:
    """The recordings of which the first document holds this word."""
    files = sorted(RECORDINGS.glob(f"{folders}/*{ending}"))
    return [pytest.param(file, id=str(file.relative_to(RECORDINGS))) for file in files if _first(file).get(word)]


def _first(file: Path) -> Any:
    text = file.read_text("utf-8")
    try:
        return json.loads(text if file.suffix == ".json" else documents(file)[0])
    except ValueError:
        return {}


def content(file: Path) -> bytes:
    """A recording, byte for byte."""
    return file.read_bytes()


def documents(file: Path) -> list[str]:
    """The JSON of each event."""
    lines = [line.removeprefix("data: ") for line in file.read_text("utf-8").splitlines()]
    return [line for line in lines if line and line != "[DONE]"]


STOPS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}


@dataclass
class Said:
    """What a reply says, as OpenAI's own library reads it."""

    text: str = ""
    thinking: str = ""
    calls: dict[Any, list[str]] = field(default_factory=dict)
    usage: Any = None
    finish: str = ""

    @property
    def stop_reason(self) -> str:
        """What the finish means; a reply with calls ended in order to make them."""
        return "tool_use" if self.calls and self.finish in {"stop", "tool_calls", ""} else STOPS[self.finish]

    def take(self, delta: Any) -> None:
        parts: list[Any] = (
            delta.content if isinstance(delta.content, list) else [{"type": "text", "text": delta.content or ""}]
        )
        for part in parts:
            if part["type"] == "text":
                self.text += part["text"]
            elif part["type"] == "thinking":
                self.thinking += "".join(inner["text"] for inner in part["thinking"])
        self.thinking += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
        for number, tool in enumerate(delta.tool_calls or ()):
            index = getattr(tool, "index", None)
            call_said = self.calls.setdefault(number if index is None else index, ["", ""])
            call_said[0] = call_said[0] or tool.function.name or ""
            call_said[1] += tool.function.arguments or ""

    @property
    def inputs(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments or "{}")) for name, arguments in self.calls.values()]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Tokens of the prompt that were not cached, those that were, and those of the answer."""
        asked = getattr(self.usage, "prompt_tokens_details", None)
        cached = (asked and asked.cached_tokens) or getattr(self.usage, "cached_tokens", 0) or 0
        return self.usage.prompt_tokens - cached, cached, self.usage.total_tokens - self.usage.prompt_tokens


def said_in_chunks(lines: list[str]) -> Said:
    said = Said()
    for line in lines:
        chunk: Any = ChatCompletionChunk.construct(**json.loads(line))
        groq = getattr(chunk, "x_groq", None) or {}
        usage = chunk.usage or (ChatCompletionChunk.construct(usage=groq["usage"]).usage if groq.get("usage") else None)
        said.usage = usage or said.usage
        for choice in chunk.choices or ():
            said.take(choice.delta)
            said.finish = choice.finish_reason or said.finish
    return said


def said_in_message(document: str) -> Said:
    said = Said()
    completion: Any = ChatCompletion.construct(**json.loads(document))
    said.take(completion.choices[0].message)
    said.finish = completion.choices[0].finish_reason or ""
    said.usage = completion.usage
    return said


def assert_same(out: bytes, said: Said) -> None:
    told = read(out)
    assert told.ended
    assert told.text == said.text
    assert told.thinking == said.thinking
    assert told.calls == said.inputs
    assert told.stop_reason == said.stop_reason
    if said.usage is None:
        return
    usage = told.usage
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == said.counts


def framed(file: Path) -> bytes:
    """A recorded stream with the framing it had."""
    return "".join(f"data: {line}\n\n" for line in [*documents(file), "[DONE]"]).encode()


STREAMS = [*found(".chunks.txt", "choices"), *found(".sse", "choices")]
WHOLE = found(".json", "choices")
