"""Whose credential goes where, and what is said when there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.credentials import Credentials
from clouds import ASK, PLACE, nothing_of_this_machine, row, serving
from upstreams import Chat, FakeChat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Ask = Callable[[], Awaitable[dict[str, str]]]


__all__ = ["nothing_of_this_machine"]

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")


LIBRARIES: list[tuple[str, str, dict[str, str], str]] = [
    ("google.auth", "vertex:gemini-3-pro", PLACE, "claude-code-proxy[vertex]"),
    ("botocore.auth", "bedrock:m", {"AWS_REGION": "eu-west-1"}, "claude-code-proxy[bedrock]"),
]


@pytest.mark.parametrize(("library", "pinned", "env", "word"), LIBRARIES)
async def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, library: str, pinned: str, env: dict[str, str], word: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    async with serving(pinned, env, ASK) as got:
        assert (got.status, got.headers["x-should-retry"]) == (401, "false")
        assert word in got.body.decode()


def test_the_libraries_are_not_loaded_before_they_are_used() -> None:
    code = "import claude_code_proxy.app, sys; sys.exit(any(n in sys.modules for n in ('google.auth', 'botocore')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_would_lead_elsewhere_is_no_part_of_an_address() -> None:
    for name, variable in (("bedrock", "AWS_REGION"), ("azure", "AZURE_OPENAI_RESOURCE")):
        for value in ("evil.test/", "a@b", "x?y", "#", "a b"):
            with pytest.raises(ValueError, match=variable):
                row(name, **{variable: value})


async def test_azure() -> None:
    made = row("azure", AZURE_OPENAI_RESOURCE="res", AZURE_OPENAI_API_KEY="k")
    assert made.root == "https://res.openai.azure.com/openai/v1"
    assert await Credentials().headers(made, "POST", made.root, b"") == {"api-key": "k"}
    claude = row("azure-anthropic", AZURE_ANTHROPIC_RESOURCE="res", AZURE_ANTHROPIC_API_KEY="k")
    assert claude.root == "https://res.services.ai.azure.com/anthropic"
    assert await Credentials().headers(claude, "POST", claude.root, b"") == {"x-api-key": "k"}


async def test_a_provider_is_one_row_of_data(tmp_path: Path) -> None:
    """Nothing but a table is needed to talk to another one."""
    async with FakeChat([Chat("Hello.")]) as other:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[providers.other]\ndialect = "openai_chat"\nbase_url = "{other.api}"\napi_key_env = "OTHER_KEY"\n',
            "utf-8",
        )
        env = {"CLAUDE_CODE_PROXY_CONFIG": str(config), "OTHER_KEY": "k"}
        async with serving("other:gpt-4.1", env, ASK) as got:
            assert (got.status, json.loads(got.body)["content"][0]["text"]) == (200, "Hello.")
    assert [(rec.path, rec.headers["authorization"]) for rec in other.requests] == [
        ("/v1/chat/completions", "Bearer k")
    ]


async def test_a_fixed_key_waits_for_nothing() -> None:
    made = row("openai", OPENAI_API_KEY="k")
    with pytest.raises(StopIteration) as done:
        Credentials().headers(made, "POST", made.root, b"").send(None)
    assert done.value.value == {"authorization": "Bearer k"}


def test_a_cloud_in_another_dialect_is_still_asked_as_a_cloud() -> None:
    made = row("vertex", **PLACE, VERTEX_DIALECT="anthropic")
    assert (made.dialect, made.auth, made.quirks) == ("anthropic", "google", {})
    assert (
        row("anthropic", ANTHROPIC_DIALECT="openai_chat", ANTHROPIC_CLIENT_CREDENTIALS="1").client_credentials is False
    )
