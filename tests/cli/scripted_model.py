"""A model that does all that it is asked, for `certify`: behind a strict server, which may lack something."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from claude_code_proxy.cli.certify.drawn import png
from upstreams import Call, Chat, Http

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from upstreams import Raw, Recorded

NAME = "good-1"
THINKS_IF_TOLD = "gpt-oss-20b"
ALL = " ".join(map(str, range(1, 31)))


@dataclass
class Scripted:
    """The script. `lacks` say why a body is refused, if it is; `window` in tokens."""

    lacks: list[Callable[[dict[str, Any]], str]] = field(default_factory=list)
    status: int = 400
    window: int = 40_000
    told: int = 40_000
    answers: Callable[[dict[str, Any]], Chat | None] = lambda body: None
    before: set[str] = field(default_factory=set)

    def __call__(self, rec: Recorded) -> Http | Raw | Chat:
        body: dict[str, Any] = rec.json
        if body["model"] not in {NAME, THINKS_IF_TOLD}:
            return refused(404, f"The model `{body['model']}` does not exist", "model_not_found")
        for lack in self.lacks:
            if why := lack(body):
                return refused(self.status, why)
        tokens = len(rec.raw) // 4
        if tokens > self.window:
            words = f"This model's maximum context length is {self.told} tokens. However, your messages resulted in "
            return refused(400, f"{words}{tokens} tokens.", "context_length_exceeded")
        chat = self.answers(body) or answer(body)
        seen = json.dumps(body["messages"])
        usage = {
            "prompt_tokens": tokens,
            "completion_tokens": min(max(1, len(chat.text) // 4), limit(body)),
            "prompt_tokens_details": {"cached_tokens": tokens - 8 if seen in self.before else 0},
        }
        self.before.add(seen)
        return Chat(chat.text, chat.tool_calls, chat.reasoning, usage, chat.finish)


def refused(status: int, message: str, code: str | None = None) -> Http:
    return Http(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})


def limit(body: Mapping[str, Any]) -> int:
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)


def text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def answer(body: dict[str, Any]) -> Chat:
    """What a good model would say."""
    messages = body["messages"]
    last, everything = messages[-1], "\n".join(map(text_of, messages))
    asked = next(text_of(message) for message in reversed(messages) if message["role"] == "user")
    if last["role"] == "tool":
        results = [text_of(message) for message in messages if message["role"] == "tool"]
        return Chat("It says: " + ", ".join(results))
    if calls := called(body, everything):
        return Chat(tool_calls=calls)
    form = body.get("response_format", {}).get("json_schema", {})
    if form.get("name") == "reply":  # tools told as branches of a schema
        name = form["schema"]["anyOf"][0]["properties"]["name"]["const"]
        return Chat(json.dumps({"name": name, "arguments": {"city": "Lisbon"}}))
    if form:
        return Chat('{"city": "Tokyo", "population_millions": 37}')
    if number := drawn(messages):
        return Chat(number)
    if found := re.search(r"(?:nothing else:|password (?:of the mill )?is|code word is) ([0-9A-F]{8})", everything):
        return Chat(found[1])
    if "from 1 to 30" in asked:
        stops = body.get("stop", [])
        return Chat(ALL[: min((ALL.find(stop) for stop in stops if stop in ALL), default=len(ALL))])
    if "a story" in asked:
        return Chat("The sea was calm. " * 6, finish="length")
    thinks = "strawberry" in everything and (body["model"] == NAME or "reasoning_effort" in body)
    return Chat("Paris, and hello.", reasoning="The letters are s, t, r, a, w." if thinks else "")


def called(body: dict[str, Any], everything: str) -> list[Call]:
    """The tools that a good model calls."""
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    choice = body.get("tool_choice")
    if not names or choice == "none":
        return []
    if isinstance(choice, dict):
        return [Call(choice["function"]["name"], {"city": "Rome"})]
    if "Read" in names:
        found = re.search(r"/srv/app/\w+\.py", everything)
        return [Call("Read", {"file_path": found[0] if found else "?"})]
    if names == ["Write"]:
        return [Call("Write", {"file_path": "/tmp/greet.py", "content": everything.split("\n\n", 1)[1]})]
    if names == ["read_secret"]:
        return [Call("read_secret", {"box": "red"})]
    city = {"city": "Oslo" if "Oslo" in everything else "Lisbon"}
    return [Call(name, city) for name in (names if "both" in everything else names[:1])]


def drawn(messages: list[dict[str, Any]]) -> str:
    """The number in an image, which is one of the ninety that there are."""
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    made = {b64encode(png(str(number))).decode(): str(number) for number in range(10, 100)} if urls else {}
    return made[urls[-1].partition(",")[2]] if urls else ""


# What a server may lack, in the words of real ones.


def no_max_tokens(body: dict[str, Any]) -> str:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return words if "max_tokens" in body else ""


def only_first_system(body: dict[str, Any]) -> str:
    late = any(message["role"] == "system" for message in body["messages"][1:])
    return "System message must be at the beginning." if late else ""


def no_files(body: dict[str, Any]) -> str:
    kinds = [part["type"] for m in body["messages"] if isinstance(m.get("content"), list) for part in m["content"]]
    return "Unknown part type: 'file'." if "file" in kinds else ""


def no_images(body: dict[str, Any]) -> str:
    kinds = [part["type"] for m in body["messages"] if isinstance(m.get("content"), list) for part in m["content"]]
    return "This model does not support image input." if "image_url" in kinds else ""


def at_least_16(body: dict[str, Any]) -> str:
    return "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16." if limit(body) < 16 else ""


def at_most_8192(body: dict[str, Any]) -> str:
    words = f"max_tokens is too large: {limit(body)}. This model supports at most 8192 completion tokens."
    return words if limit(body) > 8192 else ""


def short_mistral_ids(body: dict[str, Any]) -> str:
    ids = [call["id"] for message in body["messages"] for call in message.get("tool_calls", ())]
    bad = [one for one in ids if not re.fullmatch("[a-zA-Z0-9]{9}", one)]
    return f"Tool call id was {bad[0]} but must be a-z, A-Z, 0-9, with a length of 9." if bad else ""


def no_forced_tools(body: dict[str, Any]) -> str:
    return "tool_choice must be auto or none" if isinstance(body.get("tool_choice"), dict) else ""


def no_tools(body: dict[str, Any]) -> str:
    return "This server does not support tools." if "tools" in body else ""


def no_session_key(body: dict[str, Any]) -> str:
    return "Unrecognized request argument supplied: prompt_cache_key" if "prompt_cache_key" in body else ""


def no_effort_of_its_own(_: dict[str, Any]) -> str:
    return ""  # nothing is refused; it does not think unless it is told how much
