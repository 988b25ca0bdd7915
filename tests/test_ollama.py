"""OLLAMA_NUM_CTX without a server: what is read of its answers, and when it is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from claude_code_proxy import ollama as module
from claude_code_proxy.dialects.base import Answer
from claude_code_proxy.ollama import RETRY_AFTER, Derived, Shown, derived_name, shown
from claude_code_proxy.settings import load_settings
from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

ALONE = {"CLAUDE_CODE_PROXY_ENV_FILE": ""}
INFO = {"general.architecture": "qwen3", "qwen3.context_length": 262_144}


class Canned:
    """A pool whose upstream answers from a list, by the last part of the path; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[str]()
        self.open = asyncio.Event()
        self.open.set()

    @contextlib.asynccontextmanager
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncGenerator[Canned]:
        assert json.loads(body)
        assert headers == {}
        name = url.rpartition("/")[2]
        self.asked.append(name)
        await self.open.wait()
        said = self.answers[name]
        if isinstance(said, Exception):
            raise said
        status, self.body = said if isinstance(said, tuple) else (200, said)
        self.answer = Answer(status)
        yield self

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Clock:
    """A clock that goes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(num_ctx: int = 128_000) -> Settings:
    return load_settings({**ALONE, "OLLAMA_NUM_CTX": str(num_ctx)})


def derived(pool: Canned, clock: Clock | None = None) -> Derived:
    return Derived(cast("Pool", pool), clock=clock or Clock())


async def ask(of: Derived, model: str = "m", num_ctx: int = 128_000) -> str:
    chosen = settings(num_ctx)
    return await of.model(chosen.providers["ollama"], model, chosen)


def show(**fields: Any) -> dict[str, Any]:
    return {"model_info": INFO, "parameters": "", **fields}


SHOWN: list[tuple[dict[str, Any], Shown]] = [
    (show(), Shown(262_144)),
    (
        show(parameters='stop                           "num_ctx 5"\nnum_ctx                        8192'),
        Shown(262_144, 8192),
    ),
    (show(parameters=None), Shown(262_144)),
    (show(remote_host="https://x.test"), Shown(262_144, None, remote=True)),
    ({}, Shown()),
    ({"model_info": None}, Shown()),
    ({"model_info": {**INFO, "qwen3.context_length": "many"}}, Shown()),
    ({"model_info": {"qwen3.context_length": 5}}, Shown()),
    ({"model_info": [], "parameters": ["num_ctx 5"]}, Shown()),
]


@pytest.mark.parametrize(("answer", "expected"), SHOWN)
def test_what_is_read_of_a_model(answer: dict[str, Any], expected: Shown) -> None:
    assert shown(answer) == expected


NAMES = [
    ("qwen3", "qwen3:latest-ctx4096"),
    ("qwen3:8b", "qwen3:8b-ctx4096"),
    ("user/qwen3", "user/qwen3:latest-ctx4096"),
    ("host:5000/user/qwen3", "host:5000/user/qwen3:latest-ctx4096"),
    ("host:5000/user/qwen3:8b", "host:5000/user/qwen3:8b-ctx4096"),
]


@pytest.mark.parametrize(("model", "name"), NAMES)
def test_a_derived_model_stands_beside_its_own(model: str, name: str) -> None:
    assert derived_name(model, 4096) == name


async def test_it_is_made_once_for_all_who_ask_at_once_and_remembered() -> None:
    pool = Canned(show=show(), create={"status": "success"})
    of = derived(pool)
    pool.open.clear()
    asking = [asyncio.create_task(ask(of)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()  # its client left; the others still want it
    await asyncio.sleep(0)
    pool.open.set()
    assert await asyncio.gather(*asking[1:]) == ["m:latest-ctx128000"] * 4
    assert await ask(of) == "m:latest-ctx128000"
    assert pool.asked == ["show", "create"]


async def test_each_window_is_a_model_of_its_own() -> None:
    pool = Canned(show=show(), create={"status": "success"})
    of = derived(pool)
    assert await ask(of, num_ctx=1000) == "m:latest-ctx1000"
    assert await ask(of, num_ctx=2000) == "m:latest-ctx2000"
    assert len(pool.asked) == 4


WINDOWS: list[tuple[dict[str, Any], int, int | None]] = [
    (show(), 128_000, 128_000),
    (show(), 300_000, 262_144),
    (show(parameters="num_ctx 8192"), 8192, 8192),
    (show(remote_host="https://x.test"), 128_000, 262_144),
    (show(model_info={}, parameters="num_ctx 8192"), 128_000, 8192),
    (show(model_info={}), 128_000, 0),
    ({"error": "model 'm' not found"}, 128_000, 0),
    (show(), 0, None),
]


@pytest.mark.parametrize(("answer", "num_ctx", "window"), WINDOWS)
async def test_the_window_of_what_is_asked(answer: dict[str, Any], num_ctx: int, window: int | None) -> None:
    of = derived(Canned(show=answer if "error" not in answer else (404, answer), create={"status": "success"}))
    chosen = settings(num_ctx)
    provider = chosen.providers["ollama"]
    assert of.window(provider, "m", chosen) == (None if window is None else 0)  # nobody has asked yet
    await ask(of, num_ctx=num_ctx)
    assert of.window(provider, "m", chosen) == window


async def test_a_window_that_could_not_be_made_is_not_known() -> None:
    of = derived(Canned(show=show(), create=(500, {"error": "no space left"})))
    await ask(of)
    chosen = settings()
    assert of.window(chosen.providers["ollama"], "m", chosen) == 0


async def test_zero_switches_it_off() -> None:
    pool = Canned()
    assert await ask(derived(pool), num_ctx=0) == "m"
    assert pool.asked == []


SILENT = error("timeout_error", "silent")
FAILURES: list[tuple[str, Any]] = [
    ("show", (404, b"404 page not found")),
    ("show", (500, {"error": "x"})),
    ("show", (200, b"<html>")),
    ("show", SILENT),
    ("create", (404, b"404 page not found")),
    ("create", (200, {"error": "x"})),
    ("create", SILENT),
]


@pytest.mark.parametrize(("step", "failure"), FAILURES)
async def test_what_failed_is_tried_again_after_a_while(
    step: str, failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    right = {"show": show(), "create": {"status": "success"}}
    pool, clock = Canned(**{**right, step: failure}), Clock()
    of = derived(pool, clock)
    with caplog.at_level(logging.WARNING):
        for clock.now in (0, 1, RETRY_AFTER - 1):
            assert await ask(of) == "m"
        assert pool.asked.count(step) == 1
        clock.now = RETRY_AFTER
        assert await ask(of) == "m"
        assert pool.asked.count(step) == 2
    assert [record.message.startswith("OLLAMA_NUM_CTX has no effect on 'm'") for record in caplog.records] == [True]
    pool.answers = right
    clock.now = 2 * RETRY_AFTER
    assert await ask(of) == "m:latest-ctx128000"


NOT_REMEMBERED: list[Any] = [
    (404, {"error": "model 'm' not found"}),
    (400, {"error": "invalid model name"}),
    error("api_error", "refused", status=502),
]


@pytest.mark.parametrize("failure", NOT_REMEMBERED)
async def test_what_the_request_itself_will_tell_is_not_remembered(
    failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Canned(show=failure, create={"status": "success"})
    of = derived(pool)
    assert await ask(of) == "m"
    assert caplog.records == []
    pool.answers["show"] = show()
    assert await ask(of) == "m:latest-ctx128000"


async def test_a_server_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LONGEST", 0.01)
    pool = Canned()
    pool.open.clear()
    of = derived(pool)
    assert await ask(of) == await ask(of) == "m"
    assert pool.asked == ["show"]
    assert "did not answer" in caplog.text


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 3)
    of = derived(Canned(show=(500, b"")))
    for n in range(10):
        await ask(of, f"m{n}")
    assert len(of._kept) <= 3
    assert len(of._warned) <= 4


async def test_a_model_that_is_gone_is_forgotten() -> None:
    pool = Canned(show=show(), create={"status": "success"})
    of = derived(pool)
    await ask(of)
    await ask(of, "other")
    of.forget(settings().providers["ollama"], "m")
    await ask(of)
    await ask(of, "other")
    assert pool.asked.count("create") == 3
