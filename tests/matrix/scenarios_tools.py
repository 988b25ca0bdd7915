"""Scenarios of one conversation: answers, tools, files, searches."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from upstreams import Call

from .cells import scenario
from .dialect import Page, Said
from .files import MCP, PDF_TEXT, pdf, png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.claude import Run

    from .cells import Stage
    from .dialect import Body


def assert_paired(stage: Stage, calls: Sequence[Call]) -> dict[str, str]:
    """The last request holds these calls with their arguments, each with its result. Gives the results."""
    told = stage.dialect.answered(stage.dialect.bodies[-1])
    ours = {call.id: (call.name, call.arguments) for call in calls}
    assert {one.id: (one.name, one.arguments) for one in told} == ours
    return {one.id: one.result for one in told}


def shown(run: Run) -> str:
    """What the user is shown of the tools' results."""
    return str(run.blocks("tool_result"))


@scenario("an answer")
async def hello(stage: Stage) -> None:
    stage.dialect.use(Said("Hello from far away, größer.", thought="Be kind."))
    run = await stage.run(prompt="Say the word plover.")
    assert run.answer == "Hello from far away, größer."
    assert [block["thinking"] for block in run.blocks("thinking")] == ["Be kind."]
    [body] = stage.dialect.bodies
    assert "Say the word plover." in stage.dialect.text(body)
    assert {"Bash", "Read", "Write"} <= set(stage.dialect.tools(body))


@scenario("Read, Edit, Write, Bash")
async def tools(stage: Stage) -> None:
    (stage.cwd / "a.txt").write_text("alpha\nbeta\n")
    read = Call("Read", {"file_path": stage.file("a.txt")})
    edit = Call(
        "Edit", {"file_path": stage.file("a.txt"), "old_string": "beta", "new_string": "größer", "replace_all": False}
    )
    write = Call("Write", {"file_path": stage.file("b.txt"), "content": "new \u2028 line\n"})
    bash = Call("Bash", {"command": "cat a.txt | wc -l; echo from-$((40 + 2))", "description": "Count"})
    calls = [read, edit, write, bash]
    stage.dialect.use(*(Said(f"Step {n}.", [call], f"Thought {n}.") for n, call in enumerate(calls)), Said("All done."))
    run = await stage.run()
    assert run.answer == "All done."
    assert (stage.cwd / "a.txt").read_text() == "alpha\ngrößer\n"
    assert (stage.cwd / "b.txt").read_text() == "new \u2028 line\n"
    assert "from-42" in shown(run)
    assert [block["text"] for block in run.blocks("text")][:4] == [f"Step {n}." for n in range(4)]
    results = assert_paired(stage, calls)
    assert "alpha" in results[read.id]
    assert "from-42" in results[bash.id]


@scenario("three calls at once, results in another order")
async def parallel(stage: Stage) -> None:
    calls = [
        Call("Bash", {"command": f"sleep {wait}; echo out-{name}-$((1 + 1))", "description": name})
        for name, wait in (("slow", 0.6), ("middle", 0.3), ("fast", 0))
    ]
    stage.dialect.use(Said("All three.", calls), Said("Three results."))
    run = await stage.run()
    assert run.answer == "Three results."
    assert [block["input"] for block in run.blocks("tool_use")] == [call.arguments for call in calls]
    results = assert_paired(stage, calls)
    assert [results[call.id].strip() for call in calls] == ["out-slow-2", "out-middle-2", "out-fast-2"]


@scenario("a subagent")
async def subagent(stage: Stage) -> None:
    task = {"description": "Look", "prompt": "Say plover.", "subagent_type": "general-purpose"}
    call = Call("Agent", {**task, "run_in_background": False})
    stage.dialect.use(Said(calls=[call]), Said("The subagent says plover."), Said("It said plover."))
    run = await stage.run()
    assert run.answer == "It said plover."
    _, inner, _ = stage.dialect.bodies
    assert "Say plover." in stage.dialect.text(inner)
    assert "The subagent says plover." in assert_paired(stage, [call])[call.id]


@scenario("an MCP tool found through tool search")
async def mcp(stage: Stage) -> str | None:
    (stage.cwd / "house.py").write_text(MCP)
    servers = {"mcpServers": {"house": {"command": sys.executable, "args": [stage.file("house.py")]}}}
    search = Call("ToolSearch", {"query": "select:mcp__house__greet", "max_results": 1})
    greet = Call("mcp__house__greet", {"name": "Ada"})
    stage.dialect.use(Said(calls=[search]), Said(calls=[greet]), Said("Greeted."))
    run = await stage.run("--mcp-config", json.dumps(servers))
    assert run.answer == "Greeted."
    assert "Good day, Ada!" in assert_paired(stage, [search, greet])[greet.id]
    first, second, third = (stage.dialect.tools(body) for body in stage.dialect.bodies)
    assert greet.name not in first
    assert second == third
    note = stage.dialect.notes.get("late tools")
    assert (sorted(second) == sorted([*first, greet.name])) if note else (second == [*first, greet.name])
    return note


@scenario("an image")
async def image(stage: Stage) -> None:
    (stage.cwd / "red.png").write_bytes(png())
    read = Call("Read", {"file_path": stage.file("red.png")})
    stage.dialect.use(Said(calls=[read]), Said("It is red."))
    run = await stage.run()
    assert run.answer == "It is red."
    assert_paired(stage, [read])
    assert stage.dialect.media(stage.dialect.bodies[-1]) == ["image/png"]


@scenario("a PDF")
async def document(stage: Stage) -> str | None:
    (stage.cwd / "bird.pdf").write_bytes(pdf())
    read = Call("Read", {"file_path": stage.file("bird.pdf")})
    stage.dialect.use(Said(calls=[read]), Said("A wader."))
    run = await stage.run()
    assert run.answer == "A wader."
    assert_paired(stage, [read])
    body = stage.dialect.bodies[-1]
    if stage.dialect.reads_pdf:
        assert stage.dialect.media(body) == ["application/pdf"]
        return None
    assert stage.dialect.media(body) == []
    assert PDF_TEXT in stage.dialect.text(body)
    return "The text of a PDF, without its pictures."


PAGES = [Page("https://birds.test/plover", "Plovers"), Page("https://waders.test/", "Waders")]


@scenario("web search")
async def web_search(stage: Stage) -> str | None:
    search = Call("WebSearch", {"query": "plover facts"})

    def script(body: Body) -> Said:
        if stage.dialect.is_search(body):
            return Said("A plover is a wader.", found=PAGES if stage.dialect.searches else ())
        return Said("It is a wader.") if stage.dialect.answered(body) else Said(calls=[search])

    stage.dialect.use(by=script)
    run = await stage.run()
    assert run.answer == "It is a wader."
    told = assert_paired(stage, [search])[search.id]
    if stage.dialect.searches:
        assert "A plover is a wader." in told
        assert all(found.url in told for found in PAGES)
        return None
    note = stage.dialect.notes["web search"]
    assert ("not available" in told) != ("A plover is a wader." in told)
    return note


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"bird": {"type": "string"}, "legs": {"type": "integer"}},
    "required": ["bird", "legs"],
    "additionalProperties": False,
}


@scenario("an answer in a schema (`--json-schema`)")
async def json_schema(stage: Stage) -> None:
    call = Call("StructuredOutput", {"bird": "plover", "legs": 2})
    stage.dialect.use(Said(calls=[call]), Said("Done."))
    run = await stage.run("--json-schema", json.dumps(SCHEMA))
    assert run.code == 0
    assert run.result["structured_output"] == call.arguments
    assert "StructuredOutput" in stage.dialect.tools(stage.dialect.bodies[0])
