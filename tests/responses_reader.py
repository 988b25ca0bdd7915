"""What OpenAI's own library finds in recorded answers of a Responses API; the recordings lie where `recordings` says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openai.types.responses import Response, ResponseCompletedEvent, ResponseOutputItemDoneEvent, ResponseTextDeltaEvent

from grammar import Read, read
from recordings import documents, found

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ("openai-responses", "azure", "xai", "openai-compatible")
REASONS = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}


@dataclass
class Told:
    """What a reply says."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    searches: int = 0
    cited: list[str] = field(default_factory=list)
    encrypted: list[str] = field(default_factory=list)
    usage: Any = None
    reason: str | None = None

    def take(self, item: Any) -> None:
        """One item of the output, as the library reads it."""
        if item.type == "message":
            for part in item.content:
                self.texts.append(part.refusal if part.type == "refusal" else part.text)
                notes = getattr(part, "annotations", None) or ()
                self.cited += [note.url for note in notes if note.type == "url_citation"]
        elif item.type == "reasoning":
            self.thoughts.append("\n\n".join(part.text for part in item.summary))
            self.encrypted += [item.encrypted_content] if item.encrypted_content else []
        elif item.type == "function_call":
            self.calls.append((item.name, json.loads(item.arguments or "{}")))
        elif item.type == "custom_tool_call":
            self.calls.append((item.name, {"input": item.input}))
        elif item.type == "web_search_call":
            self.searches += item.action.type == "search"

    @property
    def counts(self) -> tuple[int, int, int]:
        """Tokens of the prompt that were not cached, those that were, and those of the answer."""
        cached = self.usage.input_tokens_details.cached_tokens
        return self.usage.input_tokens - cached, cached, self.usage.output_tokens


def _ended(told: Told, response: Any) -> Told:
    told.usage = response.usage
    told.reason = response.incomplete_details.reason if response.incomplete_details else None
    return told


def told_in_stream(lines: list[str]) -> Told:
    """What a stream says, item by item. A text is told in pieces and once more whole; what was said stays said."""
    told, pieces = Told(), dict[tuple[int, int], str]()
    for line in lines:
        event = json.loads(line)
        if event["type"] == "response.output_text.delta":
            delta = ResponseTextDeltaEvent.construct(**event)
            at = (delta.output_index, delta.content_index)
            pieces[at] = pieces.get(at, "") + delta.delta
        elif event["type"] == "response.output_item.done":
            done: Any = ResponseOutputItemDoneEvent.construct(**event)
            for n, part in enumerate(done.item.content if done.item.type == "message" else ()):
                said = pieces.get((done.output_index, n), "")
                part.text = part.text if part.text.startswith(said) else said
            told.take(done.item)
        elif event["type"] in {"response.completed", "response.incomplete"}:
            last: Any = ResponseCompletedEvent.construct(**event)
            _ended(told, last.response)
    return told


def told_in_response(document: str) -> Told:
    """What a whole response says."""
    told = Told()
    response: Any = Response.construct(**json.loads(document))
    for item in response.output:
        told.take(item)
    return _ended(told, response)


def assert_same(told: Read, said: Told) -> None:
    """Everything that was said arrived, and nothing else."""
    assert told.ended
    assert told.text == "".join(said.texts)
    assert told.thinking == "".join(said.thoughts)
    assert told.calls == said.calls
    assert told.stop_reason == (REASONS[said.reason] if said.reason else "tool_use" if said.calls else "end_turn")
    usage = told.usage
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == said.counts
    kinds = [block["type"] for block in told.blocks]
    assert kinds.count("server_tool_use") == kinds.count("web_search_tool_result") == said.searches
    citations = [one["url"] for block in told.blocks for one in block.get("citations") or ()]
    assert citations == said.cited


def assert_same_stream(out: bytes, said: Told) -> None:
    """The same of the bytes that a client gets."""
    assert_same(read(out), said)


def framed(file: Path) -> bytes:
    """A recorded stream with the framing that OpenAI gives it."""
    return "".join(f"event: {json.loads(line)['type']}\ndata: {line}\n\n" for line in events(file)).encode()


def events(file: Path) -> list[str]:
    """The events of a recorded stream; of a file that holds several replies, those of the first."""
    lines = documents(file)
    ends = (
        n for n, line in enumerate(lines, 1) if json.loads(line)["type"] in {"response.completed", "response.failed"}
    )
    return lines[: next(ends, len(lines))]


_ALL = [one for folder in FOLDERS for one in found(".chunks.txt", "type", folders=folder)]
STREAMS = [one for one in _ALL if "openai-error" not in str(one.id)]
FAILED = [one for one in _ALL if "openai-error" in str(one.id)]
WHOLE = [one for folder in FOLDERS for one in found(".json", "output", folders=folder)]
