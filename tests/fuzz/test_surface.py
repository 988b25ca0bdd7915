"""Whatever schemathesis makes of our endpoints, no answer is a mistake of ours, and every error is Anthropic's."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
import yaml
from aiohttp import web
from hypothesis import HealthCheck, settings

from behaviours.test_keys_stay_home import ANSWERS
from claude_code_proxy.cli.local_proxy import running
from claude_code_proxy.settings import ENV_FILE, load_settings
from grammar import read

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 10)
SCHEMA = schemathesis.openapi.from_dict(yaml.safe_load((Path(__file__).parent / "openapi.yaml").read_text("utf-8")))
STATUSES = {200, 400, 401, 403, 404, 405, 413, 415}


async def _say(request: web.Request) -> web.Response:
    """An upstream that takes anything: what it is sent is the affair of other tests."""
    known = (body for end, body in ANSWERS.items() if request.path.endswith(end))
    return web.json_response(next(known, {"error": {"message": "nothing there"}}))


async def _serve(address: Future[str], over: threading.Event) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _say)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    names = {"OPENAI_BASE_URL": "/v1", "ANTHROPIC_API_BASE": "", "OLLAMA_API_BASE": "", "GEMINI_API_BASE": "/v1beta"}
    env = {name: upstream + path for name, path in names.items()}
    keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "k")
    async with running(load_settings({ENV_FILE: "", "OLLAMA_NUM_CTX": "0", **env, **keys})) as url:
        address.set_result(url)
        await asyncio.to_thread(over.wait)
    await runner.cleanup()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    address: Future[str] = Future()
    over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(address, over)))
    thread.start()
    try:
        yield address.result(30)
    finally:
        over.set()
        thread.join()


def judged(answer: Any, *, stream: bool) -> None:
    """It is a proper answer, or an error in Anthropic's envelope."""
    assert answer.status_code in STATUSES, (answer.status_code, answer.content)
    assert answer.headers["request-id"][0].startswith("req_")
    [kind] = answer.headers["content-type"]
    if answer.status_code == 200:
        assert "text/event-stream" not in kind or (stream and read(answer.content, any_input=True).message)
        return
    told = answer.json()
    assert set(told) == {"type", "error", "request_id"}
    assert told["request_id"] == answer.headers["request-id"][0]
    assert told["error"]["message"]
    assert "Traceback" not in told["error"]["message"]


@pytest.mark.fault("F-06", "C-19")
@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
def test_any_request_is_answered_properly(case: schemathesis.Case[Any], url: str) -> None:
    answer = case.call(base_url=url)
    body = case.body if isinstance(case.body, dict) else {}
    judged(answer, stream=body.get("stream") is True)
