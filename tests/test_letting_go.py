"""What is kept of a request's body once its reply has begun."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calls import body
from claude_code_proxy.gateway import Exchange, Known
from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import Target
from claude_code_proxy.wire.counting import count
from claude_code_proxy.wire.events import Stop, Usage
from claude_code_proxy.wire.head import decode_head

LONG = "é" * 7000
TARGET = Target(load_providers({})["openai"], "m", "")


def asking(**fields: Any) -> Exchange:
    raw = json.dumps(body(messages=[{"role": "user", "content": LONG}], **fields)).encode()
    return Exchange(decode_head(raw), TARGET, "seed", client_headers={}, query="")


ESTIMATE = count(asking().head)


async def answered(known: Known, tokens: int, **fields: Any) -> Exchange:
    """A request whose body is let go, and whose upstream then counts."""
    exchange = asking(**fields)
    await known.let_go(exchange)
    exchange.asked, exchange.watch.stop, exchange.watch.usage = True, Stop("end_turn"), Usage(tokens)
    known.learn(exchange)
    return exchange


async def test_the_names_and_an_estimate() -> None:
    head = (await answered(Known({}), 0)).head
    assert (head.raw, head.model, set(head.fields)) == (b"", "claude-x", {"model", "max_tokens", "messages"})
    assert all(bytes(value) == b"null" for value in head.fields.values())
    assert count(head) == ESTIMATE


async def test_it_is_learned_from_all_the_same() -> None:
    known = Known({})
    for _ in range(20):
        await answered(known, round(ESTIMATE * 1.3))
    assert known.calibration.factor("openai:m").replies == 20
    assert known.calibration.factor("openai:m").mean == pytest.approx(1.3, rel=0.01)
    for _ in range(32 + 31):
        await answered(known, round(ESTIMATE * 1.3))
    assert known.calibration.factor("openai:m").replies == 21


async def test_no_estimate_is_made_that_nobody_will_want() -> None:
    """Of an upstream that counts; unless a stop sequence may end the reply before it does."""
    known = Known({})
    for _ in range(20):
        await answered(known, ESTIMATE + 1)
    assert count((await answered(known, ESTIMATE + 1)).head) == round(len(asking().head.raw) / 3.5)
    assert count((await answered(known, ESTIMATE + 1, stop_sequences=["x"])).head) == count(
        asking(stop_sequences=["x"]).head
    )


async def test_a_body_that_cannot_be_counted() -> None:
    exchange = asking(tools="none")
    await Known({}).let_go(exchange)
    assert exchange.head.raw == b""
    assert count(exchange.head) > 0
