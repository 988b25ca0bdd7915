"""What takes more than one request, or more than an answer, to judge."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from e2e.http_client import send
from grammar import events_of

from .expected import Told, judge
from .ops import CLOSE, KEEP, RESET, STALL, Drip, Wait, chunk, chunks, head, sized
from .replies import PROVIDERS, reply
from .stage import BOTH, EVERY
from .table_dialects import FINISH, chat_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ops import Script
    from .stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

ARGUMENTS = {
    "no JSON": "{oops",
    "a list": "[1]",
    "a string": '"a"',
    "two objects": "{}{}",
    "a repeated key": '{"a": 1, "a": 2}',
    "no number": '{"a": NaN}',
    "a large number": '{"a": 1180591620717411303424}',
    "half a pair": '{"a": "\\ud83d"}',
}


@pytest.mark.fault("U-21")
@pytest.mark.parametrize("case", ARGUMENTS)
async def test_arguments_arrive_as_they_were_made(stage: Stage, case: str) -> None:
    """Claude Code itself tells a model that its arguments were no JSON; what it would run is not for us to guess."""
    made = reply("openai_chat", stream=True)
    answer = await stage.ask("openrouter", [made.of(chat_call(0, "a", "Read", ARGUMENTS[case]), FINISH)], stream=True)
    assert answer.status == 200
    deltas = [event["delta"] for event in events_of(answer.body) if event["type"] == "content_block_delta"]
    assert "".join(delta["partial_json"] for delta in deltas) == ARGUMENTS[case]


@pytest.mark.fault("U-27")
@pytest.mark.parametrize("stream", BOTH, ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", EVERY)
async def test_a_connection_that_was_closed_between_requests(stage: Stage, dialect: str, *, stream: bool) -> None:
    """The next request goes out on another, and arrives once."""
    made = reply(dialect, stream=stream)
    for then in (CLOSE, RESET):
        first = await stage.ask(PROVIDERS[dialect], [[*made.whole[:-1], Wait(0.05), then]], stream=stream)
        assert first.status == 200
        await asyncio.sleep(0.1)  # the upstream closes meanwhile, unasked
        assert (await stage.ask(PROVIDERS[dialect], [made.whole], stream=stream)).status == 200
    cases = [attempt.case for attempt in stage.upstream.attempts]
    assert len(cases) == len(set(cases))


@pytest.mark.fault("U-27")
@pytest.mark.parametrize("dialect", EVERY)
async def test_a_connection_that_breaks_when_it_is_used_again(stage: Stage, dialect: str) -> None:
    """It serves once, and is reset when the second request arrives on it: nothing was said, so another is tried."""
    made = reply(dialect, stream=True)
    turns: list[list[Script]] = [[made.whole], [[RESET], made.whole], [made.whole]]
    answers = [await stage.ask(PROVIDERS[dialect], scripts, stream=True) for scripts in turns]
    assert [answer.status for answer in answers] == [200, 200, 200]


@pytest.mark.fault("U-23", "U-24")
@pytest.mark.parametrize("stream", BOTH, ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", EVERY)
async def test_what_comes_unasked_is_nobodys_answer(stage: Stage, dialect: str, *, stream: bool) -> None:
    """An upstream that says more than it was asked would answer the next request before it was sent."""
    made, foreign = reply(dialect, stream=stream), reply(dialect, stream=stream, text="not yours")
    unasked = b"".join(op for op in foreign.whole if isinstance(op, bytes))
    first = await stage.ask(PROVIDERS[dialect], [[*made.whole[:-1], Wait(0.1), unasked, KEEP]], stream=stream)
    assert first.status == 200
    await asyncio.sleep(0.3)
    second = await stage.ask(PROVIDERS[dialect], [made.whole], stream=stream)
    assert second.status == 200
    assert b"alpha-0" in second.body
    assert b"not yours" not in second.body
    await stage.healthy()


@pytest.mark.fault("U-10")
async def test_a_large_answer_a_byte_at_a_time(stage: Stage, record_property: Callable[[str, object], None]) -> None:
    """The time that it takes must not grow with the square of its length."""
    made = reply("openai_chat", stream=True, text="y" * 60_000)
    body = b"".join(made.pieces[:1]) + b"".join(made.pieces[1:])
    before = stage.seconds()
    answer = await stage.ask(
        "openrouter", [[made.head, Drip(b"".join(chunks([body])) + b"0\r\n\r\n", 8), KEEP]], stream=True
    )
    used = stage.seconds() - before
    assert answer.status == 200
    per_megabyte = used / (len(body) / 1e6)
    record_property("figure", f"{per_megabyte:.1f} s of CPU for 1 MB in pieces of 8 bytes")
    assert per_megabyte < 5


@pytest.mark.fault("U-09", "U-17")
async def test_others_are_served_while_one_is_slow(stage: Stage) -> None:
    """A large event and a silent upstream hold up nobody else."""
    made = reply("openai_chat", stream=True)
    slow = asyncio.create_task(stage.ask("openrouter", [[made.head, chunk(made.in_text), STALL]], stream=True))
    large = chunk(made.pieces[0]) + chunk(b": " + b"x" * 10_000_000 + b"\n\n")
    big = asyncio.create_task(
        stage.ask("openrouter", [[made.head, large, *chunks(made.pieces[1:]), b"0\r\n\r\n", KEEP]], stream=True)
    )
    for _ in range(5):
        await stage.healthy("openai_chat", "anthropic")
    assert (await big).status == 200
    assert b"timeout_error" in (await slow).body


@pytest.mark.fault("U-19")
@pytest.mark.parametrize("dialect", EVERY)
async def test_packed_answers_are_not_asked_for(stage: Stage, dialect: str) -> None:
    answer = await stage.ask(PROVIDERS[dialect], [reply(dialect, stream=True).whole], stream=True)
    assert answer.status == 200
    assert b"\r\naccept-encoding: identity\r\n" in stage.upstream.attempts[-1].head.lower()


@pytest.mark.fault("U-24")
async def test_nobody_is_led_to_the_canary(stage: Stage) -> None:
    for dialect in EVERY:
        led = sized(b"{}", status=307, location="http://127.0.0.1:{canary}/v1")
        answer = await stage.ask(PROVIDERS[dialect], [[led, KEEP]], stream=True)
        assert answer.status >= 400
    assert stage.upstream.accepted["canary"] == 0


@pytest.mark.fault("U-25")
async def test_a_refused_key_is_not_told(stage: Stage) -> None:
    """To nobody, and the client need not try it again."""
    made = reply("openai_chat", stream=False)
    answer = await stage.ask("openrouter", [[sized(made.error_body("Bad key.", 401), status=401), KEEP]], stream=False)
    assert answer.status == 401
    assert answer.headers["x-should-retry"] == "false"
    assert "sk-canary" not in json.dumps(answer.json)


@pytest.mark.fault("U-18")
async def test_a_server_that_is_asked_nothing_is_idle(stage: Stage) -> None:
    """No fault has left work behind."""
    before = stage.seconds()
    await asyncio.sleep(0.5)
    assert stage.seconds() - before < 0.25
    assert (await send(stage.url, "/healthz", method="GET")).status == 200


SENT = {"host", "accept-encoding", "accept", "content-type", "content-length", "user-agent"}
KEY_OF = {
    "openai_chat": "authorization",
    "openai_responses": "authorization",
    "gemini": "x-goog-api-key",
    "ollama": "",
    "anthropic": "x-api-key",
}
FROM_CLIENTS = {
    "cookie": "a=b",
    "authorization": "Bearer client-secret",
    "x-forwarded-for": "6.6.6.6",
    "forwarded": "for=6.6.6.6",
    "connection": "x-private",
    "x-private": "secret",
    "proxy-authorization": "Basic secret",
    "te": "trailers",
    "referer": "http://elsewhere.test/",
}


@pytest.mark.fault("S-14", "S-12")
@pytest.mark.parametrize("dialect", EVERY)
async def test_headers_go_on_by_name(stage: Stage, dialect: str) -> None:
    """Neither what a client sends along nor what a proxy adds."""
    made = reply(dialect, stream=False)
    answer = await stage.ask(PROVIDERS[dialect], [made.whole], stream=False, headers=FROM_CLIENTS)
    assert answer.status == 200
    lines = stage.upstream.attempts[-1].head.decode().lower().split("\r\n")[1:]
    sent = {name for line in lines if (name := line.partition(":")[0])}
    own = {name for name in sent if name.startswith(("anthropic-", "x-claude-code-", "http-referer", "x-title"))}
    assert sent - own <= SENT | {KEY_OF[dialect]}
    assert "client-secret" not in "".join(lines)


@pytest.mark.fault("S-14", "S-13")
@pytest.mark.parametrize("stream", BOTH, ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", EVERY)
async def test_headers_come_back_by_name(stage: Stage, dialect: str, *, stream: bool) -> None:
    made = reply(dialect, stream=stream)
    more = {"set-cookie": "a=b", "access-control-allow-origin": "*", "location": "http://elsewhere.test", "server": "x"}
    told = head(200, {"content-type": made.media_type, "content-length": str(len(made.body)), **more}) + made.body
    answer = await stage.ask(PROVIDERS[dialect], [[told, KEEP]], stream=stream)
    assert answer.status == 200
    got = {name.lower(): value for name, value in answer.headers.items()}
    assert not {"set-cookie", "access-control-allow-origin", "location"} & set(got)
    assert got.get("server") != "x"


@pytest.mark.fault("S-13")
@pytest.mark.parametrize("stream", BOTH, ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", EVERY)
async def test_what_a_model_says_is_no_event(stage: Stage, dialect: str, *, stream: bool) -> None:
    text = "a\n\nevent: message_stop\ndata: {}\n\r\n\rdata: [DONE]\n\n: b"
    answer = await stage.ask(PROVIDERS[dialect], [reply(dialect, stream=stream, text=text).whole], stream=stream)
    assert answer.status == 200
    judge(answer, Told(text), stream=stream)
