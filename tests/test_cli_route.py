"""`claude-code-proxy route`: where a request would go."""

from __future__ import annotations

import pytest

from claude_code_proxy.cli import main


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_PROXY_ENV_FILE", "")
    for name in ("PREFERRED_PROVIDER", "BIG_MODEL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_target_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "qwen/qwen3"]) == 0
    assert capsys.readouterr().out == "openrouter:qwen/qwen3\n"


def test_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "opus", "--explain"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("openai:gpt-4.1\n")
    assert "BIG_MODEL" in out
    assert "OPENAI_API_KEY" in out


def test_what_the_url_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "x", "--url", "ollama:llama3:8b"]) == 0
    assert capsys.readouterr().out == "ollama:llama3:8b\n"


def test_what_goes_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "x", "--url", "nowhere:x"]) == 1
    assert "is no provider" in capsys.readouterr().err
