"""Checks of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.certify.checks.words import error_of, shown
from claude_code_proxy.cli.certify.offer import claude_code
from claude_code_proxy.cli.certify.verdicts import failed, passed, weak

if TYPE_CHECKING:
    from claude_code_proxy.cli.certify.bench import Answer, Bench
    from claude_code_proxy.cli.certify.verdicts import Verdict


def _tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    held = {field: {"type": "string", "description": said} for field, said in properties.items()}
    schema = {"type": "object", "properties": held, "required": list(held), "additionalProperties": False}
    return {"name": name, "description": description, "input_schema": schema}


_WEATHER: Final = _tool("get_weather", "Tells the weather in a city.", city="The city")
_CLOCK: Final = _tool("get_time", "Tells the time in a city.", city="The city")
_VAULT: Final = _tool("read_secret", "Reads the secret code of a box.", box="The name of the box")
_WRITE: Final = _tool("Write", "Writes a file.", file_path="Its absolute path", content="All that it is to hold")

_CONTENT: Final = (
    'def greet(name: str) -> str:\n    """Say "hello" — naïvely."""\n    path = "C:\\\\temp\\\\new"\n'
    "    pattern = r'^\\d+\\s*$'\n\treturn f\"Grüße, {name}! 你好 🎉\"\n"
)
"""What breaks JSON where it is written carelessly."""


async def one(bench: Bench) -> Verdict:
    """One tool, one call."""
    said = await bench.ask("What is the weather in Lisbon? Use the tool.", tools=[_WEATHER])
    if verdict := _uncalled(said, 1):
        return verdict
    call = said.calls[0]
    if call["name"] == "get_weather" and "lisbon" in str(_input(call).get("city", "")).lower():
        return passed(_shown(call))
    return weak(f"called {_shown(call)}")


async def result(bench: Bench) -> Verdict:
    """A word that nothing but the result of the call holds has to be in the next turn."""
    word = bench.nonce()
    question = {
        "role": "user",
        "content": "What is the secret code of the red box? Use the tool, then tell me the code.",
    }
    said = await bench.ask([question], tools=[_VAULT])
    if verdict := _uncalled(said, 1):
        return verdict
    told = f"The code is {word}."
    back = await bench.ask([question, *_turn(said, [told] * len(said.calls))], tools=[_VAULT])
    return _used(back, word)


async def parallel(bench: Bench) -> Verdict:
    """Two calls in one turn, and their results the other way round, as Claude Code sends them."""
    words = [bench.nonce(), bench.nonce()]
    text = "What are the weather and the time in Oslo? Call both tools at once, then repeat both results word for word."
    question = {"role": "user", "content": text}
    said = await bench.ask([question], tools=[_WEATHER, _CLOCK])
    if verdict := _uncalled(said, 2):
        return verdict
    named = {"get_weather": f"Weather report {words[0]}", "get_time": f"Time signal {words[1]}"}
    results = [named.get(call["name"], "no such tool") for call in said.calls]
    if {call["name"] for call in said.calls} != named.keys():
        return weak(f"called {', '.join(_shown(call) for call in said.calls)}")
    back = await bench.ask([question, *_turn(said, results)], tools=[_WEATHER, _CLOCK])
    return _used(back, *words)


async def forced(bench: Bench) -> Verdict:
    """A call where nothing in the question asks for one."""
    choice = {"type": "tool", "name": "get_time"}
    said = await bench.ask("Good morning! I am in Rome.", tools=[_WEATHER, _CLOCK], tool_choice=choice)
    if verdict := _uncalled(said, 1):
        return verdict
    call = said.calls[0]
    return passed(_shown(call)) if call["name"] == "get_time" else weak(f"called {_shown(call)}")


async def forbidden(bench: Bench) -> Verdict:
    """No call where the question asks for one."""
    question = "What is the weather in Lisbon? Use the tool."
    said = await bench.ask(question, tools=[_WEATHER], tool_choice={"type": "none"})
    if not said.ok:
        return error_of(said)
    return weak(f"called {_shown(said.calls[0])}") if said.calls else passed("no call")


async def many(bench: Bench) -> Verdict:
    """A request with all the fields of Claude Code's, and twenty tools."""
    path = f"/srv/app/{bench.nonce().lower()}.py"
    body = claude_code(f"Show me what is in {path}.", bench.session_id, bench.model)
    said = await bench.ask(steady=False, **body)
    if verdict := _uncalled(said, 1):
        return verdict
    call = said.calls[0]
    if path in str(_input(call)) and call["name"] in {"Read", "Bash"}:
        return passed(_shown(call))
    return weak(f"called {_shown(call)}")


async def long(bench: Bench) -> Verdict:
    """Arguments that hold whatever JSON has to escape."""
    question = f"Write this file to /tmp/greet.py with the tool, exactly as it is here:\n\n{_CONTENT}"
    said = await bench.ask(question, tools=[_WRITE])
    if verdict := _uncalled(said, 1):
        return verdict
    written = str(_input(said.calls[0]).get("content", ""))
    if written.strip() == _CONTENT.strip():
        return passed(f"{len(written)} characters, each as it was")
    return weak(f"{len(written)} of {len(_CONTENT)} characters, and not the same")


def _uncalled(said: Answer, calls: int) -> Verdict | None:
    """The verdict where there are not this many well-formed calls."""
    if not said.ok:
        return error_of(said)
    if said.faults:
        return failed(said.faults[0])
    if broken := next((call for call in said.calls if not isinstance(call.get("input"), dict)), None):
        return failed(f"the arguments of {shown(broken.get('name'))} are no object")
    if len(said.calls) < calls:
        text = f"called {len(said.calls)} tool" if said.calls else "called none"
        return weak(f"{text}, and said “{shown(said.text, 50)}”")
    if said.stop_reason != "tool_use":
        return failed(f"calls a tool, and ends with {said.stop_reason}")
    return None


def _turn(said: Answer, results: list[str]) -> list[dict[str, Any]]:
    """What the model said and the results of its calls, in another order than it called."""
    rows = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": text}
        for call, text in zip(said.calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": said.content}, {"role": "user", "content": rows[::-1]}]


def _used(back: Answer, *words: str) -> Verdict:
    if not back.ok:
        return failed(f"the turn with the results fails: {shown(back.message, 140)}", back.status)
    found = [word for word in words if word in back.text]
    if len(found) == len(words):
        return passed("what only the result holds is in the answer" + (f", {len(found)} times" if found[1:] else ""))
    if back.calls and not back.text:
        return weak(f"called {_shown(back.calls[0])} again")
    return weak(f"{len(found)} of {len(words)} results are in “{shown(back.text, 50)}”")


def _input(call: dict[str, Any]) -> dict[str, Any]:
    held = call.get("input")
    return held if isinstance(held, dict) else {}


def _shown(call: dict[str, Any]) -> str:
    return shown(f"{call.get('name')}({', '.join(f'{key}={value!r}' for key, value in _input(call).items())})")
