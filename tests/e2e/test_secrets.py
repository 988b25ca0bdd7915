"""Keys stay with their owners, and the log tells what happened without telling what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Chat, FakeChat, FakeMessages, Http, Msg, text

from .claude import CLIENT_TOKEN
from .http_client import HELLO, Answer, send
from .world import ANTHROPIC_KEY, OPENAI_KEY, OPENROUTER_KEY, SECRETS

if TYPE_CHECKING:
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = "canary-prompt-plover"
ANSWER = "canary-answer-xyzzy"
BODY: dict[str, Any] = HELLO | {"messages": [{"role": "user", "content": PROMPT}], "system": f"{PROMPT}-system"}
BOTH = {"authorization": f"Bearer {CLIENT_TOKEN}", "cookie": f"session={CLIENT_TOKEN}"}

OWNERS = {
    "/openai:gpt-4.1": ("chat", OPENAI_KEY),
    "/openrouter:qwen/model": ("router", OPENROUTER_KEY),
    "/anthropic:claude-sonnet-5-5": ("native", ANTHROPIC_KEY),
    "/ollama:model": ("ollama", ""),
}


def answering(world: World, name: str) -> FakeChat | FakeMessages:
    upstream: FakeChat | FakeMessages = getattr(world, name)
    if isinstance(upstream, FakeChat):
        upstream.use(Chat(ANSWER))
    else:
        upstream.use(Msg([text(ANSWER)]))
    return upstream


def assert_silent(world: World, *answers: Answer) -> None:
    """No secret in the log or the answers, and nothing that was said in the log."""
    log = "\n".join(world.proxy.log.lines)
    for hidden in (*SECRETS, CLIENT_TOKEN, PROMPT, ANSWER):
        assert hidden not in log
    for answer in answers:
        for hidden in (*SECRETS, CLIENT_TOKEN):
            assert hidden not in f"{answer.headers} {answer.body!r}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("base", OWNERS)
@pytest.mark.fault("S-09", "S-12")
async def test_each_key_goes_to_its_own_place(world: World, base: str, *, stream: bool) -> None:
    name, key = OWNERS[base]
    upstream = answering(world, name)
    answer = await send(world.url, f"{base}/v1/messages", BODY | {"stream": stream}, **BOTH)
    assert answer.status == 200
    world.only(upstream)
    [asked] = upstream.posts
    seen = f"{asked.headers} {asked.raw!r} {asked.path} {asked.query}"
    assert [secret for secret in SECRETS if secret in seen] == ([key] if key else [])
    assert CLIENT_TOKEN not in seen
    assert_silent(world, answer)


@pytest.mark.parametrize("base", OWNERS)
@pytest.mark.fault("S-09")
async def test_errors_tell_no_secrets(world: World, base: str) -> None:
    upstream: FakeChat | FakeMessages = getattr(world, OWNERS[base][0])
    upstream.use(Http(401, {"type": "error", "error": {"type": "authentication_error", "message": "Bad key."}}))
    refused = await send(world.url, f"{base}/v1/messages", BODY, **BOTH)
    assert refused.status == 401
    broken = await send(world.url, f"{base}/v1/messages", f'{{"model": "{PROMPT}'.encode(), **BOTH)
    assert broken.status == 400 or base.startswith("/ollama")
    assert_silent(world, refused, broken)
    upstream.use()  # what the strict fakes thought of the broken body is beside the point


async def test_one_line_for_each_request(world: World) -> None:
    world.chat.use(Chat(ANSWER, usage={"prompt_tokens": 4321, "completion_tokens": 567, "total_tokens": 4888}))
    cases = [
        (f"/openai:line-{n}", BODY | {"model": f"asked-{n}", "stream": n % 2 == 0}, f"openai:line-{n}")
        for n in range(4)
    ]
    for base, body, _ in cases:
        assert (await send(world.url, f"{base}/v1/messages", body)).status == 200
    for base, body, place in cases:
        lines = await world.proxy.log.until(place)
        assert len(lines) == 1, base
        for part in (body["model"], "200", "4321", "567"):
            assert part in lines[0]
    assert_silent(world)


async def test_a_line_for_a_request_that_failed(world: World) -> None:
    world.chat.use(Http(429, {"error": {"message": "Slow down.", "type": "x"}}))
    assert (await send(world.url, "/openai:line-429/v1/messages", BODY)).status == 429
    lines = await world.proxy.log.until("line-429")
    assert len(lines) == 1
    assert "429" in lines[0].replace("line-429", "")
    assert (await send(world.url, "/nosuch:line-400/v1/messages", BODY)).status in {400, 404}
    assert_silent(world)


@pytest.mark.fault("C-28", "S-19")
async def test_the_log_is_one_line_even_if_a_name_is_not(world: World) -> None:
    """A model name is the client's to choose; it must not forge a line of the log."""
    world.chat.use(Chat(ANSWER))
    before = len(world.proxy.log.lines)
    await send(world.url, "/v1/messages", BODY | {"model": "forged-a\nforged-b\x1b[2J"})
    lines = await world.proxy.log.until("forged-a")
    assert len(lines) == 1
    assert not [line for line in world.proxy.log.lines[before:] if line.startswith("forged-b")]
