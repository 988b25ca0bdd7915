from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire import scan


@given(st.binary(max_size=200), st.lists(st.binary(min_size=1, max_size=6), max_size=3), st.integers(0, 200))
def test_a_sign_is_found_where_there_is_one(body: bytes, signs: list[bytes], at: int) -> None:
    assert scan.holds(body, *signs) == any(sign in body for sign in signs)
    for sign in signs:
        held = body[:at] + sign + body[at:]
        assert scan.holds(held, sign)
        assert scan._slowly(held, len(held), sign, len(sign))


def test_zeros_are_bytes_like_others() -> None:
    assert scan.holds(b"a\0b\0cd", b"\0cd")
    assert not scan.holds(b"a\0b", b"\0c")
