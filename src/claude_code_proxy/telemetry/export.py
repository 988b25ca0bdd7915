"""The only user of OpenTelemetry's SDK: spans and points of requests that are over, made beside the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from claude_code_proxy import __version__
from claude_code_proxy.exposition import MOST
from claude_code_proxy.telemetry import METRICS, TRACES, conventions
from claude_code_proxy.telemetry.complaints import Complaints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet
    from typing import Any

    from opentelemetry.sdk.metrics.export import MetricsData

    from claude_code_proxy.metrics import Outcome

LAST: Final = 3.0
"""Seconds in which a collector must take what is left when the proxy stops."""

_HOPELESS: Final = 0.5
"""The same for one that took nothing the last time."""

_PAUSE: Final = 0.5
"""Seconds between two looks at what is to be told."""

_BREATHE: Final = 16
"""Requests that are told of in one go."""

_MOST_WAITING: Final = 10_000
"""Requests that wait to be told of; beyond that the oldest are not."""

_NAME: Final = "claude-code-proxy"
_UNNAMED: Final = "unknown_service"

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_trace_context = TraceContextTextMapPropagator()


class Export:
    """What a collector is told of requests. Raises `ValueError` or `OSError` for variables that the SDK cannot use."""

    def __init__(self, wanted: AbstractSet[str]) -> None:
        self._ends: list[Callable[[], None]] = []
        complaints = self._complaints = Complaints()
        resource = _resource()
        self._spans = self._points = None
        if TRACES in wanted:
            self._spans = Spans(resource, complaints)
            self._ends.append(self._spans.shutdown)
        if METRICS in wanted:
            reader = PeriodicExportingMetricReader(PointExporter(complaints), cardinality_limits={Histogram: MOST})
            meter = MeterProvider([reader], resource=resource, shutdown_on_exit=False).get_meter(_NAME, __version__)
            self._points = {
                name: meter.create_histogram(
                    *(name, told["unit"], told["tells"]), explicit_bucket_boundaries_advisory=told["bounds"]
                )
                for name, told in conventions.METRICS.items()
            }
            self._ends.append(reader.shutdown)
        self._waiting: deque[Outcome] = deque(maxlen=_MOST_WAITING)
        self._over = threading.Event()
        self._worker = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._worker.start()

    def ended(self, outcome: Outcome) -> None:
        """A request is over. It is only queued: what is told of it is made beside the event loop."""
        if outcome.endpoint == conventions.ENDPOINT:
            self._waiting.append(outcome)

    def _work(self) -> None:
        over = False
        while not over:
            over = self._over.wait(_PAUSE)
            for number in range(len(self._waiting)):
                self._tell(self._waiting.popleft())
                if number % _BREATHE == _BREATHE - 1:
                    time.sleep(0)  # the event loop goes before

    def _tell(self, outcome: Outcome) -> None:
        if self._spans:
            self._spans.add(outcome)
        if self._points:
            for name, value, said in conventions.measured(outcome):
                self._points[name].record(value, said)

    def close(self) -> None:
        """Send what is left, as far as the collector takes it in time: its threads end with the process."""
        self._over.set()
        self._worker.join(LAST)
        threads = [threading.Thread(target=end, daemon=True) for end in self._ends]
        for thread in threads:
            thread.start()
        by = time.monotonic() + (_HOPELESS if self._complaints.failing else LAST)
        for thread in threads:
            thread.join(max(0.0, by - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            logging.getLogger(__name__).warning("The OpenTelemetry collector did not take what was left in time.")


class Spans:
    """Spans of requests that are over, which makes them a third as dear as those that the SDK's tracer begins."""

    def __init__(self, resource: Resource, complaints: Complaints) -> None:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sampler, self._ids, self._resource = provider.sampler, provider.id_generator, resource
        self._processor = BatchSpanProcessor(SpanExporter(complaints))
        self._scope = InstrumentationScope(_NAME, __version__)
        self.shutdown = self._processor.shutdown

    def add(self, outcome: Outcome) -> None:
        """The span of a request, in its client's trace if it names one, unless the sampler leaves it out."""
        context = _trace_context.extract({"traceparent": outcome.trace}) if outcome.trace else Context()
        parent = get_current_span(context).get_span_context()
        trace = parent.trace_id if parent.is_valid else self._ids.generate_trace_id()
        name, said = conventions.name(outcome), conventions.attributes(outcome)
        verdict = self._sampler.should_sample(context, trace, name, SpanKind.CLIENT, said)
        if verdict.decision is not Decision.RECORD_AND_SAMPLE:
            return
        began = int(outcome.began * 1e9)
        span = ReadableSpan(
            name,
            SpanContext(trace, self._ids.generate_span_id(), is_remote=False, trace_flags=_SAMPLED),
            parent if parent.is_valid else None,
            self._resource,
            said,
            kind=SpanKind.CLIENT,
            status=_FAILED if outcome.error else _UNSET,
            start_time=began,
            end_time=began + int(outcome.seconds * 1e9),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


class SpanExporter(OTLPSpanExporter):
    """Tells whether spans are taken."""

    def __init__(self, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._complaints.sent(TRACES, taken=result is SpanExportResult.SUCCESS)
        return result


class PointExporter(OTLPMetricExporter):
    """Tells whether points are taken."""

    def __init__(self, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **more)
        self._complaints.sent(METRICS, taken=result is MetricExportResult.SUCCESS)
        return result


def _resource() -> Resource:
    """Who tells: named by OpenTelemetry's own variables, else by us."""
    told = Resource.create({"service.version": __version__})
    unnamed = str(told.attributes.get("service.name", _UNNAMED)).startswith(_UNNAMED)
    return told.merge(Resource({"service.name": _NAME})) if unnamed else told
