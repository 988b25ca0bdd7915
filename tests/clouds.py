"""What the tests of clouds share: the server in this process, and an environment without anybody's credentials."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asgi import Exchange
from claude_code_proxy.gateway import Known, preparations
from claude_code_proxy.http.count_tokens import CountTokens
from claude_code_proxy.http.messages import Messages
from claude_code_proxy.providers import load_providers
from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool
from upstreams import FakeMessages, Http, Recorded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path

    from claude_code_proxy.providers import Provider

    Ask = Callable[[], Awaitable[dict[str, str]]]

ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
PLACE = {"VERTEX_PROJECT": "proj", "VERTEX_LOCATION": "us-central1"}
ACCESS, SECRET, SESSION = "AKIACANARY", "canary/aws+secret", "canary-session-token"
AWS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}


class Claude(FakeMessages):
    """Claude where it is not at Anthropic's own path."""

    def front(self, rec: Recorded) -> Http | None:
        return None if rec.path.endswith(("awPredict", "/invoke", "/invoke-with-response-stream")) else Http(404)


def row(name: str, **env: str) -> Provider:
    return load_providers(env)[name]


@asynccontextmanager
async def serving(
    pinned: str,
    env: Mapping[str, str],
    asked: Mapping[str, Any],
    *,
    counting: bool = False,
    headers: Mapping[str, str] | None = None,
) -> AsyncGenerator[Exchange]:
    """The server's answer to one message, or count."""
    settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "UPSTREAM_RETRIES": "0", **env})
    pool = Pool(settings)
    exchange = Exchange(json.dumps(asked).encode(), headers=dict(headers or {}))
    try:
        await (CountTokens if counting else Messages)(settings, pool, Known(preparations(pool)))(
            exchange.scope, exchange.receive, exchange.send, pinned
        )
        yield exchange
    finally:
        await pool.close()


@pytest.fixture
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "CLOUDSDK_CONFIG": str(tmp_path / "none"),
        "NO_GCE_CHECK": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_PROFILE", *AWS):
        monkeypatch.delenv(name, raising=False)
