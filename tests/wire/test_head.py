from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.failure import ApiError
from claude_code_proxy.wire.head import body_of, decode_head
from sayings import inputs, words

GOOD: list[tuple[bytes, str, bool]] = [
    (b'{"model":"m"}', "m", False),
    (b'{"model":"m","stream":true}', "m", True),
    (b'{"stream":false,"model":"m"}', "m", False),
    (b'{"model":"m","stream":null}', "m", False),
    (b' \n{ "model" : "a/b:c" , "x" : [ ] }\n', "a/b:c", False),
    (b'{"model":"first","model":"last"}', "last", False),
    ('{"model":"模型"}'.encode(), "模型", False),
    (b'{"mod\\u0065l":"m"}', "m", False),
]


@pytest.mark.parametrize(("body", "model", "stream"), GOOD)
def test_the_head_of_a_request(body: bytes, model: str, stream: bool) -> None:  # noqa: FBT001
    head = decode_head(body)
    assert (head.model, head.stream) == (model, stream)


BAD: list[tuple[bytes, str]] = [
    (b"", "not valid JSON"),
    (b"nonsense", "not valid JSON"),
    (b'{"model":"m"', "not valid JSON"),
    (b'{"model":"m"} x', "not valid JSON"),
    (b"[]", "must be a JSON object"),
    (b'"m"', "must be a JSON object"),
    (b"null", "must be a JSON object"),
    (b"{}", "model: must name a model"),
    (b'{"model":null}', "model: must name a model"),
    (b'{"model":5}', "model: must be a string"),
    (b'{"model":["m"]}', "model: must be a string"),
    (b'{"model":"m","x":NaN}', "not valid JSON"),
    (b'{"model":""}', "model: must name a model"),
    (b'{"model":"  "}', "model: must name a model"),
    (b'{"model":"m","stream":"yes"}', "stream: must be true or false"),
    (b'{"model":"m","stream":1}', "stream: must be true or false"),
]


@pytest.mark.parametrize(("body", "message"), BAD)
def test_what_is_wrong_with_a_head_is_told(body: bytes, message: str) -> None:
    with pytest.raises(ApiError, match=message) as raised:
        decode_head(body)
    assert raised.value.failed.status == 400
    assert raised.value.failed.type == "invalid_request_error"


@pytest.mark.parametrize("depth", [200, 900, 995, 1500, 5000, 200_000])
@pytest.mark.parametrize("middle", [b"", b'"\\ud83d"'])
@pytest.mark.fault("C-18")
def test_deep_nesting_is_read_or_a_bad_request(depth: int, middle: bytes) -> None:
    raw = b'{"model":"m","x":' + b"[" * depth + middle + b"]" * depth + b"}"
    try:
        body = body_of(decode_head(raw))
    except ApiError as cause:
        assert cause.failed.status == 400  # noqa: PT017
    else:
        assert isinstance(body["x"], list)


@given(st.binary(max_size=60) | st.binary(max_size=30).map(lambda junk: b'{"model":"' + junk + b'"}'))
@pytest.mark.fault("F-06")
def test_any_bytes_are_a_head_or_a_bad_request(body: bytes) -> None:
    try:
        head = decode_head(body)
        assert head.model.strip()
        assert isinstance(body_of(head), dict)
    except ApiError as cause:
        assert cause.failed.status == 400  # noqa: PT017


def test_other_fields_keep_their_bytes() -> None:
    body = b'{"a": 1.0e5 ,"model" : "m", "b":[ 1,2 ] ,"c":"\\u00e9\xc3\xa9","d":123456789012345678901234567890}'
    changed = decode_head(body).with_fields(model='n"é', max_tokens=5)
    assert (
        changed
        == (
            '{"a":1.0e5,"model":"n\\"é","b":[ 1,2 ],"c":"\\u00e9é","d":123456789012345678901234567890,"max_tokens":5}'
        ).encode()
    )


@given(inputs, words.filter(str.strip))
def test_the_body_means_the_same_but_for_what_is_set(fields: dict[str, object], model: str) -> None:
    body = {**fields, "model": "m"}
    raw = json.dumps(body).encode()
    assert json.loads(decode_head(raw).with_fields()) == body
    assert json.loads(decode_head(raw).with_fields(model=model)) == {**body, "model": model}


@pytest.mark.parametrize("raw", [b'"\xff"', b'{"a":01}', b'"\x01"'])
def test_what_the_head_does_not_look_into_is_judged_when_it_is_read(raw: bytes) -> None:
    with pytest.raises(ApiError, match="not valid JSON") as raised:
        body_of(decode_head(b'{"model":"m","x":' + raw + b"}"))
    assert raised.value.failed.status == 400


HALVES: list[tuple[bytes, object]] = [
    (b'"\\ud83d"', "\ufffd"),
    (b'"\\ude00"', "\ufffd"),
    (b'"a\\ud83db"', "a\ufffdb"),
    (b'"\\ud83d\\ude00"', "😀"),
    (b'["\\ud83d","\\ud83d\\ude00",{"\\udc00":1}]', ["\ufffd", "😀", {"\ufffd": 1}]),
]


@pytest.mark.parametrize(("raw", "value"), HALVES)
@pytest.mark.fault("C-17")
def test_half_a_surrogate_pair_becomes_a_replacement_character(raw: bytes, value: object) -> None:
    head = decode_head(b'{"model":"m","x":' + raw + b"}")
    assert body_of(head) == {"model": "m", "x": value}
    assert json.loads(head.with_fields(model="n"))["x"] == value


@pytest.mark.fault("C-17")
def test_whole_numbers_of_any_size_stay_exact() -> None:
    assert (
        body_of(decode_head(b'{"model":"m","x":123456789012345678901234567890}'))["x"] == 123456789012345678901234567890
    )


SPLICED: list[tuple[bytes, bytes]] = [
    (b'{"model":"m","x":[1, 2]}', b'{"model":"other","x":[1, 2]}'),
    (
        b' { "a" : {"model":"m"} ,\n"model" : "m" , "z":"model" } ',
        b' { "a" : {"model":"m"} ,\n"model" : "other" , "z":"model" } ',
    ),
    (b'{"model":"model"}', b'{"model":"other"}'),
    (b'{"a\\"b":"\\"model\\":","model":"m"}', b'{"a\\"b":"\\"model\\":","model":"other"}'),
    (b'{"model":"first","a":1,"model":"last"}', b'{"model":"other","a":1}'),
    (b'{"model":"same","a":1,"model":"same"}', b'{"model":"other","a":1}'),
    (b'{"a":1,"model":"first","a":22,"model":"last"}', b'{"a":22,"model":"other"}'),
    (b'{"mod\\u0065l":"m","a":1}', b'{"model":"other","a":1}'),
]


@pytest.mark.parametrize(("body", "expected"), SPLICED)
def test_the_model_is_replaced_where_it_stands(body: bytes, expected: bytes) -> None:
    assert decode_head(body).with_fields(model="other") == expected


@given(st.dictionaries(st.text(max_size=5), inputs, max_size=6), st.integers(0, 6), st.sampled_from([None, 1]))
def test_whatever_stands_around_it(others: dict[str, object], place: int, indent: int | None) -> None:
    items = [(name, value) for name, value in others.items() if name not in {"model", "stream", "max_tokens"}]
    items[place:place] = [("model", "m"), ("max_tokens", 5)]
    head = decode_head(json.dumps(dict(items), indent=indent).encode())
    changed = json.loads(head.with_fields(max_tokens=7, model="n"))
    assert changed == {**json.loads(head.raw), "model": "n", "max_tokens": 7}
    assert list(changed) == list(json.loads(head.raw))
