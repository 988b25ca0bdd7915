"""The counts for Prometheus: right, readable by its own parser, bounded."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from claude_code_proxy.breaker import FAILURES, PAUSE
from claude_code_proxy.exposition import MOST, MOST_HISTOGRAMS, OTHER, Family
from claude_code_proxy.health import Health, Key
from claude_code_proxy.http.status import breaker_states
from claude_code_proxy.metrics import SECONDS, Metrics, Outcome
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings
from claude_code_proxy.tables import Limits
from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import ApiError, failed
from claude_code_proxy.wire.head import decode_head

CANARY = "canary-prompt-plover"


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric by their labels' values, as Prometheus reads them."""
    families = text_string_to_metric_families(metrics.text())
    found = [sample for family in families for sample in family.samples if sample.name == f"claude_code_proxy_{name}"]
    return {tuple(sample.labels.values()): sample.value for sample in found}


def test_a_request() -> None:
    metrics = Metrics()
    metrics.began("messages")
    assert (metrics.running, metrics.requests) == (1, 0)
    head = decode_head(json.dumps({"model": "m", "mood": CANARY, "messages": [CANARY]}).encode())
    usage = Usage(input=10, output=2**60, cache_read=7)
    metrics.drift.request({"x-new": CANARY, "authorization": CANARY}, head)
    metrics.ended(Outcome("messages", "openai", "gpt-5", 200, "", usage, {"new_event"}, Limits(1000, 10)))
    assert (metrics.running, metrics.requests) == (0, 1)
    assert samples(metrics, "requests_total") == {("messages", "openai", "200", ""): 1}
    assert samples(metrics, "requests_running") == {("messages",): 0}
    kinds = {labels[2]: value for labels, value in samples(metrics, "tokens_total").items()}
    assert kinds == {"input": 10, "output": 2**60, "cache_read": 7}
    assert samples(metrics, "drift_total").keys() >= {("field", "mood"), ("header", "x-new"), ("event", "new_event")}
    assert metrics.limits == {"openai:gpt-5": Limits(1000, 10)}
    assert CANARY not in metrics.text() + json.dumps(metrics.drift.told())


def test_it_begins_with_what_runs() -> None:
    metrics = Metrics(lambda: 1_800_000_000.5)
    assert list(samples(metrics, "build_info").values()) == [1]
    assert samples(metrics, "start_time_seconds") == {(): 1_800_000_000.5}


def test_an_error_of_an_unknown_type() -> None:
    """The type may be an upstream's own word: no label, but drift."""
    metrics = Metrics()
    for error in ("overloaded_error", "server_melted"):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "anthropic", status=529, error=error))
    told = samples(metrics, "requests_total")
    assert told == {("messages", "anthropic", "529", "overloaded_error"): 1, ("messages", "anthropic", "529", OTHER): 1}
    assert samples(metrics, "drift_total") == {("error", "server_melted"): 1}


def test_names_of_models_are_bounded() -> None:
    metrics = Metrics()
    for n in range(MOST + 20):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "openai", f"m{n}" * 100, 200, usage=Usage(input=1), limits=Limits(n + 1)))
    told = samples(metrics, "tokens_total")
    assert len(told) == MOST + 1
    assert told[OTHER, OTHER, OTHER] == 20
    assert max(len(label) for labels in told for label in labels) <= 100
    assert len(metrics.limits) == MOST


def test_labels_that_need_care() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "p", 'a"b\\c\nd\x1b größer', 200, usage=Usage(input=1)))
    assert samples(metrics, "tokens_total") == {("p", 'a"b\\c?d? größer', "input"): 2}
    assert samples(metrics, "request_duration_seconds_count") == {("messages", "p", 'a"b\\c?d? größer'): 2}


def test_how_long_it_took() -> None:
    """Each bucket holds those before it, and what lies on a bound lies within."""
    metrics = Metrics()
    for seconds, first in ((0.25, 0.1), (3, 0.3), (10_000, None)):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "openai", "m", 200, seconds=seconds, first=first))
    took = {labels[-1]: n for labels, n in samples(metrics, "request_duration_seconds_bucket").items()}
    assert (took["0.1"], took["0.25"], took["2.5"], took["5"], took["640"], took["+Inf"]) == (0, 1, 1, 2, 2, 3)
    assert list(took) == [*(f"{bound:g}" for bound in SECONDS), "+Inf"]
    assert samples(metrics, "request_duration_seconds_sum") == {("messages", "openai", "m"): 10_003.25}
    assert samples(metrics, "request_duration_seconds_count") == {("messages", "openai", "m"): 3}
    assert samples(metrics, "time_to_first_token_seconds_count") == {("openai", "m"): 2}
    assert samples(metrics, "time_to_first_token_seconds_sum") == {("openai", "m"): 0.4}


def test_histograms_are_bounded() -> None:
    metrics = Metrics()
    for n in range(MOST_HISTOGRAMS + 5):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "openai", f"m{n}", 200, seconds=1, first=1))
    counts = samples(metrics, "request_duration_seconds_count")
    assert (len(counts), counts[OTHER, OTHER, OTHER]) == (MOST_HISTOGRAMS + 1, 5)
    assert samples(metrics, "time_to_first_token_seconds_count")[OTHER, OTHER] == 5


def test_a_cost_that_is_not_known_is_not_nothing() -> None:
    metrics = Metrics()
    for model, cost in (("a", 0.25), ("a", 0.5), ("b", None), ("free", 0.0)):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "openai", model, 200, cost=cost))
    assert samples(metrics, "cost_usd_total") == {("openai", "a"): 0.75, ("openai", "free"): 0}


TRIED: list[tuple[str, tuple[str, ...], dict[tuple[str, str], int], bool]] = [
    ("the first", ("a:m: ok",), {("a", "ok"): 1}, False),
    ("again", ("a:m: 529", "a:m: ok"), {("a", "529"): 1, ("a", "ok"): 1}, False),
    ("another key", ("a:m with key 1 of 2: 429", "a:m with key 2 of 2: ok"), {("a", "429"): 1, ("a", "ok"): 1}, False),
    ("another target", ("a:m: 503", "b:n:7b: ok"), {("a", "503"): 1, ("b", "ok"): 1}, True),
    ("the other one at once, as the first is down", ("b:n:7b: ok",), {("b", "ok"): 1}, True),
    ("none", ("a:m: 503", "b:n:7b: 500"), {("a", "503"): 1, ("b", "500"): 1}, False),
]


@pytest.mark.parametrize(("tried", "counted", "fell_back"), [row[1:] for row in TRIED], ids=[row[0] for row in TRIED])
def test_who_was_asked(tried: tuple[str, ...], counted: dict[tuple[str, str], int], *, fell_back: bool) -> None:
    metrics = Metrics()
    metrics.began("messages")
    provider, _, model = tried[-1].partition(" with ")[0].rsplit(": ", 1)[0].partition(":")
    metrics.ended(Outcome("messages", provider, model, tried=tried, routed="a:m"))
    assert samples(metrics, "attempts_total") == counted
    assert samples(metrics, "fallbacks_total") == ({("a:m", "b:n:7b"): 1} if fell_back else {})


def test_what_others_tell() -> None:
    metrics, asked = Metrics(), Family("queue_length", "gauge", "How many wait.", "queue")
    metrics.add_source(lambda: [asked])
    assert samples(metrics, "queue_length") == {}
    asked.add(3, "ledger")
    assert samples(metrics, "queue_length") == {("ledger",): 3}


def test_who_listens() -> None:
    metrics, heard = Metrics(), list[Outcome]()
    metrics.listen(heard.append)
    outcome = Outcome("messages", "openai", "m", 200)
    metrics.began("messages")
    metrics.ended(outcome)
    assert heard == [outcome]


async def test_the_state_of_breakers() -> None:
    now = 100.0
    health, metrics = Health(lambda: now), Metrics()
    metrics.add_source(lambda: breaker_states(health))
    target = route("openai:m", "m", load_settings({"OPENAI_API_KEY": "k", "CLAUDE_CODE_PROXY_ENV_FILE": ""}))
    states = [samples(metrics, "breaker_state")]
    for failures in (1, FAILURES - 1):
        for _ in range(failures):
            with pytest.raises(ApiError), health.learning(target, Key(), lambda: True):
                raise ApiError(failed("api_error", "down", status=503))
        states.append(samples(metrics, "breaker_state"))
    now += PAUSE
    states.append(samples(metrics, "breaker_state"))
    assert states == [{}, {("openai:m",): 0}, {("openai:m",): 2}, {("openai:m",): 1}]
