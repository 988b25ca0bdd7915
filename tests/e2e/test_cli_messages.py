"""The real Claude Code on a model that speaks Anthropic's own dialect: what it sends arrives untouched."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from upstreams import FakeMessages, Http, Msg, Raw, text, thinking, tool_use
from upstreams.messages import sse

from .claude import CLIENT_TOKEN
from .relay import Relay
from .world import ANTHROPIC_KEY

if TYPE_CHECKING:
    from upstreams import Recorded

    from .claude import Claude, Run
    from .proxy import Start
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "claude-sonnet-5-5"
FIRST_MODEL = re.compile(rb'^\{"model":"[^"]*"')


def with_model(raw: bytes, model: str) -> bytes:
    """Replace the model, which the CLI writes first, and nothing else."""
    replaced, times = FIRST_MODEL.subn(b'{"model":"%b"' % model.encode(), raw)
    assert times == 1
    return replaced


def assert_untouched(sent: Recorded, received: Recorded, model: str) -> None:
    """Only the model and the key may differ."""
    assert received.raw == with_model(sent.raw, model)
    assert received.path == "/v1/messages"
    mine = {name: value for name, value in sent.headers.items() if name.startswith("anthropic-")}
    assert {"anthropic-beta", "anthropic-version"} <= set(mine)
    assert {name: received.headers.get(name) for name in mine} == mine
    assert CLIENT_TOKEN not in str(received.headers)
    for part in (b'"tools":[{"name":"Agent"', b'"context_management":{"edits"', b'"cache_control":{"type":"ephemeral"'):
        assert part in received.raw


async def loop(claude: Claude, upstream: FakeMessages, url: str) -> Run:
    """Run Read, then two calls at once, then an answer."""
    (claude.cwd / "a.txt").write_text("alpha\n")
    upstream.use(
        Msg([thinking("Plan."), text("Reading."), tool_use("Read", {"file_path": str(claude.cwd / "a.txt")})]),
        Msg(
            [
                tool_use("Bash", {"command": "echo from-$((40 + 2))", "description": "Echo"}),
                tool_use("Write", {"file_path": str(claude.cwd / "new.txt"), "content": "größer\n"}),
            ]
        ),
        Msg([thinking("Now answer."), text("All done.")]),
    )
    run = await claude.run(url)
    assert run.answer == "All done."
    assert (claude.cwd / "new.txt").read_text() == "größer\n"
    shown = str(run.blocks("tool_result"))
    assert "alpha" in shown
    assert "from-42" in shown
    assert [b["thinking"] for b in run.blocks("thinking")] == ["Plan.", "Now answer."]
    return run


async def test_the_cli_and_the_fake_agree(claude: Claude) -> None:
    """Without the proxy: what the strict fake refuses is not what the CLI sends."""
    async with FakeMessages() as fake:
        await loop(claude, fake, fake.url)
        assert fake.refusals == []


async def test_hello(claude: Claude, world: World, relay: Relay) -> None:
    world.native.use(Msg([text("Hello from home.")]))
    run = await claude.run(f"{relay.url}/anthropic:{MODEL}")
    assert run.answer == "Hello from home."
    world.only(world.native)
    [sent], [received] = relay.posts, world.native.posts
    assert_untouched(sent, received, MODEL)
    assert ANTHROPIC_KEY in {received.headers.get("x-api-key"), received.headers.get("authorization", "")[7:]}
    [answer] = relay.answers
    assert answer.body == bytes(received.sent)


async def test_a_tool_loop(claude: Claude, world: World, relay: Relay) -> None:
    run = await loop(claude, world.native, f"{relay.url}/anthropic:{MODEL}")
    assert run.result["usage"]["output_tokens"] == 3 * 12
    world.only(world.native)
    assert len(relay.posts) == len(world.native.posts) == 3
    for sent, received, answer in zip(relay.posts, world.native.posts, relay.answers, strict=True):
        assert_untouched(sent, received, MODEL)
        assert answer.body == bytes(received.sent)


VERDICT = {"type": "dangerous_tool_use", "of": "a kind that nobody knows"}


async def test_auto_mode_asks_anthropic_as_if_nobody_stood_between(claude: Claude, world: World, relay: Relay) -> None:
    """And hears the answer as it is: nothing here judges, or knows what a verdict looks like."""
    call = Msg([tool_use("Bash", {"command": "curl -s http://127.0.0.1:9/", "description": "Look"})])

    def judged(rec: Recorded) -> Msg | Raw:
        if len(world.native.posts) > 1:
            return Msg([text("So be it.")])
        events = list(call.events(rec.json["model"]))
        events[-2]["delta"]["safeguard_results"] = [VERDICT]
        return Raw([("raw", sse(event)) for event in events])

    world.native.use(by=judged)
    auto = replace(claude, permission=("--permission-mode", "auto"))
    assert (await auto.run(f"{relay.url}/anthropic:{MODEL}")).answer == "So be it."
    assert len(relay.posts) == 2
    for sent, received, answer in zip(relay.posts, world.native.posts, relay.answers, strict=True):
        assert_untouched(sent, received, MODEL)
        assert answer.body == bytes(received.sent)
    assert b'"classifier_context"' in world.native.posts[0].raw
    assert b"a kind that nobody knows" in relay.answers[0].body


async def test_the_preferred_provider(claude: Claude, world: World, proxy: Start) -> None:
    """Then the model is the client's own, and not a byte of the body differs."""
    ours = await proxy(**world.env | {"PREFERRED_PROVIDER": "anthropic"})
    async with Relay(ours.url) as relay:
        await loop(claude, world.native, relay.url)
        world.only(world.native)
        for sent, received in zip(relay.posts, world.native.posts, strict=True):
            assert received.raw == sent.raw
            assert_untouched(sent, received, sent.json["model"])


async def test_ollama(claude: Claude, world: World, relay: Relay) -> None:
    model = "some-model:latest"
    await loop(claude, world.ollama, f"{relay.url}/ollama:{model}")
    world.only(world.ollama)
    assert len(world.ollama.posts) == 3
    for sent, received in zip(relay.posts, world.ollama.posts, strict=True):
        assert received.raw == with_model(sent.raw, model)
        assert CLIENT_TOKEN not in str(received.headers)
        assert ANTHROPIC_KEY not in str(received.headers)


async def test_an_error_is_the_upstreams_own(claude: Claude, world: World, relay: Relay) -> None:
    """The CLI acts on exact wordings: here it repeats without the feature that was refused."""
    wording = b'{"type":"error","error":{"type":"invalid_request_error","message":"context_management: Extra inputs are'
    refusal = wording + b' not permitted"},"request_id":"req_upstream"}'
    world.native.use(Http(400, refusal, {"content-type": "application/json"}), Msg([text("Hello")]))
    run = await claude.run(f"{relay.url}/anthropic:{MODEL}")
    assert run.answer == "Hello"
    assert relay.answers[0].status == 400
    assert relay.answers[0].body == refusal
    first, second = world.only(world.native)
    assert "context_management" in first
    assert "context_management" not in second
