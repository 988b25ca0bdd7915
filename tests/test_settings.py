from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from platformdirs import user_state_path

from claude_code_proxy import settings as module
from claude_code_proxy.providers import find_provider
from claude_code_proxy.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from pathlib import Path

ALONE = {"CLAUDE_CODE_PROXY_ENV_FILE": ""}


def test_the_defaults_hold_where_nothing_is_set() -> None:
    settings = load_settings(ALONE)
    ledger = str(user_state_path("claude-code-proxy") / "ledger.db")
    assert settings == Settings(providers=settings.providers, proxy_ledger=ledger)
    assert (settings.preferred_provider, settings.big_model, settings.small_model) == (
        "openai",
        "gpt-4.1",
        "gpt-4.1-mini",
    )


SET: list[tuple[str, str, str, object]] = [
    ("PREFERRED_PROVIDER", "ollama", "preferred_provider", "ollama"),
    ("PREFERRED_PROVIDER", "Google", "preferred_provider", "gemini"),
    ("BIG_MODEL", " x ", "big_model", "x"),
    ("PROXY_LEDGER", "off", "proxy_ledger", ""),
    ("PROXY_LEDGER", "No", "proxy_ledger", ""),
    ("PROXY_LEDGER", "/var/lib/proxy.db", "proxy_ledger", "/var/lib/proxy.db"),
    ("PROXY_LEDGER", "postgresql://u:p@db/x", "proxy_ledger", "postgresql://u:p@db/x"),
    ("PROXY_LEDGER_DAYS", "7", "proxy_ledger_days", 7),
    ("PROXY_CAPTURE", "yes", "proxy_capture", True),
    ("PROXY_CAPTURE_DAYS", "1", "proxy_capture_days", 1),
    ("BIG_MODEL", "", "big_model", "gpt-4.1"),
    ("SMALL_MODEL", "Y", "small_model", "Y"),
    ("MAX_OUTPUT_TOKENS", "8192", "max_output_tokens", 8192),
    ("OLLAMA_NUM_CTX", "0", "ollama_num_ctx", 0),
    ("OLLAMA_NUM_CTX", "60000", "ollama_num_ctx", 60_000),
    ("CONNECT_TIMEOUT", "1.5", "connect_timeout", 1.5),
    ("IDLE_TIMEOUT", "1", "idle_timeout", 1.0),
    ("PING_INTERVAL", "0.1", "ping_interval", 0.1),
    ("FIRST_BYTE_TIMEOUT", "90", "first_byte_timeout", 90.0),
    ("LOCAL_FIRST_BYTE_TIMEOUT", "900", "local_first_byte_timeout", 900.0),
    ("ANSWER_TIMEOUT", "300", "answer_timeout", 300.0),
    ("STREAM_TIMEOUT", "7200", "stream_timeout", 7200.0),
    ("UPSTREAM_RETRIES", "0", "upstream_retries", 0),
    ("UPSTREAM_PROXY", "http://me:secret@proxy:3128", "upstream_proxy", "http://me:secret@proxy:3128"),
]


@pytest.mark.parametrize(("name", "held", "field", "value"), SET)
def test_a_variable_sets_its_field(name: str, held: str, field: str, value: object) -> None:
    assert getattr(load_settings({**ALONE, name: held}), field) == value


WRONG = [
    ("PREFERRED_PROVIDER", "nobody"),
    ("MAX_OUTPUT_TOKENS", "-1"),
    ("OLLAMA_NUM_CTX", "128k"),
    ("MAX_OUTPUT_TOKENS", "many"),
    ("MAX_OUTPUT_TOKENS", "²"),
    ("MAX_OUTPUT_TOKENS", "9" * 5000),
    ("IDLE_TIMEOUT", "0"),
    ("IDLE_TIMEOUT", "nan"),
    ("IDLE_TIMEOUT", "inf"),
    ("CONNECT_TIMEOUT", "soon"),
    ("UPSTREAM_RETRIES", "-1"),
    ("UPSTREAM_PROXY", "proxy:3128"),
    ("UPSTREAM_PROXY", "http://proxy:3128/path"),
    ("OPENAI_BASE_URL", "example.test"),
]


@pytest.mark.parametrize(("name", "held"), WRONG)
@pytest.mark.fault("R-18")
def test_what_cannot_be_used_is_told_with_its_variable(name: str, held: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({**ALONE, name: held})


@pytest.mark.fault("R-18")
def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({**ALONE, "MAX_OUTPUT_TOKENS": "x", "IDLE_TIMEOUT": "y", "PREFERRED_PROVIDER": "z"})
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["openai", "OpenAI", "google", "GEMINI"])
def test_a_provider_is_found_by_name_or_alias_in_any_case(name: str) -> None:
    assert find_provider(load_settings(ALONE).providers, name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty config folder and an environment without the variables of these settings."""
    for name in (
        "BIG_MODEL",
        "SMALL_MODEL",
        "PREFERRED_PROVIDER",
        "OPENAI_API_KEY",
        "CLAUDE_CODE_PROXY_ENV_FILE",
        "CLAUDE_CODE_PROXY_CONFIG",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "config_folder", lambda: tmp_path)
    monkeypatch.setattr(module, "_beside_server", list)
    return tmp_path


def test_the_environment_wins_over_the_checkouts_file_and_that_over_the_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = folder / "beside.env"
    monkeypatch.setattr(module, "_beside_server", lambda: [beside])
    (folder / ".env").write_text("BIG_MODEL=user\nSMALL_MODEL=user\nOPENAI_API_KEY=user\n")
    beside.write_text("SMALL_MODEL=beside\nOPENAI_API_KEY=beside\n")
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    settings = load_settings()
    assert (settings.big_model, settings.small_model, settings.providers["openai"].api_key) == (
        "user",
        "beside",
        "real",
    )


def test_a_file_that_is_named_is_the_only_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("BIG_MODEL=user\n")
    (folder / "own.env").write_text("SMALL_MODEL='own'  # a comment\nexport PREFERRED_PROVIDER=ollama\n")
    monkeypatch.setenv("CLAUDE_CODE_PROXY_ENV_FILE", str(folder / "own.env"))
    settings = load_settings()
    assert (settings.big_model, settings.small_model, settings.preferred_provider) == ("gpt-4.1", "own", "ollama")


@pytest.mark.fault("S-12")
def test_nothing_in_a_file_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "secret")
    (folder / ".env").write_text("BIG_MODEL=a${SECRET}b\n")
    assert load_settings().big_model == "a${SECRET}b"


@pytest.mark.fault("S-12")
def test_a_file_in_the_working_directory_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".env").write_text("BIG_MODEL=stranger\n")
    monkeypatch.chdir(elsewhere)
    assert load_settings().big_model == "gpt-4.1"


def test_a_named_file_that_is_not_there_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLAUDE_CODE_PROXY_ENV_FILE", "CLAUDE_CODE_PROXY_CONFIG"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(folder / "missing"))
            with pytest.raises(SettingsError, match=name):
                load_settings()


def test_the_users_tables_are_laid_over_the_built_in_ones(folder: Path) -> None:
    (folder / "config.toml").write_text(
        '[providers.own]\ndialect = "anthropic"\nbase_url = "http://x.test"\n[providers.openai]\napi_key = "k"\n'
    )
    providers = load_settings().providers
    assert providers["own"].base_url == "http://x.test"
    assert providers["openai"].api_key == "k"
    assert providers["openai"].base_url == "https://api.openai.com/v1"


CONFIGS = [
    b"nonsense",
    b"\xff",
    b'colour = "red"',
    b'providers = "x"',
    b'[providers]\nown = "x"',
    b'[providers.own]\ndialect = "smoke"',
]


@pytest.mark.parametrize("content", CONFIGS)
@pytest.mark.fault("R-18")
def test_a_config_file_that_cannot_be_used_is_told(folder: Path, content: bytes) -> None:
    (folder / "config.toml").write_bytes(content)
    with pytest.raises(SettingsError):
        load_settings()


def test_the_address_that_clients_find_this_proxy_by_is_not_read() -> None:
    moved = {**ALONE, "ANTHROPIC_BASE_URL": "http://127.0.0.1:4000"}
    assert all(provider.base_url != moved["ANTHROPIC_BASE_URL"] for provider in load_settings(moved).providers.values())


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        *(("PROXY_OPEN", "maybe", "true or false"), ("PROXY_OPEN", "2", "true or false")),
        *(("MAX_STREAMS", "0", "1 or more"), ("MAX_STREAMS", "-1", "whole number"), ("MAX_QUEUE", "x", "whole number")),
        *(
            ("HEAD_TIMEOUT", "0", "seconds"),
            ("DRAIN_TIMEOUT", "soon", "seconds"),
            ("BODY_MEMORY_MIB", "0", "1 or more"),
        ),
    ],
)
def test_bounds_that_cannot_be(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be .*{allowed}"):
        load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", name: value})


def test_bounds_as_they_are_set() -> None:
    settings = load_settings(
        {"CLAUDE_CODE_PROXY_ENV_FILE": "", "PROXY_OPEN": "On", "MAX_QUEUE": "0", "WRITE_TIMEOUT": "1.5"}
    )
    assert (settings.proxy_open, settings.max_queue, settings.write_timeout) == (True, 0, 1.5)
    assert not load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", "PROXY_OPEN": "off"}).proxy_open
