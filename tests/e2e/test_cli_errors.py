"""Errors in every shape that providers give them: what the client is told, and what Claude Code makes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Call, Chat, Http, Raw

from .deviations import chunk, chunks_of, data, sent, stream
from .http_client import CHAT, HELLO, send
from .provider_errors import CASES, FILTERED, FIRST, HTML, openai
from .tool_loop import ToolLoop, answered, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstreams import Recorded

    from .claude import Claude
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("asked", ["whole", "stream"])
@pytest.mark.parametrize("case", CASES)
async def test_an_error_is_told_in_anthropics_words(world: World, case: str, asked: str) -> None:
    reply, told = CASES[case]
    world.chat.use(reply)
    answer = await send(world.url, CHAT, HELLO | {"stream": asked == "stream"})
    error = answer.error()
    assert (answer.status, error["type"]) == (told.status, told.kind)
    assert told.words in error["message"]
    assert "<" not in error["message"]
    assert {name: answer.headers.get(name) for name in told.headers} == told.headers


async def test_a_date_to_try_again_at_is_told_in_seconds(world: World) -> None:
    later = datetime.now(UTC) + timedelta(seconds=50)
    world.chat.use(Http(429, openai("Slow down."), {"retry-after": format_datetime(later, usegmt=True)}))
    answer = await send(world.url, CHAT, HELLO)
    assert 1 <= int(answer.headers["retry-after"]) <= 51


@pytest.mark.parametrize("before", ["nothing", "comments", "the role"])
@pytest.mark.parametrize("case", FIRST)
async def test_an_error_before_anything_was_said_is_an_http_error(world: World, case: str, before: str) -> None:
    body, status, kind = FIRST[case]
    ahead = {
        "nothing": b"",
        "comments": b": OPENROUTER PROCESSING\n\n" * 2,
        "the role": data(chunk({"role": "assistant"})),
    }
    world.chat.use(sent(ahead[before], data(body)))
    answer = await send(world.url, CHAT, HELLO | {"stream": True})
    assert (answer.status, answer.error()["type"]) == (status, kind)


@pytest.mark.parametrize("status", [400, 403])
async def test_a_prompt_that_is_filtered_is_no_matter_of_keys(world: World, status: int) -> None:
    """OpenRouter says 403, for which the client would blame the user's key."""
    flagged = openai("Your input was flagged.", 403, metadata={"reasons": ["violence"], "flagged_input": "…"})
    world.chat.use(Http(status, FILTERED if status == 400 else flagged))
    answer = await send(world.url, CHAT, HELLO)
    if answer.status == 200:
        assert answer.json["stop_reason"] == "refusal"
    else:
        assert (answer.status, answer.error()["type"]) == (400, "invalid_request_error")


# -- the client

# answer → what the client says, and how often it asks
FATAL: dict[str, tuple[Http, int, str, int]] = {
    "401": (CASES["401"][0], 401, "Wrong key.", 1),
    "402": (CASES["402 from OpenRouter"][0], 402, "No money left.", 1),
    "403": (CASES["403"][0], 403, "Not here.", 1),
    "422": (CASES["422 from FastAPI"][0], 400, "body.x.0: Odd", 6),
    "429 for want of money": (CASES["429 for want of money"][0], 402, "No money.", 1),
    "429 for the day": (CASES["429 for the day from OpenRouter"][0], 429, "free-models-per-day", 1),
    "200 with a wrong key": (CASES["200 with a wrong key"][0], 401, "Wrong key", 1),
}


@pytest.mark.parametrize("case", FATAL)
async def test_an_error_that_stays_is_shown_at_once(claude: Claude, world: World, case: str) -> None:
    reply, status, words, asked = FATAL[case]
    world.chat.use(reply)
    run = await claude.run(world.url)
    assert (run.code, run.result["is_error"], run.result["api_error_status"]) == (1, True, status)
    assert words in run.result["result"]
    assert len(world.only(world.chat)) <= asked
    assert not [line for line in run.lines if line.get("subtype") == "api_retry"]


PASSING: dict[str, tuple[Http | Raw, int]] = {
    "429 with seconds": (Http(429, openai("Slow down."), {"retry-after": "1"}), 429),
    "429": (CASES["429"][0], 429),
    "408": (CASES["408"][0], 504),
    "498": (CASES["498 from Groq"][0], 529),
    "500": (CASES["500"][0], 500),
    "502 in HTML": (CASES["502 in HTML"][0], 502),
    "503": (CASES["503 from envoy"][0], 529),
    "529": (CASES["529"][0], 529),
    "200 with an error": (CASES["200 with an error"][0], 502),
    "200 in HTML": (Http(200, HTML, {"content-type": "text/html"}), 502),
    "200 without a body": (Http(200, b"", {"content-type": "text/event-stream"}), 502),
    "an error as the first chunk": (sent(data(openai("All are busy.", 503))), 529),
    "a connection that is reset": (Raw([("headers",), ("abort",)]), 502),
}


@pytest.mark.parametrize("case", PASSING)
async def test_an_error_that_passes_is_waited_out(claude: Claude, world: World, case: str) -> None:
    """In the middle of a task, and as an HTTP error, for which the client waits longest."""
    reply, status = PASSING[case]
    loop = ToolLoop(claude.cwd, lambda chat, _, turn, before: reply if (turn, before) == (1, 0) else chat)
    world.chat.use(by=loop)
    run = await claude.run(world.url)
    loop.assert_done(run)
    retries = [line["error_status"] for line in run.lines if line.get("subtype") == "api_retry"]
    assert retries == [status]
    assert [bool(body.get("stream")) for body in world.only(world.chat)] == [True] * 4


def first_words(reply: Chat) -> list[dict[str, Any]]:
    """The beginning of a reply's text, and no more."""
    return chunks_of(Chat(reply.text))[:2]


MID: dict[str, Callable[[Chat], Raw]] = {
    "an error": lambda reply: sent(*map(data, first_words(reply)), data(openai("It broke.", 500))),
    "an overload": lambda reply: sent(*map(data, first_words(reply)), data(openai("All are busy.", 503))),
    "a finish that is one": lambda reply: stream([*first_words(reply), chunk({}, "error")]),
    "the end": lambda reply: sent(*map(data, first_words(reply))),
    "a reset": lambda reply: sent(*map(data, first_words(reply)), then=[("abort",)]),
}


@pytest.mark.parametrize("case", MID)
async def test_a_reply_that_breaks_off_is_asked_again_whole_and_the_task_goes_on(
    claude: Claude, world: World, case: str
) -> None:
    loop = ToolLoop(
        claude.cwd, lambda chat, _, turn, before: MID[case](chat) if (turn, before) == (1, 0) else chat, reasoning=""
    )
    world.chat.use(by=loop)
    run = await claude.run(world.url)
    loop.assert_done(run)
    assert [bool(body.get("stream")) for body in world.only(world.chat)] == [True, True, False, True]
    loop.assert_results(world.chat.posts[-1].json, same_ids=False)


def cut_call(call: Call, share: float = 0.9, **last: Any) -> list[dict[str, Any]]:
    """A call of which the last of the arguments is missing."""
    text = call.text[: int(len(call.text) * share)]
    opening = {"index": 0, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    return [
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [opening]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}),
    ]


CUT: dict[str, Callable[[list[dict[str, Any]]], Raw]] = {
    "the end": lambda chunks: sent(*map(data, chunks)),
    "a reset": lambda chunks: sent(*map(data, chunks), then=[("abort",)]),
    "an error": lambda chunks: sent(*map(data, chunks), data(openai("It broke.", 500))),
    "[DONE]": stream,
    "the output limit": lambda chunks: stream([*chunks, chunk({}, "length")]),
    "a finish": lambda chunks: stream([*chunks, chunk({}, "tool_calls")]),
}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99], ids=["none", "half", "all but the last"])
@pytest.mark.parametrize("case", CUT)
async def test_a_call_that_was_cut_is_not_run(claude: Claude, world: World, case: str, share: float) -> None:
    """Nor does it stand in the way: the run ends well, with whatever the model says then."""
    path = claude.cwd / "never.txt"
    call = Call("Write", {"file_path": str(path), "content": "never"})
    broken = CUT[case](cut_call(call, share))
    world.chat.use(broken, Chat("I gave up."))
    run = await claude.run(world.url)
    assert run.answer == "I gave up."
    assert not path.exists()
    assert all(json.loads(one["function"]["arguments"]) is not None for one in calls_of(world.only(world.chat)[-1]))


def calls_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [call for message in body["messages"] for call in message.get("tool_calls") or []]


@pytest.mark.parametrize("case", ["the end", "a reset", "an error"])
async def test_a_call_that_was_whole_before_another_was_cut_is_run_once(
    claude: Claude, world: World, case: str
) -> None:
    log = claude.cwd / "log.txt"
    first = Call("Bash", {"command": f"echo once >> {log}; cat {log}", "description": "Log"})
    other = Call("Write", {"file_path": str(claude.cwd / "never.txt"), "content": "never"})
    pieces = cut_call(other)
    for part in (part for one in pieces for part in one["choices"][0]["delta"].get("tool_calls", [])):
        part["index"] = 1
    chunks = [*chunks_of(Chat(tool_calls=[first]))[:-2], *pieces[1:]]

    def script(rec: Recorded) -> Chat | Raw:
        if any(done.name == "Bash" for done in answered(rec.json)):
            return Chat("Logged.")
        return CUT[case](chunks) if rec.json.get("stream") else Chat(tool_calls=[first])

    world.chat.use(by=script)
    run = await claude.run(world.url)
    assert run.answer == "Logged."
    assert log.read_text() == "once\n"
    assert not (claude.cwd / "never.txt").exists()
    results = [text_of(m["content"]) for m in world.only(world.chat)[-1]["messages"] if m["role"] == "tool"]
    assert "once" in results[0]
