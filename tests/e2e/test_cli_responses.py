"""The real Claude Code on a model that speaks OpenAI's Responses API."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Call, Chat, FakeResponses, Http, Page, Resp

from .test_cli_chat import png
from .tool_loop import ToolLoop
from .world import BIG, OPENAI_KEY, SMALL

if TYPE_CHECKING:
    from upstreams import Recorded

    from .claude import Claude
    from .proxy import Start
    from .world import Responses

pytestmark = pytest.mark.asyncio(loop_scope="session")


def outputs(body: dict[str, Any]) -> dict[str, Any]:
    """Give the outputs of calls."""
    return {item["call_id"]: item["output"] for item in body["input"] if item["type"] == "function_call_output"}


def assert_grows(bodies: list[dict[str, Any]]) -> None:
    """What was sent before stays as it was, so that the upstream's prompt cache holds."""
    for earlier, later in pairwise(bodies):
        assert later["input"][: len(earlier["input"])] == earlier["input"]
        assert {name: later[name] for name in earlier if name != "input"} == {
            name: value for name, value in earlier.items() if name != "input"
        }


async def test_hello(claude: Claude, responses: Responses) -> None:
    responses.fake.use(Resp("Hello from far away."))
    run = await claude.run(responses.url, prompt="Say the word plover.")
    assert run.answer == "Hello from far away."
    [request] = responses.fake.posts
    body = request.json
    assert (body["model"], body["stream"], body["store"]) == (BIG, True, False)
    assert "reasoning.encrypted_content" in body["include"]
    assert {"Bash", "Read", "Write"} <= {tool["name"] for tool in body["tools"]}
    assert body["instructions"]
    assert "x-anthropic-billing-header" not in body["instructions"]
    assert [item["role"] for item in body["input"]] == ["user", "developer"]
    assert "Say the word plover." in json.dumps(body["input"])
    assert request.headers["authorization"] == f"Bearer {OPENAI_KEY}"


@pytest.mark.parametrize("interleave", [False, True], ids=["in sequence", "interleaved"])
@pytest.mark.parametrize("twice", [False, True], ids=["reasoning once", "reasoning between"])
async def test_a_tool_task_with_reasoning_that_comes_home(
    claude: Claude, responses: Responses, *, interleave: bool, twice: bool
) -> None:
    loop = ToolLoop(claude.cwd)
    said: list[Resp] = []

    def script(rec: Recorded) -> Resp:
        chat = loop(rec)
        assert isinstance(chat, Chat)
        called = bool(chat.tool_calls)
        reply = Resp(
            chat.text,
            chat.tool_calls,
            summary=[chat.reasoning, "And more."],
            twice=twice and called,
            phase="commentary" if called else "final_answer",
            interleave=interleave,
            chunk=7,
        )
        said.append(reply)
        return reply

    responses.fake.use(by=script)
    run = await claude.run(responses.url)
    loop.assert_done(run)
    bodies = [rec.json for rec in responses.fake.posts]
    assert len(bodies) == 3
    assert_grows(bodies)
    loop.assert_results(bodies[-1], same_ids=True)
    items = bodies[-1]["input"]
    kinds = [item["type"] for item in items if item.get("role", "assistant") == "assistant"]
    turn = ["reasoning", "message", *(["reasoning"] if twice else []), *["function_call"] * 2]
    assert kinds == [*turn, *["function_call_output"] * 2] * 2
    assert [item["phase"] for item in items if item.get("role") == "assistant"] == ["commentary"] * 2
    assert all(item["id"].startswith("msg_") for item in items if item.get("role") == "assistant")
    shown = [item["summary"] for item in items if item["type"] == "reasoning" and item["summary"]]
    assert [[part["text"] for part in summary] for summary in shown] == [
        list(reply.summary or ()) for reply in said[:2]
    ]
    thoughts = [block["thinking"] for block in run.blocks("thinking") if block["thinking"]]
    assert thoughts == ["\n\n".join(reply.summary or ()) for reply in said]


async def test_reasoning_without_a_summary_comes_home_too(claude: Claude, responses: Responses) -> None:
    call = Call("Bash", {"command": "echo beside", "description": "Echo"})
    responses.fake.use(Resp(calls=[call]), Resp("Done."))
    assert (await claude.run(responses.url)).answer == "Done."
    first, second = (rec.json for rec in responses.fake.posts)
    assert_grows([first, second])
    reasoning, called, output = second["input"][len(first["input"]) :]
    assert (reasoning["type"], reasoning["summary"]) == ("reasoning", [])
    assert reasoning["encrypted_content"]
    assert (called["call_id"], called["id"][:3], output["call_id"]) == (call.id, "fc_", call.id)
    assert "beside" in output["output"]


async def test_a_phase_without_reasoning_comes_home(claude: Claude, responses: Responses) -> None:
    call = Call("Bash", {"command": "true", "description": "Nothing"})
    responses.fake.use(Resp("Working.", [call], summary=None, phase="commentary"), Resp("Done.", phase="final_answer"))
    run = await claude.run(responses.url)
    assert run.answer == "Done."
    said = [item for item in responses.fake.posts[1].json["input"] if item.get("role") == "assistant"]
    assert [(item["phase"], item["content"][0]["text"]) for item in said] == [("commentary", "Working.")]


async def test_a_conversation_that_goes_on(claude: Claude, responses: Responses) -> None:
    responses.fake.use(Resp("One.", summary=["A thought."], phase="final_answer"), Resp("Two."), Resp("Three."))
    assert (await claude.run(responses.url, prompt="First")).answer == "One."
    assert (await claude.run(responses.url, "--continue", prompt="Second")).answer == "Two."
    assert (await claude.run(responses.url, "--continue", "--model", "haiku", prompt="Third")).answer == "Three."
    first, second, third = (rec.json for rec in responses.fake.posts)
    assert [item["type"] for item in second["input"]].count("reasoning") == 1
    assert second["input"][: len(first["input"])] == first["input"]
    assert third["model"] == SMALL
    assert [item for item in third["input"] if item["type"] == "reasoning" or "phase" in item] == []
    assert "One." in json.dumps(third["input"])


async def test_an_image_stands_in_the_output_of_its_call(claude: Claude, responses: Responses) -> None:
    (claude.cwd / "red.png").write_bytes(png())
    read = Call("Read", {"file_path": str(claude.cwd / "red.png")})
    responses.fake.use(Resp(calls=[read]), Resp("It is red."))
    assert (await claude.run(responses.url)).answer == "It is red."
    output = outputs(responses.fake.posts[1].json)[read.id]
    assert [part["type"] for part in output].count("input_image") == 1


async def test_a_web_search(claude: Claude, responses: Responses) -> None:
    search = Call("WebSearch", {"query": "plover facts"})
    pages = [Page("https://birds.test/plover", "Plovers"), Page("https://waders.test/", "Waders")]

    def script(rec: Recorded) -> Resp:
        tools = rec.json.get("tools", [])
        if [tool["type"] for tool in tools] == ["web_search"]:
            return Resp("A plover is a wader.", summary=None, query="plover facts", pages=pages)
        done = search.id in outputs(rec.json)
        return Resp("It is a wader.") if done else Resp(calls=[search])

    responses.fake.use(by=script)
    run = await claude.run(responses.url)
    assert run.answer == "It is a wader."
    told = outputs(responses.fake.posts[-1].json)[search.id]
    assert "A plover is a wader." in told
    assert all(page.url in told and page.title in told for page in pages)
    [asked] = [rec.json for rec in responses.fake.posts if "max_tool_calls" in rec.json]
    assert asked["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]


async def test_reasoning_that_is_not_taken_any_more_is_left_out(claude: Claude, responses: Responses) -> None:
    call = Call("Bash", {"command": "true", "description": "Nothing"})
    stale = "The encrypted content gAAA could not be verified."
    error = {"message": stale, "type": "invalid_request_error", "param": None, "code": "invalid_encrypted_content"}

    def script(rec: Recorded) -> Http | Resp:
        if not outputs(rec.json):
            return Resp("Working.", [call], summary=["A thought."])
        known = [item for item in rec.json["input"] if item["type"] == "reasoning"]
        return Http(400, {"error": error}) if known else Resp("Done.")

    responses.fake.use(by=script)
    run = await claude.run(responses.url)
    assert run.answer == "Done."
    assert len(responses.fake.posts) == 3


async def test_a_refusal(claude: Claude, responses: Responses) -> None:
    responses.fake.use(Resp(refusal="I will not."))
    run = await claude.run(responses.url)
    assert run.result["is_error"]
    assert "I will not." in json.dumps(run.lines)


async def test_an_organisation_that_is_not_verified(claude: Claude, proxy: Start) -> None:
    message = "Your organization must be verified to generate reasoning summaries. Please go to the settings."
    error = {"message": message, "type": "invalid_request_error", "param": "reasoning.summary", "code": "unsupported"}

    def script(rec: Recorded) -> Http | Resp:
        return Http(400, {"error": error}) if "summary" in rec.json.get("reasoning", {}) else Resp("Hello.")

    async with FakeResponses(script) as fake:
        env = {"OPENAI_API_KEY": OPENAI_KEY, "OPENAI_BASE_URL": fake.api, "OPENAI_DIALECT": "openai_responses"}
        ours = await proxy(BIG_MODEL=BIG, SMALL_MODEL=SMALL, **env)
        assert (await claude.run(ours.url)).answer == "Hello."
        assert [("summary" in rec.json["reasoning"]) for rec in fake.posts] == [True, False]
        assert (await claude.run(ours.url)).answer == "Hello."
        assert len(fake.posts) == 3
