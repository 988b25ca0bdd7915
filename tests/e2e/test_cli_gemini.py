"""The real Claude Code on Gemini's own API."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from upstreams import Call, Chat, FakeChat, FakeGemini, Gemini, Http, Raw

from .test_cli_chat import png
from .tool_loop import THOUGHT, ToolLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstreams import Recorded

    from .claude import Claude
    from .proxy import Proxy, Start

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEY = "canary-gemini-key"
STAND_IN = "skip_thought_signature_validator"


@pytest_asyncio.fixture(loop_scope="session")
async def gemini() -> AsyncIterator[FakeGemini]:
    async with FakeGemini() as fake:
        yield fake
        assert fake.refusals == []


@pytest_asyncio.fixture(loop_scope="session")
async def ours(gemini: FakeGemini, proxy: Start) -> Proxy:
    return await proxy(GEMINI_API_KEY=KEY, GEMINI_API_BASE=gemini.api)


def parts(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The parts of this kind, in order."""
    return [part for content in body["contents"] for part in content["parts"] if kind in part]


def texts(body: dict[str, Any], role: str = "user") -> str:
    return "".join(p.get("text", "") for c in body["contents"] if c["role"] == role for p in c["parts"])


def as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The calls and results of a request as a chat request has them, which is how the tool loop reads them."""
    messages: list[dict[str, Any]] = []
    for number, content in enumerate(body["contents"]):
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        answers = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        if calls:
            made = [
                {"id": f"{number}.{n}", "function": {"name": call["name"], "arguments": json.dumps(call["args"])}}
                for n, call in enumerate(calls)
            ]
            messages.append({"role": "assistant", "tool_calls": made})
        for n, answer in enumerate(answers):
            told = answer["response"].get("output") or answer["response"]["error"]
            messages.append({"role": "tool", "tool_call_id": f"{number - 1}.{n}", "content": told})
    return {"messages": messages}


def as_gemini(reply: Http | Raw | Chat, **how: Any) -> Http | Raw | Gemini:
    """What the tool loop says, as Gemini would."""
    return Gemini(reply.text, reply.tool_calls, reply.reasoning, **how) if isinstance(reply, Chat) else reply


async def test_hello(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    gemini.use(Gemini("Hello from far away.", thoughts="Be kind."))
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview", "--effort", "high", prompt="Say the word plover.")
    assert run.answer == "Hello from far away."
    assert [block["thinking"] for block in run.blocks("thinking")] == ["Be kind."]
    [asked] = gemini.posts
    assert (asked.path, asked.query) == (
        "/v1beta/models/gemini-3-pro-preview:streamGenerateContent",
        "alt=sse",
    )
    assert asked.headers["x-goog-api-key"] == KEY
    assert "authorization" not in asked.headers
    assert "Say the word plover." in texts(asked.json)
    assert asked.json["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "HIGH", "includeThoughts": True}
    names = {one["name"] for one in asked.json["tools"][0]["functionDeclarations"]}
    assert {"Bash", "Read", "Write"} <= names


@pytest.mark.parametrize(
    "model", ["gemini-3-pro-preview", "gemini-3-flash-preview", "gemini-2.5-pro", "gemini-2.5-flash"]
)
@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "without ids"])
async def test_a_tool_loop(claude: Claude, gemini: FakeGemini, ours: Proxy, model: str, *, ids: bool) -> None:
    loop = ToolLoop(claude.cwd)

    def script(rec: Recorded) -> Http | Raw | Gemini:
        return as_gemini(loop(replace(rec, json=as_chat(rec.json))), ids=ids)

    gemini.use(by=script)
    run = await claude.run(f"{ours.url}/gemini:{model}")
    loop.assert_done(run)
    assert THOUGHT in {block["thinking"] for block in run.blocks("thinking")}
    bodies = [post.json for post in gemini.posts]
    loop.assert_results(as_chat(bodies[-1]), same_ids=False)
    calls = parts(bodies[-1], "functionCall")
    signed = [part.get("thoughtSignature") for part in calls]
    assert [bool(one) for one in signed] == [True, False, True, False]  # the first of each step, and its own
    assert STAND_IN not in signed
    if ids:
        assert [part["functionCall"]["id"] for part in calls] == [call.id for call in loop.sent]
    for earlier, later in pairwise(bodies):  # Google's cache holds
        assert later["contents"][: len(earlier["contents"])] == earlier["contents"]


async def test_a_conversation_that_goes_on(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    call = Call("Bash", {"command": "echo one", "description": "Echo"})
    gemini.use(
        Gemini(calls=[call]),
        Gemini("First."),
        Gemini("Second.", [Call("Bash", {"command": "echo two"})]),
        Gemini("Third."),
    )
    url = f"{ours.url}/gemini:gemini-3-pro-preview"
    assert (await claude.run(url)).answer == "First."
    assert (await claude.run(url, "--continue", prompt="Go on.")).answer == "Third."
    signed = [part.get("thoughtSignature") for part in parts(gemini.posts[-1].json, "functionCall")]
    assert len(signed) == 2
    assert STAND_IN not in signed


async def test_another_model_gets_the_stand_in(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    call = Call("Bash", {"command": "echo one", "description": "Echo"})
    gemini.use(Gemini(calls=[call], thoughts="Hm."), Gemini("First."), Gemini("Second."))
    assert (await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")).answer == "First."
    run = await claude.run(f"{ours.url}/gemini:gemini-3-flash-preview", "--continue", prompt="Go on.")
    assert run.answer == "Second."
    assert [part["thoughtSignature"] for part in parts(gemini.posts[-1].json, "functionCall")] == [STAND_IN]


async def test_a_refused_signature_is_left_behind(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    call = Call("Bash", {"command": "echo one", "description": "Echo"})
    refusal = {"error": {"code": 400, "message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT"}}
    gemini.use(Gemini(calls=[call], thoughts="Hm."), Http(400, refusal), Gemini("It went on."))
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")
    assert run.answer == "It went on."
    assert [part["thoughtSignature"] for part in parts(gemini.posts[-1].json, "functionCall")] == [STAND_IN]


async def test_a_stream_that_breaks_off_is_asked_again_whole(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    half = b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Half of"}]},"index":0}]}\r\n\r\n'
    gemini.use(Raw([("raw", half), ("abort",)]), Gemini("The whole answer."))
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")
    assert run.answer == "The whole answer."
    assert [post.path.rpartition(":")[2] for post in gemini.posts] == ["streamGenerateContent", "generateContent"]


@pytest.mark.parametrize("before", ["", "I will now call"])
async def test_a_call_that_google_could_not_read_is_asked_for_again(
    claude: Claude, gemini: FakeGemini, ours: Proxy, before: str
) -> None:
    gemini.use(Gemini(before, finish="MALFORMED_FUNCTION_CALL", signed=False), Gemini("Now it worked."))
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")
    assert run.answer == "Now it worked."
    assert len(gemini.posts) == 2


async def test_a_conversation_that_moves_away_and_back(claude: Claude, gemini: FakeGemini, proxy: Start) -> None:
    """Each model gets its own signatures back, and all that was said by anyone."""

    def echo(word: str) -> Call:
        return Call("Bash", {"command": f"echo {word}", "description": "Echo"})

    async with FakeChat() as chat:
        ours = await proxy(
            GEMINI_API_KEY=KEY, GEMINI_API_BASE=gemini.api, OPENAI_API_KEY="canary-openai-key", OPENAI_BASE_URL=chat.api
        )
        here, there = f"{ours.url}/gemini:gemini-3-pro-preview", f"{ours.url}/openai:gpt-4.1"
        gemini.use(Gemini(calls=[echo("one")], thoughts="Hm."), Gemini("First."))
        assert (await claude.run(here)).answer == "First."
        chat.use(Chat(tool_calls=[echo("two")], reasoning="Hm!"), Chat("Second."))
        assert (await claude.run(there, "--continue", prompt="And?")).answer == "Second."
        gemini.use(Gemini(calls=[echo("three")]), Gemini("Third."))
        assert (await claude.run(here, "--continue", prompt="And now?")).answer == "Third."
        assert chat.refusals == []
    body = gemini.posts[-1].json
    signed = [part["thoughtSignature"] for part in parts(body, "functionCall")]
    assert [one == STAND_IN for one in signed] == [False, True, False]
    told = [part["functionResponse"]["response"]["output"] for part in parts(body, "functionResponse")]
    assert told == ["one", "two", "three"]
    assert texts(body, "model") == "First.Second."


@pytest.mark.parametrize(("model", "inside"), [("gemini-3-pro-preview", True), ("gemini-2.5-flash", False)])
async def test_an_image(claude: Claude, gemini: FakeGemini, ours: Proxy, model: str, *, inside: bool) -> None:
    (claude.cwd / "red.png").write_bytes(png())
    read = Call("Read", {"file_path": str(claude.cwd / "red.png")})
    bash = Call("Bash", {"command": "echo beside", "description": "Echo"})
    gemini.use(Gemini(calls=[read, bash]), Gemini("It is red."))
    run = await claude.run(f"{ours.url}/gemini:{model}")
    assert run.answer == "It is red."
    body = gemini.posts[-1].json
    first, second = (part["functionResponse"] for part in parts(body, "functionResponse"))
    assert ("parts" in first, len(parts(body, "inlineData"))) == ((True, 0) if inside else (False, 1))
    assert "beside" in second["response"]["output"]


async def test_a_tool_that_is_searched_for(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    search = Call("ToolSearch", {"query": "select:WebFetch", "max_results": 1})
    gemini.use(Gemini(calls=[search]), Gemini("Found."))
    assert (await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")).answer == "Found."
    first, second = ([one["name"] for one in post.json["tools"][0]["functionDeclarations"]] for post in gemini.posts)
    assert second == [*first, "WebFetch"]


GROUNDING = {
    "webSearchQueries": ["plover"],
    "groundingChunks": [{"web": {"uri": "https://birds.test/plover", "title": "birds.test"}}],
    "groundingSupports": [{"segment": {"endIndex": 7, "text": "Größer"}, "groundingChunkIndices": [0]}],
}


async def test_a_web_search(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    search = Call("ToolSearch", {"query": "select:WebSearch", "max_results": 1})
    asked = Call("WebSearch", {"query": "plover"})

    def script(rec: Recorded) -> Gemini:
        if rec.json.get("tools") == [{"googleSearch": {}}]:
            return Gemini("Größer als gedacht.", grounding=GROUNDING)
        done = [part["functionResponse"]["name"] for part in parts(rec.json, "functionResponse")]
        return Gemini("Done.") if "WebSearch" in done else Gemini(calls=[asked] if done else [search])

    gemini.use(by=script)
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")
    assert run.answer == "Done."
    told = parts(gemini.posts[-1].json, "functionResponse")[-1]["functionResponse"]["response"]["output"]
    assert "https://birds.test/plover" in told
    assert "Größer als gedacht." in told


async def test_an_overflow_makes_it_compact(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    words = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    refusal = {"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}
    gemini.use(Http(400, refusal))
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")
    assert run.result["terminal_reason"] == "prompt_too_long"


async def test_a_refused_key_is_told_at_once(claude: Claude, gemini: FakeGemini, ours: Proxy) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    message = "API key not valid. Please pass a valid API key."
    gemini.use(
        Http(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}})
    )
    run = await claude.run(f"{ours.url}/gemini:gemini-3-pro-preview")
    assert (run.code, run.result["is_error"]) == (1, True)
    assert message in run.result["result"]
    assert len(gemini.posts) == 1


async def test_a_place_under_another_base(claude: Claude, proxy: Start) -> None:
    """Vertex: the same dialect behind a path of its own and a token."""
    base = "/v1/projects/p/locations/global/publishers/google"
    async with FakeGemini(base=base, bearer=True) as vertex:
        config = claude.home / "config.toml"
        config.write_text(f'[providers.far]\ndialect = "gemini"\nbase_url = "{vertex.api}"\napi_key_env = "FAR_KEY"\n')
        ours = await proxy(CLAUDE_CODE_PROXY_CONFIG=str(config), FAR_KEY="token")
        vertex.use(Gemini("From afar."))
        run = await claude.run(f"{ours.url}/far:gemini-3-pro-preview")
        assert run.answer == "From afar."
        assert vertex.posts[0].path == f"{base}/models/gemini-3-pro-preview:streamGenerateContent"
        assert vertex.posts[0].headers["authorization"] == "Bearer token"
        assert vertex.refusals == []
