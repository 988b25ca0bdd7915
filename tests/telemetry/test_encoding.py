"""What is sent is what the SDK would send of the same requests: its own encoder and its own histograms are asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from claude_code_proxy.metrics import Outcome
from claude_code_proxy.telemetry import conventions, points, spans
from claude_code_proxy.telemetry.complaints import Complaints
from claude_code_proxy.telemetry.export import Export
from claude_code_proxy.telemetry.points import Instruments, Points
from claude_code_proxy.telemetry.spans import RENEWED, Spans
from claude_code_proxy.wire.events import Usage

from .collector import collecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.metrics.export import MetricsData

    from .collector import Collector

    Sent = Callable[[list[Outcome]], ExportTraceServiceRequest]

RESOURCE = Resource({"service.name": "é\x00", "service.version": "1"}, "https://schema.example/1")
SCOPE = InstrumentationScope("claude-code-proxy", "1", "https://schema.example/2")
TRACE, PARENT = "ab" * 16, "0" * 14 + "cd"

WORDS = st.one_of(st.sampled_from(["", "gpt-5", "é\x00\ud800", "x" * 300, "東京" * 60]), st.text(max_size=5))
COUNTS = st.one_of(st.none(), st.integers(-1, 300), st.integers(0, 2**70))
SECONDS = st.integers(0, 100_000).map(lambda number: number / 64)  # whose sums are exact in any order
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "provider": st.one_of(st.just("mistral"), WORDS),
    "model": WORDS,
    "status": st.sampled_from([0, 200, 499, 529]),
    "error": st.sampled_from(["", "api_error", "of an upstream"]),
    "usage": st.builds(Usage, *[COUNTS] * 5),
    "seconds": st.one_of(SECONDS, st.integers(0, 9)),
    "first": st.one_of(st.none(), SECONDS, st.integers(0, 9)),
    "cost": st.one_of(st.none(), st.floats(), st.integers(0, 9)),
    "request_id": st.sampled_from(["", "req_1", "req_2"]),
    "session": WORDS,
    "client_model": WORDS,
    "routed": st.one_of(st.just("mistral:gpt-5"), WORDS),
    "tried": st.one_of(st.just(("a: ok",)), st.lists(WORDS, max_size=3).map(tuple)),
    "stop": WORDS,
    "stream": st.booleans(),
    "began": st.floats(0, 2e9),
    "trace": st.sampled_from(["", "nonsense", f"00-{TRACE}-{PARENT}-01", f"00-{'cd' * 16}-{PARENT}-01"]),
    "base_url": st.sampled_from(["", "https://a.example", "http://127.0.0.1:81/v1", "nowhere"]),
}


@st.composite
def outcomes(draw: st.DrawFn) -> list[Outcome]:
    """Requests of which each differs in a few things from the one before."""
    found = [Outcome("messages", **draw(st.fixed_dictionaries(FIELDS)))]
    for name in draw(st.lists(st.sampled_from([*FIELDS]), max_size=30)):
        found.append(replace(found[-1], **{name: draw(FIELDS[name])}))
    return found


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    loud = logging.getLogger("opentelemetry")
    before = (loud.handlers, loud.propagate)
    with collecting() as one, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.url)
        yield one
    loud.handlers, loud.propagate = before


@pytest.fixture(scope="module")
def sent(collector: Collector) -> Sent:
    """What of the spans of these reaches the collector. Its requests, one after the other, are one that holds them all."""

    def send(those: list[Outcome]) -> ExportTraceServiceRequest:
        collector.raw = b""
        made = Spans(RESOURCE, SCOPE, Complaints())
        for outcome in those:
            made.add(outcome)
        made.shutdown()
        held: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(collector.raw)
        return held

    return send


def plainly(outcome: Outcome, trace: bytes, span: bytes) -> ReadableSpan:
    """The same span, for the SDK."""
    known = outcome.trace.startswith("00-")
    parent = SpanContext(int(outcome.trace[3:35], 16), int(PARENT, 16), is_remote=True) if known else None
    began = int(outcome.began * 1e9)
    return ReadableSpan(
        conventions.name(outcome),
        SpanContext(int.from_bytes(trace), int.from_bytes(span), is_remote=False, trace_flags=TraceFlags(1)),
        parent,
        RESOURCE,
        conventions.shared(outcome) | conventions.own(outcome),
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR if outcome.error else StatusCode.UNSET),
        start_time=began,
        end_time=began + int(outcome.seconds * 1e9),
        instrumentation_scope=SCOPE,
    )


@given(those=outcomes())
def test_spans(sent: Sent, those: list[Outcome]) -> None:
    found = sent(those)
    ids = [(one.trace_id, one.span_id) for one in found.resource_spans[0].scope_spans[0].spans]
    expected = encode_spans([plainly(outcome, *its) for outcome, its in zip(those, ids, strict=True)])
    assert found.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    assert len({span for _, span in ids}) == len(those)
    asked = [(outcome.trace[3:35], trace.hex()) for outcome, (trace, _) in zip(those, ids, strict=True)]
    assert all(wanted == trace for wanted, trace in asked if len(wanted) == 32)


def test_many_spans_and_each_of_another_kind(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is lost, the messages that are kept are bounded, and so are the lengths of what they held."""
    made: list[int] = []
    form = Spans._form

    def counted(self: Spans, *args: Any) -> Any:
        made.append(len(self._forms))
        return form(self, *args)

    monkeypatch.setattr(Spans, "_form", counted)
    found = sent([Outcome("messages", "openai", f"model-{n // 2}", 200) for n in range(1500)])
    names = [span.name for place in found.resource_spans for span in place.scope_spans[0].spans]
    assert names == [f"chat model-{n // 2}" for n in range(1500)]
    assert max(made) < RENEWED
    assert len(made) == pytest.approx(750, abs=3)


def test_a_request_that_is_left_out_costs_no_message(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setattr(conventions, "own", None)
    assert not sent([Outcome("messages", "openai", "m", 200)]).resource_spans


@pytest.mark.parametrize("size", [0, 127, 128, 16383, 16384, 300_000])
def test_a_field_of_any_length(size: int) -> None:
    held = ExportTraceServiceRequest.FromString(spans._field(1, spans._field(3, b"u" * size)))
    assert [len(place.schema_url) for place in held.resource_spans] == [size]


def told(data: MetricsData | None) -> dict[str, list[bytes]]:
    """The points of each metric, but for the times."""
    found: dict[str, list[bytes]] = {}
    for place in encode_metrics(data).resource_metrics if data else ():
        for metric in place.scope_metrics[0].metrics:
            for point in metric.histogram.data_points:
                assert 0 < point.start_time_unix_nano <= point.time_unix_nano
                point.ClearField("start_time_unix_nano")
                point.ClearField("time_unix_nano")
            of = (
                f"{place.resource} {place.schema_url} {place.scope_metrics[0].scope} {metric.unit} {metric.description}"
            )
            kind = f"{metric.name} {metric.histogram.aggregation_temporality} {of} {place.scope_metrics[0].schema_url}"
            found[kind] = sorted(one.SerializeToString(deterministic=True) for one in metric.histogram.data_points)
    return found


@pytest.mark.parametrize("temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA])
@given(portions=st.lists(outcomes(), max_size=3))
def test_points(temporality: AggregationTemporality, portions: list[list[Outcome]]) -> None:
    """After each portion, with a bound on sets of attributes that is soon reached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points, "MOST", 3)
        reader = InMemoryMetricReader({Histogram: temporality}, cardinality_limits={Histogram: 3})
        # The SDK has no name for the schema of an instrument's scope in what `Instruments` asks for.
        scope = InstrumentationScope(SCOPE.name, SCOPE.version, "")
        theirs, ours = Instruments(reader, RESOURCE, scope), Points(RESOURCE, scope, temporality)
        for portion in [*portions, []]:
            for outcome in portion:
                theirs.add(outcome)
                ours.add(outcome)
            assert told(ours.data()) == told(reader.get_metrics_data())


def test_a_point_of_deltas_begins_where_the_one_before_ended() -> None:
    ours = Points(RESOURCE, SCOPE, AggregationTemporality.DELTA)
    times = []
    for _ in range(2):
        ours.add(Outcome("messages", seconds=1))
        data = ours.data()
        assert data
        [point] = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        times.append((point.start_time_unix_nano, point.time_unix_nano))
    assert times[1][0] == times[0][1]


WANTED: list[tuple[dict[str, str], str, AggregationTemporality]] = [
    ({}, "histogram", AggregationTemporality.CUMULATIVE),
    ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}, "histogram", AggregationTemporality.DELTA),
    ({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "lowmemory"}, "histogram", AggregationTemporality.DELTA),
    (
        {"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"},
        "exponential_histogram",
        AggregationTemporality.CUMULATIVE,
    ),
]


@pytest.mark.parametrize(
    ("variables", "kind", "temporality"), WANTED, ids=["as it is", "delta", "low memory", "exponential"]
)
def test_what_the_variables_of_metrics_want(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    kind: str,
    temporality: AggregationTemporality,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    collector.raw = b""
    export = Export({"metrics"})
    for seconds in (1, 2):
        export.ended(Outcome("messages", "openai", "m", 200, seconds=seconds))
    export.close()
    [place] = ExportMetricsServiceRequest.FromString(collector.raw).resource_metrics
    [metric] = place.scope_metrics[0].metrics
    assert metric.WhichOneof("data") == kind
    held = getattr(metric, kind)
    assert AggregationTemporality(held.aggregation_temporality) is temporality
    assert [(point.count, point.sum) for point in held.data_points] == [(2, 3.0)]
