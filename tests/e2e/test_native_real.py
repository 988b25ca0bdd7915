"""The real llama.cpp server through its own Anthropic endpoint, whose streams are mended on the way.

The small model neither thinks nor calls tools there by itself; those shapes are in tests/dialects/test_native.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import pytest_asyncio

from grammar import read

from .http_client import send
from .proxy import serving
from .test_real_model import ASK, BARE, check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_code_proxy.local.server import LocalModel

    from .claude import Claude
    from .proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/llamacpp:smollm2-135m"
BODY = {name: value for name, value in ASK.items() if name != "extra_body"} | {"temperature": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def real(local_model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    env = {
        "LLAMACPP_API_BASE": local_model.base_url.removesuffix("/v1"),
        "LLAMACPP_API_KEY": local_model.api_key,
        "PREFERRED_PROVIDER": "llamacpp",
    }
    async with serving(tmp_path_factory.mktemp("native-real"), **env) as proxy:
        yield proxy


def client(real: Proxy) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=real.url + PATH, api_key="any", max_retries=0)


async def test_text(real: Proxy) -> None:
    async with client(real) as api:
        async with api.messages.stream(**ASK) as stream:
            pieces = [piece async for piece in stream.text_stream]
            message = await stream.get_final_message()
        check(message)
        check(await api.messages.create(**ASK))
    assert len(pieces) > 1
    assert "".join(pieces) == message.content[0].text  # type: ignore[union-attr]


async def test_the_grammar(real: Proxy) -> None:
    answer = await send(real.url, f"{PATH}/v1/messages", BODY | {"stream": True})
    told = read(answer.body)
    assert told.ended
    assert told.text.strip()
    assert told.message["model"] == BODY["model"]


async def test_a_stop_sequence_is_told(real: Proxy) -> None:
    for stream in (True, False):
        ask: dict[str, Any] = BODY | {"stop_sequences": ["a", "e", "i", "o"], "stream": stream}
        answer = await send(real.url, f"{PATH}/v1/messages", ask)
        assert answer.status == 200
        told = read(answer.body) if stream else None
        reason = told.stop_reason if told else answer.json["stop_reason"]
        sequence = told.stop_sequence if told else answer.json["stop_sequence"]
        assert (reason, sequence) in {("stop_sequence", one) for one in "aeio"}


async def test_requests_that_follow_at_once(real: Proxy) -> None:
    """The server closes its connection after a stream, though it says it will not."""
    for _ in range(5):
        assert (await send(real.url, f"{PATH}/v1/messages", BODY | {"stream": True, "max_tokens": 2})).status == 200


async def test_errors_keep_what_they_mean(real: Proxy) -> None:
    long = [{"role": "user", "content": "word " * 50_000}]
    for stream in (True, False):
        answer = await send(real.url, f"{PATH}/v1/messages", BODY | {"messages": long, "stream": stream})
        assert answer.status == 400
        assert answer.error()["type"] == "invalid_request_error"
        assert answer.error()["message"].startswith("prompt is too long: ")
    answer = await send(real.url, f"{PATH}/v1/messages", {"model": "m", "max_tokens": 5})
    assert answer.status == 500
    assert "messages" in answer.error()["message"]


async def test_the_cli(claude: Claude, real: Proxy) -> None:
    run = await claude.run(real.url + PATH, *BARE, prompt="What is the capital of France?")
    assert run.answer.strip()
