from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.providers import ProviderError, load_providers
from claude_code_proxy.wire.failure import ApiError

ROWS: dict[str, dict[str, Any]] = tomllib.loads(
    files("claude_code_proxy").joinpath("providers.toml").read_text("utf-8")
)


@pytest.mark.parametrize("name", ROWS)
def test_every_built_in_provider_can_be_used(name: str) -> None:
    provider = load_providers({})[name]
    assert provider.name == name
    assert provider.dialect in DIALECTS
    assert provider.base_url.startswith("http") or provider.base_url_env
    assert not provider.base_url.endswith("/")
    assert not provider.api_key


def test_every_built_in_provider_can_be_moved_and_gets_its_key() -> None:
    for name, row in ROWS.items():
        env = {row["base_url_env"]: "http://moved.test/x/"}
        if key := row.get("api_key_env"):
            env[key] = "secret"
        prefix = row.get("path_prefix", "")
        for place in re.findall(r"\{[^}]*\}", prefix):
            env[place.strip("{}").split("|")[0]] = "part"
            prefix = prefix.replace(place, "part")
        provider = load_providers(env)[name]
        assert provider.base_url == "http://moved.test/x"
        assert provider.root == "http://moved.test/x" + prefix
        assert provider.host == "moved.test"
        assert provider.api_key == ("secret" if key else "")


def test_no_two_providers_share_a_name_alias_prefix_or_vendor() -> None:
    rows = load_providers({}).values()
    names = [name for row in rows for name in (row.name, *row.aliases)]
    prefixes = [row.prefix for row in rows if row.prefix]
    vendors = [vendor for row in rows for vendor in row.vendors]
    for held in (names, prefixes, vendors):
        assert len(set(held)) == len(held)
        assert all(one == one.lower() for one in held)


def test_the_key_is_never_shown() -> None:
    provider = load_providers({"OPENAI_API_KEY": "secret"})["openai"]
    assert "secret" not in repr(provider)
    assert "secret" not in str(provider)
    assert "secret" not in f"{provider!r}"


CREDENTIALS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"api_key": "k"}, {"authorization": "Bearer k"}),
    ({"api_key": "k", "auth": "x-api-key"}, {"x-api-key": "k"}),
    ({"api_key": "k", "auth": "x-goog-api-key"}, {"x-goog-api-key": "k"}),
    ({"api_key_env": "OWN_KEY", "key_optional": True}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("row", "expected"), CREDENTIALS)
def test_how_the_key_is_sent(row: dict[str, Any], expected: dict[str, str]) -> None:
    own = load_providers({}, {"own": {"dialect": "openai_chat", "base_url": "http://x.test", **row}})["own"]
    assert own.credentials() == expected


def test_a_provider_without_its_key_says_which_variable_to_set() -> None:
    with pytest.raises(ApiError, match="OPENAI_API_KEY") as raised:
        load_providers({})["openai"].credentials()
    assert raised.value.failed.status == 401
    assert (b"x-should-retry", b"false") in raised.value.failed.headers


def test_a_provider_without_an_address_says_which_variable_to_set() -> None:
    with pytest.raises(ApiError, match="OPENAI_COMPATIBLE_BASE_URL") as raised:
        load_providers({})["openai-compatible"].credentials()
    assert raised.value.failed.status == 400


def test_a_table_of_the_users_changes_a_provider_or_adds_one() -> None:
    rows = load_providers(
        {}, {"OpenAI": {"base_url": "http://a.test"}, "own": {"dialect": "anthropic", "base_url": "http://b.test"}}
    )
    assert rows["openai"].base_url == "http://a.test"
    assert rows["openai"].api_key_env == "OPENAI_API_KEY"
    assert rows["own"].dialect == "anthropic"


def test_space_around_a_key_is_no_key() -> None:
    assert load_providers({"OPENAI_API_KEY": " k\n"})["openai"].api_key == "k"
    assert load_providers({"OPENAI_API_KEY": "  "})["openai"].api_key == ""


def test_several_keys_stand_in_one_variable() -> None:
    made = load_providers({"OPENAI_API_KEY": " a, b,,a\n"}, {"own": {"dialect": "openai_chat", "api_key": "c,d"}})
    assert (made["openai"].api_key, made["openai"].api_keys) == ("a", ("a", "b"))
    assert (made["own"].api_key, made["own"].api_keys) == ("c", ("c", "d"))
    assert made["groq"].api_keys == ()
    assert made["openai"].credentials("b") == {"authorization": "Bearer b"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "dialect"),
    ({"dialect": "smoke"}, "dialect must be one of"),
    ({"dialect": "openai_chat", "colour": "red"}, "colour"),
    ({"dialect": "openai_chat", "base_url": 5}, "base_url"),
    ({"dialect": "openai_chat", "base_url": "ftp://x"}, "base_url"),
    ({"dialect": "openai_chat", "base_url": "localhost:8000"}, "base_url"),
    ({"dialect": "openai_chat", "base_url": "http://"}, "base_url"),
    ({"dialect": "openai_chat", "base_url": "http://x/?a=b"}, "base_url"),
    ({"dialect": "openai_chat", "base_url": "http://x/#a"}, "base_url"),
    ({"dialect": "openai_chat", "base_url": "http://user:secret@x"}, "user name or password"),
    ({"dialect": "openai_chat", "auth": "basic"}, "auth"),
    ({"dialect": "openai_chat", "quirks": {"max_tokens": "tokens"}}, "max_tokens"),
    ({"dialect": "openai_chat", "quirks": {"colour": "red"}}, "colour"),
    ({"dialect": "anthropic", "quirks": {"native": "torn"}}, "native"),
    ({"dialect": "anthropic", "quirks": {"colour": "red"}}, "colour"),
    ({"dialect": "anthropic", "prepare": "smoke"}, "prepare"),
]


@pytest.mark.parametrize(("row", "word"), WRONG)
def test_what_is_wrong_with_a_table_is_told(row: dict[str, Any], word: str) -> None:
    with pytest.raises(ProviderError, match=word) as raised:
        load_providers({}, {"own": row})
    assert "own" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://[", "http://x:port", "http://x:99999", "http://[::1", "//x", "\x00"])
def test_an_address_that_is_none_is_told_too(url: str) -> None:
    with pytest.raises(ProviderError):
        load_providers({"OPENAI_BASE_URL": url})
