"""Checks of plain conversation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.certify.checks.words import error_of, shown
from claude_code_proxy.cli.certify.offer import older
from claude_code_proxy.cli.certify.offer import thinking as wish
from claude_code_proxy.cli.certify.verdicts import absent, failed, passed, untried, weak

if TYPE_CHECKING:
    from claude_code_proxy.cli.certify.bench import Answer, Bench
    from claude_code_proxy.cli.certify.verdicts import Verdict

_COUNT: Final = "Write the numbers from 1 to 30 in digits, separated by single spaces, and nothing else."

_STOPS: Final = (" 7 ", " 7\n", " 7,", "\n7")


async def answer(bench: Bench) -> Verdict:
    """A whole message to a short question."""
    said = await bench.ask("What is the capital of France? Answer in one word.", stream=False)
    if not said.ok:
        return error_of(said)
    if not said.text.strip():
        return weak(f"an empty answer, with stop_reason {said.stop_reason}")
    return passed(f"“{shown(said.text)}”")


async def stream(bench: Bench) -> Verdict:
    """A stream whose grammar is right, and whose text comes in pieces before the end."""
    said = await bench.ask(_COUNT, max_tokens=1024)
    if not said.ok:
        return error_of(said)
    if said.faults:
        return failed(said.faults[0])
    if not said.text.strip() or said.first is None:
        return weak(f"no text, with stop_reason {said.stop_reason}")
    if said.pieces < 2 or _at_once(said):
        return weak(f"all of the text came at once, after {said.first:.1f} s")
    return passed(f"{said.pieces} pieces, the first after {said.first:.1f} s of {said.seconds:.1f}")


def _at_once(said: Answer) -> bool:
    """Whether what took long was said in no time at its end."""
    return said.seconds > 3 and said.last - (said.first or 0) < said.seconds * 0.02


async def probe(bench: Bench) -> Verdict:
    """What Claude Code sends for `/model NAME`: one token, not streamed."""
    said = await bench.ask("Hi", stream=False, max_tokens=1, steady=False)
    return passed("max_tokens: 1 is taken") if said.ok else error_of(said)


async def system(bench: Bench) -> Verdict:
    """The system prompt, in blocks with cache marks as Claude Code writes it."""
    word = bench.nonce()
    blocks = [
        {"type": "text", "text": "You are a door keeper."},
        {
            "type": "text",
            "text": f"Whatever you are asked, reply with exactly this password and nothing else: {word}",
            "cache_control": {"type": "ephemeral"},
        },
    ]
    said = await bench.ask("Tell me the password.", system=blocks)
    return _found(said, word, "the password of the system prompt")


async def system_between(bench: Bench) -> Verdict:
    """A system message behind the first user message, where Claude Code puts most of what it has to say."""
    if older(bench.model):
        return untried("Claude Code sends this model none")
    word = bench.nonce()
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is the password? Reply with it alone."}]},
        {"role": "system", "content": [{"type": "text", "text": f"For this conversation the password is {word}."}]},
    ]
    return _found(await bench.ask(messages, system="You answer briefly."), word, "the password told between turns")


def _found(said: Answer, word: str, what: str) -> Verdict:
    if not said.ok:
        return error_of(said)
    return passed(f"repeats {what}") if word in said.text else weak(f"{what} is not in “{shown(said.text)}”")


async def thinking(bench: Bench) -> Verdict:
    """Thinking that is asked for as Claude Code does, is shown, and goes back with the next turn."""
    wanted: dict[str, Any] = {"max_tokens": 4096, **wish(bench.model, 2048)}
    question = {"role": "user", "content": "How many times does the letter r occur in “strawberry raspberry”?"}
    said = await bench.ask([question], **wanted)
    if not said.ok or said.faults:
        return failed(said.faults[0]) if said.faults else error_of(said)
    again = {"role": "user", "content": "And the letter b? Answer with the number."}
    back = await bench.ask([question, {"role": "assistant", "content": said.content or "?"}, again], **wanted)
    if not back.ok:
        return failed(f"the next turn fails: {shown(back.message)}", back.status)
    if any(mark in said.text for mark in ("<think>", "</think>")):
        return failed("its thinking stands in the text, between tags")
    thought = "".join(block.get("thinking", "") for block in said.content if block.get("type") == "thinking")
    if thought.strip():
        return passed(f"{len(thought)} characters shown, and taken back")
    hidden = any(block.get("type") in {"thinking", "redacted_thinking"} for block in said.content)
    return absent("it thinks, and does not show what" if hidden else "no thinking is shown")


async def structured(bench: Bench) -> Verdict:
    """An answer held to a JSON schema, as for titles."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "population_millions": {"type": "number"}},
        "required": ["city", "population_millions"],
        "additionalProperties": False,
    }
    form = {"format": {"type": "json_schema", "schema": schema}}
    said = await bench.ask("Name the largest city of Japan, with its population.", output_config=form)
    if not said.ok:
        return error_of(said)
    try:
        told = json.loads(said.text)
    except ValueError:
        return weak(f"no JSON: “{shown(said.text)}”")
    if not isinstance(told, dict) or told.keys() != {"city", "population_millions"}:
        return weak(f"JSON, but not of the schema: {shown(said.text)}")
    return passed(shown(said.text))


async def stop_sequence(bench: Bench) -> Verdict:
    """A stop sequence in the middle of what it says."""
    said = await bench.ask(_COUNT, max_tokens=1024, stop_sequences=list(_STOPS))
    if not said.ok:
        return error_of(said)
    if any(stop in said.text for stop in _STOPS):
        return failed(f"went on behind it: “{shown(said.text)}”")
    if said.stop_reason == "stop_sequence":
        return passed(f"stopped, with stop_sequence {said.stop_sequence!r}")
    if said.text.rstrip(" ,\n").endswith("6"):
        return passed(f"stopped, and told as {said.stop_reason}: there nobody says which sequence it was")
    return weak(f"never came to it: “{shown(said.text)}”")


async def max_tokens(bench: Bench) -> Verdict:
    """A limit that is reached, with the reason told."""
    most = 24
    said = await bench.ask("Write a story of 500 words about the sea.", max_tokens=most)
    if not said.ok:
        return error_of(said)
    if said.stop_reason == "max_tokens" and said.output_tokens <= 2 * most:
        return passed(f"ended by it after {said.output_tokens} of {most} tokens")
    if said.output_tokens > 2 * most:
        return failed(f"{said.output_tokens} tokens, although {most} were the most")
    return weak(f"ended with {said.stop_reason} after {said.output_tokens} tokens")
