"""Scenarios of long conversations, and of upstreams that fail or are no longer wanted."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.claude import ended
from upstreams import Call, Http

from .cells import scenario
from .dialect import Said
from .terminal import ESCAPE, interactive

if TYPE_CHECKING:
    from upstreams import Raw, Recorded

    from .cells import Stage
    from .dialect import Body

SUMMARY = "<analysis>Short.</analysis>\n<summary>\n1. The word was plover.\n</summary>"
ANSWER = "All three rounds are done."
UNKNOWN = ("--model", "house-model-7b")
"""A model that the client assumes nothing about."""

SOON = 5.0
"""Seconds until an upstream must be left alone, on a machine that has other things to do."""


@dataclass
class Rounds:
    """A model that runs three commands, and then is told to compact, whoever tells so.

    `refusal` is what its server says to more, until it is less; `used` are the tokens that it tells after it.
    """

    stage: Stage
    refusal: Http | None = None
    used: int = 0
    compactions: int = 0
    rounds: int = 0
    full: bool = False

    def __call__(self, body: Body) -> Said | Http | Raw:
        last = self.stage.dialect.last(body)
        if "summary of the conversation" in last or "<analysis>" in last:
            self.compactions += 1
            self.full = False
            return Said(SUMMARY)
        if self.full and self.refusal:
            return self.refusal
        if self.rounds == 3:
            return Said(ANSWER)
        self.rounds += 1
        self.full = self.rounds == 3
        call = Call("Bash", {"command": f"echo round-$(({self.rounds} + 40))", "description": "Echo"})
        return Said(calls=[call], used=self.used if self.full and self.used else 100)


async def assert_compacts(stage: Stage, rounds: Rounds) -> None:
    """The client asked for a summary, and went on with that."""
    stage.dialect.use(by=rounds)
    run = await stage.run(*UNKNOWN)
    assert run.answer == ANSWER
    assert rounds.compactions == 1
    assert any(line.get("subtype") == "compact_boundary" for line in run.lines)
    last = stage.dialect.bodies[-1]
    assert "The word was plover." in stage.dialect.text(last)
    assert len(stage.dialect.answered(last)) < 3  # the rest is in the summary


@scenario("compaction when the upstream refuses the prompt as too long")
async def reactive(stage: Stage) -> None:
    await assert_compacts(stage, Rounds(stage, stage.dialect.too_long))


@scenario("compaction in time, by the usage that is told")
async def proactive(stage: Stage) -> None:
    roomy = stage.with_env(CLAUDE_CODE_MAX_CONTEXT_TOKENS="131072")
    await assert_compacts(roomy, Rounds(roomy, used=120_000))


@scenario("a conversation that goes on (`--continue`)")
async def continued(stage: Stage) -> None:
    call = Call("Bash", {"command": "echo one-$((1 + 1))", "description": "Echo"})
    stage.dialect.use(Said("Looking.", [call], "Hm."), Said("First."), Said("Second."))
    assert (await stage.run(prompt="What is one?")).answer == "First."
    assert (await stage.run("--continue", prompt="And two?")).answer == "Second."
    _, before, after = stage.dialect.bodies
    [told] = stage.dialect.answered(after)
    assert (told.id, told.result.strip()) == (call.id, "one-2")
    text = stage.dialect.text(after)
    assert text.index("What is one?") < text.index("First.") < text.index("And two?")
    assert stage.dialect.tools(before) == stage.dialect.tools(after)


@scenario("`/compact`")
async def compact(stage: Stage) -> None:
    stage.dialect.use(Said("First."), Said(SUMMARY), Said("Third."))
    assert (await stage.run(prompt="Remember the word.")).answer == "First."
    done = await stage.run("--continue", prompt="/compact")
    assert done.code == 0
    assert any(line.get("subtype") == "compact_boundary" for line in done.lines)
    assert (await stage.run("--continue", prompt="Which word?")).answer == "Third."
    _, asked, after = stage.dialect.bodies
    assert "Remember the word." in stage.dialect.text(asked)
    assert "The word was plover." in stage.dialect.text(after)


async def silent(stage: Stage) -> Recorded:
    """Wait for a request whose answer has begun, and is not going on."""
    fake = stage.dialect.fake
    while not stage.dialect.asked:
        await fake.arrival(len(fake.requests) + 1)
    asked = stage.dialect.asked[0]
    await asked.until_silent()
    return asked


@scenario("an interrupt (Esc, or SIGINT without a terminal) ends the upstream's work")
async def interrupt(stage: Stage) -> None:
    tale = stage.dialect.reply(Said("Once upon a time there was a plover, and it went on and on."))
    stage.dialect.fake.use(by=stage.dialect.fake.cut(tale, 5, ("silence",)))
    process = await stage.claude.start(stage.url)
    asked = await silent(stage)
    before = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    assert await asked.until_left() - before < SOON
    run = await ended(process)  # with a result or without, as far as it had come
    assert all(line["is_error"] for line in run.lines if line["type"] == "result")
    assert len(stage.dialect.asked) == 1

    stage.dialect.fake.use(by=stage.dialect.fake.cut(tale, 5, ("silence",)))
    async with interactive(stage.claude, stage.url, "Tell a tale.") as press:
        asked = await silent(stage)
        before = time.monotonic()
        press(ESCAPE)
        assert await asked.until_left() - before < SOON


@scenario("another model when the first is missing or overloaded (`--fallback-model`)")
async def fallback(stage: Stage) -> None:
    dialect = stage.dialect
    patient = stage.with_env(CLAUDE_CODE_MAX_RETRIES="3")
    dialect.use(Said("The first one answers."))
    run = await patient.claude.run(stage.server, "--model", dialect.wish)
    assert run.answer == "The first one answers."
    first = dialect.bodies[0]["model"]
    for status in (404, 529):
        refusal = dialect.failing(status, "It is not here.")

        def script(body: Body, refusal: Http = refusal) -> Said | Http:
            return refusal if body["model"] == first else Said("The other one answers.")

        dialect.use(by=script)
        run = await patient.claude.run(stage.server, "--model", dialect.wish, "--fallback-model", dialect.second)
        assert run.answer == "The other one answers."
        assert any(line.get("subtype") == "model_fallback" for line in run.lines), status
