"""What the HTTP tests share: plain requests, and what every error answer must look like."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from .claude import CLIENT_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_ANSWER = aiohttp.ClientTimeout(total=30)
HEADERS = {"x-api-key": CLIENT_TOKEN, "anthropic-version": "2023-06-01", "content-type": "application/json"}
HELLO: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello"}],
}
CHAT, NATIVE = "/openai:gpt-4.1/v1/messages", "/anthropic:claude-sonnet-5-5/v1/messages"


class Answer:
    """A whole HTTP answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> dict[str, str]:
        """Give the error; anything but Anthropic's envelope fails."""
        assert self.headers["content-type"].startswith("application/json"), self.body[:500]
        told = self.json
        assert told["type"] == "error"
        assert set(told) == {"type", "error", "request_id"}
        assert told["request_id"] == self.headers["request-id"], (told, self.headers)
        assert set(told["error"]) == {"type", "message"}
        assert told["error"]["message"]
        assert "Traceback" not in told["error"]["message"]
        error: dict[str, str] = told["error"]
        return error

    def events(self) -> list[dict[str, Any]]:
        """Give the events of a stream; event and type must agree."""
        return list(events_of(self.body))


def events_of(body: bytes) -> Iterator[dict[str, Any]]:
    for block in body.split(b"\n\n"):
        if block:
            name, data = block.split(b"\n")
            event = json.loads(data.removeprefix(b"data: "))
            assert name.decode() == f"event: {event['type']}"
            yield event


async def send(url: str, path: str, body: Any = None, *, method: str = "POST", **headers: str) -> Answer:
    """Send one request: bytes as they are, the rest as JSON. The path goes out as it is."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession(timeout=LONGEST_ANSWER, headers=HEADERS) as session,
        session.request(method, URL(url + path, encoded=True), data=io.BytesIO(raw), headers=headers) as got,
    ):
        return Answer(got.status, got.headers, await got.read())


def told_text(answer: Answer) -> str:
    """Give the text of a message that was not streamed."""
    assert answer.status == 200, answer.body[:500]
    return "".join(block["text"] for block in answer.json["content"] if block["type"] == "text")
