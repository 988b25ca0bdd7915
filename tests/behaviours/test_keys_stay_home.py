"""Behaviours 17 and 23 in full: every provider, every preferred provider, every spelling of a model.

Each provider has an address and a key of its own. Wherever a request goes, it carries the key of that place and
no other, and `claude-code-proxy route` names that place.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from claude_code_proxy.cli import main
from claude_code_proxy.cli.local_proxy import running
from claude_code_proxy.providers import load_providers
from claude_code_proxy.settings import ENV_FILE, load_settings

from .stage import CLIENT_KEY, TIMEOUT, hello

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLAIN = {"bearer", "x-api-key", "x-goog-api-key", "api-key"}
ROWS = {name: row for name, row in load_providers({}).items() if row.base_url_env and row.auth in PLAIN}
"""The providers that can be moved to an address of these tests and send a key as it is."""

BIG, SMALL = "the-big-one", "the-small-one"
HEADERS = {
    "x-api-key": CLIENT_KEY,
    "authorization": f"Bearer {CLIENT_KEY}",
    "x-goog-api-key": CLIENT_KEY,
    "api-key": CLIENT_KEY,
    "cookie": f"key={CLIENT_KEY}",
    "content-type": "application/json",
}
ANSWERS: dict[str, Any] = {
    "/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "/messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "/responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    },
    ":generateContent": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
    },
}


class Asked(NamedTuple):
    """A request that came: whose address it was, the model, and everything it said."""

    variable: str
    model: str
    said: str


@dataclass
class Places:
    """One server with an address for each provider."""

    addresses: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    ports: dict[int, str] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        raw = await request.text()
        port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
        path = unquote(request.path)
        model = json.loads(raw).get("model") or path.partition("/models/")[2].rpartition(":")[0]
        self.asked.append(Asked(self.ports[port], model, f"{request.path_qs} {dict(request.headers)} {raw}"))
        known = (body for end, body in ANSWERS.items() if path.endswith(end))
        return web.json_response(next(known, {"error": {"message": f"nothing at {path}"}}))

    def take(self) -> list[Asked]:
        taken, self.asked = self.asked, []
        return taken

    def env(self, *, keys: bool = True) -> dict[str, str]:
        """The variables that lead each provider here, with a key each."""
        held = {variable: key_of(variable) for row in ROWS.values() if (variable := row.api_key_env)} if keys else {}
        return {ENV_FILE: "", **self.addresses, "BIG_MODEL": BIG, "SMALL_MODEL": SMALL, "OLLAMA_NUM_CTX": "0", **held}


def key_of(variable: str) -> str:
    return f"<canary of {variable}>" if variable else ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def places() -> AsyncIterator[Places]:
    places = Places()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", places.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    for variable in dict.fromkeys(row.base_url_env for row in ROWS.values()):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[-1][1]
        places.addresses[variable], places.ports[port] = f"http://127.0.0.1:{port}", variable
    yield places
    await runner.cleanup()


class Case(NamedTuple):
    """A request's URL and model, and where it must go."""

    base: str
    model: str
    provider: str
    sent: str


def of_bodies(preferred: Provider) -> Iterator[Case]:
    """Models in the body, as a server with this preferred provider reads them."""
    for model in ("gpt-4.1", "never-heard-of-it"):
        yield Case("", model, preferred.name, model)
    for model, chosen in (
        ("claude-sonnet-4", BIG),
        ("Claude-OPUS-4", BIG),
        ("claude-haiku-4-5", SMALL),
        ("claude-opus-4[1m]", BIG),
    ):
        own = model.removesuffix("[1m]")
        yield Case("", model, preferred.name, own if preferred.serves_claude else chosen)
    for name, row in ROWS.items():
        if row.prefix:
            yield Case("", f"{row.prefix}/m:tag", name, "m:tag")
            yield Case("", f"{row.prefix.upper()}/m", name, "m")
        for number, vendor in enumerate(row.vendors):
            model = f"{vendor.upper() if number % 2 else vendor}/m:free"
            yield Case("", model, name, model)
        yield Case("", f"{name}:m/x:y", name, "m/x:y")


def of_urls() -> Iterator[Case]:
    """Models in the URL, in every spelling; the body's model means nothing."""
    for name, row in ROWS.items():
        for number, own in enumerate((name, *row.aliases)):
            body = ("claude-opus-4", "qwen/other", "openai:other", "haiku")[number % 4]
            for base in (f"/{own}:m", f"/{own.upper()}:m", f"/{own}%3Am", f"//{own.title()}%3am//", f"/{own}:m/v1"):
                yield Case(base, body, name, "m")
            yield Case(f"/{own}:claude-sonnet-4", body, name, "claude-sonnet-4")
            yield Case(f"/{own}:bare:tag", body, name, "bare:tag")
            yield Case("", f"{own.upper()}:m", name, "m")
            yield Case("", f"claude-via-{own}:m/x:y", name, "m/x:y")
        for vendor in row.vendors:
            yield Case(f"/openai:{vendor}/m", "haiku", name, f"{vendor}/m")
            yield Case(f"/OpenAI%3A{vendor.upper()}%2Fm:x", "haiku", name, f"{vendor.upper()}/m:x")


async def post(session: aiohttp.ClientSession, url: str, case: Case) -> tuple[int, Any]:
    place = URL(f"{url}{case.base}/v1/messages", encoded=True)
    async with session.post(place, json=hello(case.model), headers=HEADERS) as got:
        return got.status, await got.json()


def explained(
    case: Case, settings: Settings, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What the command line says of it."""
    patch.setattr("claude_code_proxy.settings.load_settings", lambda: settings)
    pinned = unquote(case.base).strip("/").removesuffix("/v1")
    assert main(["route", case.model, *(["--url", pinned] if pinned else []), "--explain"]) == 0
    return capsys.readouterr().out.splitlines()


def assert_at_home(case: Case, asked: list[Asked], lines: list[str], places: Places) -> None:
    """It went where it should, with that place's key alone, and the command line said so."""
    [one] = asked
    row = ROWS[case.provider]
    assert (one.variable, one.model) == (row.base_url_env, case.sent), case
    keys = {other.api_key_env for other in ROWS.values() if other.api_key_env}
    assert {name for name in keys if key_of(name) in one.said} == {row.api_key_env} - {""}, case
    assert CLIENT_KEY not in one.said, case
    assert lines[0] == f"{case.provider}:{one.model}", case
    told = {word: rest.strip() for word, _, rest in (line.strip().partition(" ") for line in lines[1:])}
    assert told["address"].startswith(places.addresses[one.variable]), case
    assert told["key"] == ("with its key" if row.api_key_env else "without a key"), case


@pytest.mark.parametrize("preferred", ROWS)
@pytest.mark.fault("S-12")
async def test_23_every_spelling_for_every_preferred_provider(
    places: Places, preferred: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(places.env() | {"PREFERRED_PROVIDER": preferred})
    async with running(settings) as url, aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for case in of_bodies(ROWS[preferred]):
            status, said = await post(session, url, case)
            assert status == 200, (case, said)
            assert_at_home(case, places.take(), explained(case, settings, monkeypatch, capsys), places)


@pytest.mark.parametrize("preferred", ["openai", "ollama", "anthropic"])
@pytest.mark.fault("S-12")
async def test_23_every_spelling_in_the_url(
    places: Places, preferred: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(places.env() | {"PREFERRED_PROVIDER": preferred})
    async with running(settings) as url, aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for case in of_urls():
            status, said = await post(session, url, case)
            assert status == 200, (case, said)
            assert_at_home(case, places.take(), explained(case, settings, monkeypatch, capsys), places)


@pytest.mark.fault("S-12")
async def test_17_without_a_key_nobody_is_asked(
    places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All other keys are there. A provider that needs none is asked without one."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=TIMEOUT))
        for name, row in ROWS.items():
            env = places.env() | {"PREFERRED_PROVIDER": name, row.api_key_env or "NONE": ""}
            settings = load_settings(env)
            async with running(settings) as url:
                cases = [
                    Case(f"/{name}:m", "haiku", name, "m"),
                    Case("", f"claude-via-{name}:m", name, "m"),
                    Case("", "never-heard-of-it", name, "never-heard-of-it"),
                    Case("", "claude-opus-4", name, "claude-opus-4" if row.serves_claude else BIG),
                    *(Case("", f"{vendor}/m", name, f"{vendor}/m") for vendor in row.vendors),
                    *(Case(f"/openai:{vendor}/m", "haiku", name, f"{vendor}/m") for vendor in row.vendors),
                ]
                for case in cases:
                    status, said = await post(session, url, case)
                    lines = explained(case, settings, monkeypatch, capsys)
                    assert lines[0] == f"{name}:{case.sent}"
                    if row.api_key_env and not row.key_optional:
                        assert (status, said["error"]["type"]) == (401, "authentication_error"), case
                        assert row.api_key_env in said["error"]["message"]
                        assert any(row.api_key_env in line for line in lines)
                        assert places.take() == [], case
                        continue
                    assert status == 200, (case, said)
                    [asked] = places.take()
                    assert (asked.variable, asked.model) == (row.base_url_env, case.sent)
                    assert "canary of" not in asked.said
                    assert CLIENT_KEY not in asked.said


async def test_23_no_provider_is_left_out() -> None:
    """All but those whose place or credentials are made elsewhere are in the tables above."""
    named = {"openai", "openrouter", "nvidia", "ollama", "anthropic", "gemini", "deepseek", "groq", "openai-compatible"}
    assert named <= ROWS.keys()
    assert len(ROWS) >= 24
