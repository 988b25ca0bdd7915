from __future__ import annotations

import json
from typing import Any

import pytest

from claude_code_proxy.wire.failure import (
    STATUS,
    TYPE,
    ApiError,
    Failed,
    envelope,
    error,
    error_event,
    failed,
    from_error,
    type_of,
)

STATUSES = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (408, "timeout_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (418, "invalid_request_error"),
    (422, "invalid_request_error"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (502, "api_error"),
    (503, "overloaded_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
    (599, "api_error"),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_every_status_has_a_type(status: int, kind: str) -> None:
    assert type_of(status) == kind


def test_every_type_has_its_status_and_back() -> None:
    assert {TYPE[status] for status in TYPE} == set(STATUS)
    assert all(TYPE[status] == kind for kind, status in STATUS.items())


def test_a_failure_of_our_own_has_the_status_of_its_type_unless_it_says_another() -> None:
    assert failed("not_found_error", "x") == Failed("not_found_error", "x", 404)
    assert failed("api_error", "x", status=502).status == 502
    assert failed("authentication_error", "x", final=True).headers == ((b"x-should-retry", b"false"),)


def test_an_error_carries_its_failure() -> None:
    raised = error("conflict_error", "twice")
    assert isinstance(raised, ApiError)
    assert raised.failed == failed("conflict_error", "twice")
    assert str(raised) == "twice"


def test_the_envelope_and_the_event_hold_type_and_message_only() -> None:
    failure = Failed("api_error", 'quo"ted\u2028', 502, ((b"retry-after", b"1"),))
    told = {"type": "api_error", "message": 'quo"ted\u2028'}
    assert json.loads(envelope(failure, "req_1")) == {"type": "error", "error": told, "request_id": "req_1"}
    event = error_event(failure)
    assert event.startswith(b"event: error\ndata: ")
    assert event.endswith(b"\n\n")
    assert json.loads(event.split(b"data: ")[1]) == {"type": "error", "error": told}


def test_a_native_error_body_goes_out_as_it_came() -> None:
    assert envelope(Failed("api_error", "x", 500, (), b"{ raw }"), "req_1") == b"{ raw }"


BODIES: list[tuple[Any, int | None, tuple[str, str, int]]] = [
    (
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
        None,
        ("overloaded_error", "busy", 529),
    ),
    ({"error": {"type": "rate_limit_error", "message": "slow"}}, 429, ("rate_limit_error", "slow", 429)),
    ({"error": {"type": "unheard_of", "message": "m"}}, None, ("api_error", "m", 500)),
    ({"error": {"type": "unheard_of", "message": "m"}}, 404, ("not_found_error", "m", 404)),
    ({"error": "plain words"}, None, ("api_error", "plain words", 500)),
]


@pytest.mark.parametrize(("body", "status", "expected"), BODIES)
def test_the_failure_that_a_body_tells(body: object, status: int | None, expected: tuple[str, str, int]) -> None:
    told = from_error(body, status)
    assert (told.type, told.message, told.status) == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        [],
        "x",
        {"error": None},
        {"error": {}},
        {"error": {"type": ["x"]}},
        {"error": {"type": {}}},
        {"error": [1]},
    ],
)
def test_a_body_that_tells_nothing_is_a_failure_all_the_same(body: object) -> None:
    told = from_error(body)
    assert (told.type, told.status) == ("api_error", 500)
    assert told.message


@pytest.mark.fault("U-14")
def test_an_upstreams_words_are_shown_without_what_colours_a_terminal_or_floods_it() -> None:
    told = json.loads(envelope(failed("api_error", "a\x1b[2J\x00b\x9bc\n" + "x" * 1_000_000), "r"))["error"]["message"]
    assert told.startswith("a[2Jbc\nxx")
    assert len(told) < 5000
    assert json.loads(envelope(failed("api_error", "\x00"), "r"))["error"]["message"]


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        (429, "rate_limit_error", 429),
        ("429", "rate_limit_error", 429),
        ("400", "invalid_request_error", 400),
        (503, "overloaded_error", 529),
        (200, "api_error", 500),
        ("1113", "api_error", 500),
        ("\u0664\u0662\u0669", "api_error", 500),
        (None, "api_error", 500),
        (True, "api_error", 500),
    ],
)
def test_an_error_without_a_type_is_known_by_its_code(code: Any, kind: str, status: int) -> None:
    failure = from_error({"error": {"message": "no", "type": "None", "code": code}})
    assert (failure.type, failure.status, failure.message) == (kind, status, "no")
