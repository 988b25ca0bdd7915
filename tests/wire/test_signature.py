from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.wire.signature import Minted, mint, read
from sayings import inputs, words


@given(words, words, st.none() | inputs | words)
def test_what_was_minted_is_read(dialect: str, model: str, state: object) -> None:
    minted = Minted(dialect, model, state)
    signature = mint(minted)
    assert read(signature) == minted
    assert signature.isascii()
    assert signature.isprintable()


FOREIGN = [
    None,
    "",
    "ErUBCkYIBBgCIkDx",
    "ccp1.",
    "ccp1.!!!",
    "ccp2." + mint(Minted("a", "b")).removeprefix("ccp1."),
    "ccp1.é",
    *(
        "ccp1." + urlsafe_b64encode(body).decode()
        for body in (b"{}", b"[]", b'["a"]', b'["a",1]', b"nonsense", b"\xff")
    ),
]


@pytest.mark.parametrize("signature", FOREIGN)
def test_what_is_not_ours_says_nothing(signature: str | None) -> None:
    assert read(signature) is None


@given(st.text(max_size=40) | st.text(max_size=40).map("ccp1.".__add__), st.integers(0, 60))
def test_damage_raises_nothing(text: str, at: int) -> None:
    good = mint(Minted("openai_chat", "model", {"a": 1}))
    for damaged in (text, good[:at], good[:at] + "?" + good[at + 1 :]):
        assert read(damaged) is None or isinstance(read(damaged), Minted)
