from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from calls import body, outgoing
from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.session import SESSION, session_key
from claude_code_proxy.wire.failure import ApiError

ID = "0b5f2d0e-8d6e-4d5c-9f8e-6f1c7f4c2f11"
USER = json.dumps({"device_id": "canary-device", "account_uuid": "canary-account", "session_id": ID})
HASH = sha256(ID.encode()).hexdigest()[:32]

NAMED: list[tuple[object, dict[str, str], str]] = [
    ({"user_id": USER}, {}, ID),
    ({"user_id": f"user_canary_account__session_{ID}"}, {}, ID),
    ({}, {SESSION: ID}, ID),
    ({"user_id": "somebody"}, {SESSION: ID}, ID),
    ({"user_id": "somebody"}, {}, "somebody"),
    ({"user_id": '{"device_id": "d"}'}, {}, '{"device_id": "d"}'),
    ({"user_id": '{"session_id": 5}'}, {}, '{"session_id": 5}'),
    ({"user_id": "[1]"}, {}, "[1]"),
]


@pytest.mark.parametrize(("metadata", "headers", "named"), NAMED)
def test_a_session_has_one_key_wherever_it_is_named(metadata: object, headers: dict[str, str], named: str) -> None:
    assert session_key(metadata, headers) == sha256(named.encode()).hexdigest()[:32]


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"user_id": None}, {"user_id": 5}, {"user_id": ""}])
def test_who_names_no_session_has_no_key(metadata: object) -> None:
    assert session_key(metadata, {}) == ""


TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("openai_chat", {"session_key": "prompt_cache_key"}),
    ("openai_chat", {"session_header": "x-grok-conv-id"}),
    ("openai_responses", {"session_key": "prompt_cache_key"}),
    ("openai_responses", {"session_header": "x-session-id"}),
    ("anthropic", {"session_header": "x-session-id"}),
]


@pytest.mark.parametrize("headers", [{SESSION: ID}, {}])
@pytest.mark.parametrize(("dialect", "quirks"), TAKEN)
def test_the_key_goes_where_the_provider_takes_it(
    dialect: str, quirks: dict[str, str], headers: dict[str, str]
) -> None:
    made = outgoing(DIALECTS[dialect], body(metadata={"user_id": USER}), quirks=quirks, headers=headers)
    told = {**json.loads(made.body), **dict(made.headers)}
    assert [told[name] for name in quirks.values()] == [HASH]
    bare = outgoing(DIALECTS[dialect], body(), quirks=quirks)
    assert not set(quirks.values()) & {*json.loads(bare.body), *dict(bare.headers)}


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "gemini"])
def test_who_the_client_is_stays_here(dialect: str) -> None:
    quirks = {} if dialect == "gemini" else {"session_key": "session_id", "session_header": "x-session-id"}
    made = outgoing(DIALECTS[dialect], body(metadata={"user_id": USER}), quirks=quirks, headers={SESSION: ID})
    told = f"{made.body.decode()} {made.headers}"
    assert "canary" not in told
    assert ID not in told


@pytest.mark.parametrize("metadata", [b'"\\ud800"', b'{"user_id": "\xff"}', b"[" * 5000 + b"]" * 5000, b"null", b"[]"])
def test_odd_metadata_passes_without_a_key(metadata: bytes) -> None:
    raw = b'{"model":"some-model","max_tokens":9,"messages":[],"metadata":%b}' % metadata
    try:
        made = outgoing(DIALECTS["anthropic"], raw, quirks={"session_header": "x-session-id"})
    except ApiError as cause:
        assert cause.failed.status == 400  # noqa: PT017
    else:
        assert "x-session-id" not in dict(made.headers)
        assert b"metadata" in made.body
