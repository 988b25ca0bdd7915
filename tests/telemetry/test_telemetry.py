"""When OpenTelemetry is on, what a request is called in its words, and that nothing of it is there when it is off."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from claude_code_proxy.exposition import MOST
from claude_code_proxy.metrics import Metrics, Outcome
from claude_code_proxy.providers import load_providers
from claude_code_proxy.telemetry import conventions, exporting, signals
from claude_code_proxy.telemetry.export import Export
from claude_code_proxy.wire.events import Usage

from .collector import collecting

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = {"traces", "metrics"}
PLACE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}

ON: list[tuple[dict[str, str], set[str]]] = [
    ({}, set()),
    ({"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_EXPORTER": "otlp"}, set()),
    (PLACE, BOTH),
    (PLACE | {"OTEL_SDK_DISABLED": "false"}, BOTH),
    (PLACE | {"OTEL_SDK_DISABLED": "TRUE"}, set()),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, set()),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x/v1/traces"}, {"traces"}),
    ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x/v1/metrics"}, {"metrics"}),
    (PLACE | {"OTEL_METRICS_EXPORTER": "none"}, {"traces"}),
    (PLACE | {"OTEL_TRACES_EXPORTER": "console,otlp"}, BOTH),
    (PLACE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, BOTH),
    (PLACE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, set()),
    (
        PLACE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
        {"traces"},
    ),
]


@pytest.mark.parametrize(("variables", "wanted"), ON, ids=[" ".join(row[0]) or "nothing" for row in ON])
def test_when_it_is_on(variables: dict[str, str], wanted: set[str]) -> None:
    assert signals(variables) == wanted


def test_off_nothing_of_it_is_imported() -> None:
    code = """
import asyncio, sys
import server
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.telemetry import exporting
async def run():
    async with exporting({"OTEL_SERVICE_NAME": "mine"}, Metrics()):
        pass
asyncio.run(run())
print([name for name in sys.modules if name.startswith(("opentelemetry", "google", "requests", "claude_code_proxy.telemetry."))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stderr


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """One warning that says what to install."""
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("export", "spans", "points"):
        monkeypatch.delitem(sys.modules, f"claude_code_proxy.telemetry.{name}")
    metrics = Metrics()
    async with exporting(PLACE, metrics):
        metrics.began("messages")
        metrics.ended(Outcome("messages", "openai", "m", 200))
    [told] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "opentelemetry" in told
    assert "uv sync --extra otel" in told


FULL = Outcome(
    *("messages", "mistral", "m", 200, ""),
    Usage(1, 2, 3, 4, 5),
    seconds=2.0,
    first=0.5,
    cost=0.25,
    request_id="req_1",
    session="s",
    client_model="claude",
    routed="openai:gpt",
    tried=("openai:gpt: 503", "mistral:m: ok"),
    stop="tool_use",
    stream=True,
    base_url="http://user:canary-password@mistral.example/v1",
)


def attributes(outcome: Outcome) -> dict[str, Any]:
    """All that its span says."""
    return conventions.shared(outcome) | conventions.own(outcome)


def names_of(*modules: Any) -> set[str]:
    return {value for module in modules for value in vars(module).values() if isinstance(value, str) and "." in value}


def test_the_names_are_those_of_the_conventions() -> None:
    known = names_of(gen_ai_attributes, error_attributes, http_attributes, server_attributes)
    said = attributes(FULL) | attributes(Outcome("messages", error="api_error", status=500))
    points = conventions.series(FULL)
    named = said.keys() | {name for _, labels in points for name in labels}
    assert {name for name in named if not name.startswith("claude_code_proxy.")} <= known
    assert {name for name, _ in points} == conventions.METRICS.keys()
    assert conventions.METRICS.keys() <= names_of(gen_ai_metrics)


def test_the_providers_are_those_of_the_conventions() -> None:
    """What the installed release does not know yet stands in its successor."""
    values = {one.value for one in gen_ai_attributes.GenAiProviderNameValues} | {"moonshot_ai"}
    table = conventions._PROVIDERS
    assert table.keys() <= load_providers({}).keys()
    assert {*table.values()} <= values
    assert {"openai", "anthropic", "deepseek", "groq"} <= values - {*table.values()}


def test_what_a_span_says() -> None:
    said = attributes(FULL)
    assert (said["gen_ai.provider.name"], conventions.name(FULL)) == ("mistral_ai", "chat m")
    assert (said["server.address"], said["server.port"]) == ("mistral.example", 80)
    usage = {name.removeprefix("gen_ai.usage."): count for name, count in said.items() if ".usage." in name}
    assert usage == {
        "input_tokens": 8,
        "output_tokens": 2,
        "cache_read.input_tokens": 3,
        "cache_creation.input_tokens": 4,
        "reasoning.output_tokens": 5,
    }
    assert said["claude_code_proxy.route"] == "openai:gpt"
    assert said["claude_code_proxy.attempts"] == ["openai:gpt: 503", "mistral:m: ok"]
    assert said["claude_code_proxy.cost_usd"] == 0.25
    assert "canary" not in str(said)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome("messages", status=200), None),
        (Outcome("messages", status=529, error="overloaded_error"), "overloaded_error"),
        (Outcome("messages", status=500, error="an upstream's own"), "_OTHER"),
        (Outcome("messages", status=499), "client_closed_request"),
        (Outcome("messages", status=499, error="api_error"), "api_error"),
    ],
)
def test_an_error(outcome: Outcome, error: str | None) -> None:
    assert attributes(outcome).get("error.type") == error


def test_what_no_collector_could_take_does_not_cost_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Outcome(
        *("messages", "p\ud800", "m\ud800" * 1000, 200, "e\ud800", Usage(2**70, 2**80, -1)),
        session="\ud83d\x00",
        client_model="\udfff",
        routed="\ud800",
        tried=("\ud800: ok",),
        trace="00-nonsense",
        seconds=1,
    )
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        export = Export(BOTH)
        export.ended(odd)
        export.ended(FULL)
        export.ended(Outcome("count_tokens"))
        export.close()
    assert len(collector.spans) == 2
    assert sum(count for count, _ in collector.sums("gen_ai.client.operation.duration").values()) == 2


def test_names_of_models_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.url}/v1/metrics")
        export = Export({"metrics"})
        for n in range(700):
            export.ended(Outcome("messages", "openai", f"m{n}", 200, seconds=1))
        export.close()
    assert len(collector.points["gen_ai.client.operation.duration"]) == MOST + 1  # with what stands for all others


@pytest.fixture(autouse=True)
def _the_log_as_it_was() -> Any:
    """The SDK's log is taken over by whoever exports."""
    loud = logging.getLogger("opentelemetry")
    before: tuple[list[logging.Handler], bool] = (loud.handlers, loud.propagate)
    yield
    loud.handlers, loud.propagate = before


def test_what_the_sdk_warns_of_is_shown_once_and_without_what_is_filled_in(caplog: pytest.LogCaptureFixture) -> None:
    from claude_code_proxy.telemetry.complaints import Complaints  # noqa: PLC0415

    caplog.set_level(logging.INFO, "claude_code_proxy")
    complaints = Complaints()
    sender = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    tries: list[Callable[[], None]] = [
        lambda: logging.getLogger("opentelemetry.util.re").warning("Header format invalid: %s", "canary-key"),
        lambda: sender.warning("Transient error %s encountered, retrying in %.2fs.", ValueError("canary-key"), 1.0),
        lambda: sender.error("Failed to export %s batch code: %s, reason: %s", "spans", 500, "canary-reason"),
    ]
    for _ in range(3):
        for try_ in tries:
            try_()
        complaints.sent("traces", taken=False)
    complaints.sent("traces", taken=True)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("claude")] == [
        "OpenTelemetry: Header format invalid: %s",
        "The OpenTelemetry collector does not take traces (HTTP 500). Requests are not affected.",
        "The OpenTelemetry collector takes traces again.",
    ]
    assert complaints.failing == set()


SAMPLED: list[tuple[str, dict[str, str], list[str]]] = [
    ("all", {}, ["none", "kept", "not a trace"]),
    ("none", {"OTEL_TRACES_SAMPLER": "always_off"}, []),
    ("those of kept traces", {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, ["kept"]),
    ("all, whatever the client says", {"OTEL_TRACES_SAMPLER": "always_on"}, ["none", "kept", "left", "not a trace"]),
]  # fmt: skip
TRACES = {
    "none": "",
    "kept": f"00-{'ab' * 16}-{'cd' * 8}-01",
    "left": f"00-{'ab' * 16}-{'cd' * 8}-00",
    "not a trace": f"00-{'00' * 16}-{'cd' * 8}-01",
}


@pytest.mark.parametrize(("variables", "kept"), [row[1:] for row in SAMPLED], ids=[row[0] for row in SAMPLED])
def test_which_requests_become_traces(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kept: list[str]
) -> None:
    with collecting() as collector:
        for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}.items():
            monkeypatch.setenv(name, value)
        export = Export({"traces"})
        for name, trace in TRACES.items():
            export.ended(Outcome("messages", "openai", name, 200, trace=trace))
        export.close()
    told = {said["gen_ai.request.model"]: span for span, said in collector.spans}
    assert list(told) == kept
    assert len({span.span_id for span in told.values()}) == len(kept)
    ours = {
        name
        for name, span in told.items()
        if span.trace_id.hex() == "ab" * 16 and span.parent_span_id.hex() == "cd" * 8
    }
    assert ours == {"kept", "left"} & {*kept}
    assert not any(span.parent_span_id for name, span in told.items() if name not in ours)
