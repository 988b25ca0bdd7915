"""The real Claude Code on a model that speaks OpenAI's dialect."""

from __future__ import annotations

import json
import struct
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from upstreams import Call, Chat, Http, Raw

from .world import BIG, OPENAI_KEY, OPENROUTER_KEY, SMALL

if TYPE_CHECKING:
    from .claude import Claude
    from .proxy import Start
    from .relay import Relay
    from .world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


def told(content: Any) -> str:
    """Give the text of a message's content, string or parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def results(body: dict[str, Any]) -> dict[str, str]:
    """Give the tool results of a chat request by call."""
    return {m["tool_call_id"]: told(m["content"]) for m in body["messages"] if m["role"] == "tool"}


def png(side: int = 32) -> bytes:
    """Make a red square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\xc8\x1e\x1e" * side) * side)
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def test_hello(claude: Claude, world: World) -> None:
    world.chat.use(Chat("Hello from far away."))
    run = await claude.run(world.url, prompt="Say the word plover.")
    assert run.answer == "Hello from far away."
    [body] = world.only(world.chat)
    assert (body["model"], body["stream"]) == (BIG, True)
    assert {"Bash", "Read", "Write"} <= {tool["function"]["name"] for tool in body["tools"]}
    users = [told(m["content"]) for m in body["messages"] if m["role"] == "user"]
    assert "Say the word plover." in "".join(users)
    assert body["messages"][0]["role"] == "system"
    assert world.chat.posts[0].path == "/v1/chat/completions"
    assert world.chat.posts[0].headers["authorization"] == f"Bearer {OPENAI_KEY}"


async def test_the_models_of_an_untouched_configuration(claude: Claude, world: World, proxy: Start) -> None:
    """Claude Code asks for 128,000 tokens of output, and gpt-4.1 refuses more than 32,768."""
    env = {name: value for name, value in world.env.items() if name not in {"BIG_MODEL", "SMALL_MODEL"}}
    ours = await proxy(**env)
    world.chat.use(Chat("Hello"))
    for name in ("sonnet", "haiku"):
        assert (await claude.run(ours.url, "--model", name)).answer == "Hello"
    assert [body["model"] for body in world.only(world.chat)] == ["gpt-4.1", "gpt-4.1-mini"]


async def test_a_tool_loop(claude: Claude, world: World) -> None:
    (claude.cwd / "a.txt").write_text("alpha\nbeta\n")
    written = claude.cwd / "new.txt"
    read = Call("Read", {"file_path": str(claude.cwd / "a.txt")})
    bash = Call("Bash", {"command": "echo from-$((40 + 2)) > bash.txt; cat bash.txt", "description": "Echo"})
    write = Call("Write", {"file_path": str(written), "content": "größer \u2028 line\n"})
    world.chat.use(Chat("Reading.", [read]), Chat(tool_calls=[bash]), Chat(tool_calls=[write]), Chat("All done."))
    run = await claude.run(world.url)
    assert run.answer == "All done."
    assert run.result["num_turns"] == 4
    assert written.read_text() == "größer \u2028 line\n"
    assert (claude.cwd / "bash.txt").read_text() == "from-42\n"
    bodies = world.only(world.chat)
    assert len(bodies) == 4
    seen = results(bodies[-1])
    assert list(seen) == [read.id, bash.id, write.id]
    assert "alpha" in seen[read.id]
    assert "from-42" in seen[bash.id]
    assert "new.txt" in seen[write.id]
    called = [call for m in bodies[-1]["messages"] for call in m.get("tool_calls", [])]
    assert [json.loads(call["function"]["arguments"]) for call in called] == [
        read.arguments,
        bash.arguments,
        write.arguments,
    ]
    # What was said before stays as it was, so that an upstream's prompt cache holds.
    for earlier, later in pairwise(bodies):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]


@pytest.mark.parametrize("interleave", [False, True], ids=["in sequence", "interleaved"])
async def test_parallel_calls(claude: Claude, world: World, *, interleave: bool) -> None:
    paths = [claude.cwd / f"{name}.txt" for name in ("one", "two", "three")]
    calls = [Call("Write", {"file_path": str(path), "content": path.stem * 50}) for path in paths]
    world.chat.use(Chat("All three.", calls, interleave=interleave, chunk=7), Chat("Written."))
    run = await claude.run(world.url)
    assert run.answer == "Written."
    assert [path.read_text() for path in paths] == [path.stem * 50 for path in paths]
    assert [use["input"] for use in run.blocks("tool_use")] == [call.arguments for call in calls]
    first, second = world.only(world.chat)
    assert set(results(second)) == {call.id for call in calls}
    assert second["messages"][: len(first["messages"])] == first["messages"]


async def test_a_failed_call_is_told_to_the_model(claude: Claude, world: World) -> None:
    call = Call("Read", {"file_path": str(claude.cwd / "missing.txt")})
    world.chat.use(Chat(tool_calls=[call]), Chat("It is not there."))
    run = await claude.run(world.url)
    assert run.answer == "It is not there."
    assert "does not exist" in results(world.only(world.chat)[-1])[call.id]
    assert [block["is_error"] for block in run.blocks("tool_result")] == [True]


async def test_arguments_that_are_no_json_do_not_end_the_run(claude: Claude, world: World) -> None:
    world.chat.use(Chat(tool_calls=[Call("Bash", '{"command": "echo ')]), Chat("Sorry."))
    run = await claude.run(world.url)
    assert run.answer == "Sorry."
    assert len(world.only(world.chat)) == 2


async def test_the_system_message_in_the_middle_arrives(claude: Claude, world: World, relay: Relay) -> None:
    world.chat.use(Chat("Understood."))
    run = await claude.run(relay.url)
    assert run.answer == "Understood."
    sent = [told(m["content"]) for m in relay.posts[0].json["messages"] if m["role"] == "system"]
    assert sent
    assert all(sent)
    [body] = world.only(world.chat)
    received = "\n".join(told(m["content"]) for m in body["messages"])
    for words in sent:
        assert words in received


async def test_reasoning_comes_out_as_thinking(claude: Claude, world: World) -> None:
    call = Call("Bash", {"command": "true", "description": "Nothing"})
    world.chat.use(Chat(reasoning="First a thought.", tool_calls=[call]), Chat("Done.", reasoning="Then another."))
    run = await claude.run(world.url)
    assert run.answer == "Done."
    assert [block["thinking"] for block in run.blocks("thinking")] == ["First a thought.", "Then another."]
    assert len(world.only(world.chat)) == 2


async def test_a_tool_that_is_searched_for(claude: Claude, world: World) -> None:
    """Deferred tools: the upstream gets one once the model has found it, behind those it had."""
    search = Call("ToolSearch", {"query": "select:WebFetch", "max_results": 1})
    world.chat.use(Chat(tool_calls=[search]), Chat("Found."))
    run = await claude.run(world.url)
    assert run.answer == "Found."
    first, second = ([t["function"]["name"] for t in body["tools"]] for body in world.only(world.chat))
    assert "WebFetch" not in first
    assert second == [*first, "WebFetch"]
    assert "WebFetch" in results(world.only(world.chat)[1])[search.id]


async def test_an_image(claude: Claude, world: World) -> None:
    """A chat upstream takes no image in a tool's result, so it comes after the results."""
    (claude.cwd / "red.png").write_bytes(png())
    read = Call("Read", {"file_path": str(claude.cwd / "red.png")})
    bash = Call("Bash", {"command": "echo beside", "description": "Echo"})
    world.chat.use(Chat(tool_calls=[read, bash]), Chat("It is red."))
    run = await claude.run(world.url)
    assert run.answer == "It is red."
    messages = world.only(world.chat)[1]["messages"]
    assert set(results({"messages": messages})) == {read.id, bash.id}
    parts = [part for m in messages if isinstance(m["content"], list) for part in m["content"]]
    images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert len(images) == 1
    assert images[0].startswith("data:image/")


async def test_a_subagent(claude: Claude, world: World) -> None:
    task = {"description": "Look", "prompt": "Say plover.", "subagent_type": "general-purpose"}
    call = Call("Agent", {**task, "run_in_background": False})
    world.chat.use(Chat(tool_calls=[call]), Chat("The subagent says plover."), Chat("It said plover."))
    run = await claude.run(world.url)
    assert run.answer == "It said plover."
    main, sub, again = world.only(world.chat)
    assert "Say plover." in "".join(told(m["content"]) for m in sub["messages"])
    assert "The subagent says plover." in results(again)[call.id]
    assert again["messages"][: len(main["messages"])] == main["messages"]


@pytest.mark.parametrize(
    ("asked", "model"),
    [("haiku", SMALL), ("sonnet", BIG), ("opus", BIG), ("house-model-7b", "house-model-7b")],
)
async def test_model_names(claude: Claude, world: World, asked: str, model: str) -> None:
    world.chat.use(Chat("Hello"))
    run = await claude.run(world.url, "--model", asked)
    assert run.answer == "Hello"
    assert [body["model"] for body in world.only(world.chat)] == [model]


async def test_a_base_url_with_a_plain_name(claude: Claude, world: World) -> None:
    world.chat.use(Chat("Hello"))
    run = await claude.run(f"{world.url}/openai:some-model:free")
    assert run.answer == "Hello"
    assert [body["model"] for body in world.only(world.chat)] == ["some-model:free"]
    assert world.chat.posts[0].headers["authorization"] == f"Bearer {OPENAI_KEY}"


@pytest.mark.parametrize("provider", ["openai", "openrouter"])
async def test_a_base_url_with_a_vendor_prefix(claude: Claude, world: World, provider: str) -> None:
    """The seed's rule: names with an OpenRouter vendor go there, also after `openai:`."""
    world.router.use(Chat("Hello"))
    run = await claude.run(f"{world.url}/{provider}:qwen/some-model:free")
    assert run.answer == "Hello"
    assert [body["model"] for body in world.only(world.router)] == ["qwen/some-model:free"]
    assert world.router.posts[0].path == "/api/v1/chat/completions"
    assert world.router.posts[0].headers["authorization"] == f"Bearer {OPENROUTER_KEY}"


async def test_usage(claude: Claude, world: World) -> None:
    usage = {
        "prompt_tokens": 5000,
        "completion_tokens": 321,
        "total_tokens": 5321,
        "prompt_tokens_details": {"cached_tokens": 4000},
    }
    world.chat.use(Chat("Counted.", usage=usage))
    run = await claude.run(world.url)
    assert run.answer == "Counted."
    shown = run.result["usage"]
    assert (shown["input_tokens"], shown["cache_read_input_tokens"], shown["output_tokens"]) == (1000, 4000, 321)
    assert world.only(world.chat)[0]["stream_options"]["include_usage"] is True


async def test_a_refused_key_is_told_at_once(claude: Claude, world: World) -> None:
    refusal = {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "x"}}
    world.chat.use(Http(401, refusal))
    run = await claude.run(world.url)
    assert (run.code, run.result["is_error"]) == (1, True)
    assert "Incorrect API key provided." in run.result["result"]
    assert len(world.only(world.chat)) == 1


async def test_a_stream_that_breaks_off_is_asked_again_whole(claude: Claude, world: World) -> None:
    first = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    world.chat.use(
        Raw([("raw", first + b'{"role":"assistant","content":"Half of"},"finish_reason":null}]}\n\n'), ("abort",)]),
        Chat("The whole answer."),
    )
    run = await claude.run(world.url)
    assert run.answer == "The whole answer."
    assert [bool(body.get("stream")) for body in world.only(world.chat)] == [True, False]
