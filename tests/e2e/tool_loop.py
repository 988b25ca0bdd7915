"""A task that takes tools: read every file, write what stood there elsewhere, and answer.

The script goes by the history that it is sent, so a request that is repeated is answered as it was, and what is
written is what came back from reading: a result that got lost is a file that is wrong.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upstreams import Call, Chat, Http, Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from upstreams import Recorded

    from .claude import Run

CONTENT = 'größer 😀 "quoted" \\ back\n\tindented <b>&amp;</b> {n}\n\n{"json": [1, null]}\n'
THOUGHT, READING, WRITING, DONE = "Ich prüfe 😀.", "Reading größer.", "Writing it down.", "All done: größer 😀."
LIMIT = 20
NUMBERED = re.compile(r"^ *\d+\t(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Answered:
    """A call as the history tells it, and its result."""

    id: str
    name: str
    arguments: dict[str, Any]
    result: str

    @property
    def path(self) -> str:
        """The file it was about."""
        return str(self.arguments.get("file_path"))


def text_of(content: Any) -> str:
    """Give the text of a message's content, string or parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def answered(body: dict[str, Any]) -> list[Answered]:
    """Give the calls of a request that have a result, in order; in a chat an id counts for its own turn only."""
    out: list[Answered] = []
    if "input" in body:  # of a Responses API
        asked = {item["call_id"]: item for item in body["input"] if item["type"] == "function_call"}
        for item in body["input"]:
            if item["type"] == "function_call_output":
                called = asked[item["call_id"]]
                arguments = json.loads(called["arguments"])
                out.append(Answered(item["call_id"], called["name"], arguments, text_of(item["output"])))
        return out
    calls: dict[str, dict[str, Any]] = {}
    for message in body["messages"]:
        if message["role"] == "assistant":
            calls = {call["id"]: call["function"] for call in message.get("tool_calls") or []}
        elif message["role"] == "tool":
            called, ident = calls[message["tool_call_id"]], message["tool_call_id"]
            out.append(Answered(ident, called["name"], json.loads(called["arguments"]), text_of(message["content"])))
    return out


@dataclass
class ToolLoop:
    """The script of one run in `folder`.

    `render` writes each reply, and is told which turn (0, 1, 2) it is and how often it was asked for before.
    `ids` makes the ids of calls from a running number. `also` is called beside the first reads.
    """

    folder: Path
    render: Callable[[Chat, Recorded, int, int], Http | Raw | Chat] = lambda reply, *_: reply
    ids: Callable[[int], str] = "call_{:024d}".format
    names: Sequence[str] = ("one", "two")
    also: Sequence[Call] = ()
    reasoning: str = THOUGHT
    sent: list[Call] = field(default_factory=list)
    asked: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for name in self.names:
            self.source(name).write_text(self.content(name))

    def content(self, name: str) -> str:
        """What stands in the source of this name."""
        return CONTENT.replace("{n}", name)

    def source(self, name: str) -> Path:
        """The file that is there."""
        return self.folder / f"{name}.txt"

    def target(self, name: str) -> Path:
        """The file that is written."""
        return self.folder / f"{name}-copy.txt"

    def __call__(self, rec: Recorded) -> Http | Raw | Chat:
        known = {(call.name, call.path): call for call in answered(rec.json)}
        unread = [name for name in self.names if ("Read", str(self.source(name))) not in known]
        unwritten = [name for name in self.names if ("Write", str(self.target(name))) not in known]
        if unread:
            turn, text = 0, READING
            calls = [self._call("Read", file_path=str(self.source(name)), limit=LIMIT) for name in unread]
            calls += self.also
        elif unwritten:
            turn, text, calls = 1, WRITING, []
            for name in unwritten:
                lines = NUMBERED.findall(known["Read", str(self.source(name))].result)
                calls.append(self._call("Write", file_path=str(self.target(name)), content="\n".join(lines)))
        else:
            turn, text, calls = 2, DONE, []
        before = self.asked[turn]
        self.asked[turn] += 1
        return self.render(Chat(text, calls, reasoning=self.reasoning), rec, turn, before)

    def _call(self, name: str, **arguments: Any) -> Call:
        call = Call(name, arguments, self.ids(len(self.sent)))
        self.sent.append(call)
        return call

    def assert_done(self, run: Run) -> None:
        """The run ended well, and the files are there."""
        assert run.answer == DONE
        assert run.result["terminal_reason"] == "completed"
        for name in self.names:
            assert self.target(name).read_text() == self.content(name)

    def assert_results(self, body: dict[str, Any], *, same_ids: bool) -> None:
        """The upstream was sent every result under its own id."""
        calls = answered(body)
        if same_ids:
            sent = {(call.name, json.dumps(call.arguments, sort_keys=True)): call.id for call in self.sent}
            told = {(call.name, json.dumps(call.arguments, sort_keys=True)): call.id for call in calls}
            assert {key: told.get(key) for key in sent} == sent
        read = {call.path: call.result for call in calls if call.name == "Read"}
        for name in self.names:
            assert f"indented <b>&amp;</b> {name}" in read[str(self.source(name))]
        written = {call.path: call.result for call in calls if call.name == "Write"}
        assert all(name in written[str(self.target(name))] for name in self.names)
