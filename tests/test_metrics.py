"""The counts for Prometheus: right, readable by its own parser, bounded."""

from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from claude_code_proxy.metrics import MOST, OTHER, Metrics, Outcome
from claude_code_proxy.tables import Limits
from claude_code_proxy.wire.events import Usage
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
    metrics.began("messages")
    metrics.ended(Outcome("messages", "p", 'a"b\\c\nd\x1b größer', 200, usage=Usage(input=1)))
    assert samples(metrics, "tokens_total") == {("p", 'a"b\\c?d? größer', "input"): 1}
