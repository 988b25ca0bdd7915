"""Histograms of requests that are over, counted here and handed to the SDK's exporter each time it asks."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Histogram as Instrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation

from claude_code_proxy.exposition import MOST
from claude_code_proxy.telemetry import METRICS, conventions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from claude_code_proxy.metrics import Outcome
    from claude_code_proxy.telemetry.complaints import Complaints

_OTHERS: Final = {"otel.metric.overflow": True}
"""What OpenTelemetry's specification says of all sets of attributes beyond the limit."""


class Point:
    """The values of one set of attributes. `since`: the first of them could come then, in ns since 1970."""

    __slots__ = ("_bounds", "_counts", "_largest", "_least", "_said", "_since", "_sum")

    def __init__(self, said: dict[str, Any], bounds: Sequence[float], since: int) -> None:
        self._said, self._bounds, self._since = said, bounds, since
        self._counts = [0] * (len(bounds) + 1)
        self._sum: float = 0
        self._least, self._largest = math.inf, -math.inf

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value
        self._least, self._largest = min(self._least, value), max(self._largest, value)

    def told(self, now: int) -> HistogramDataPoint:
        """All that it counted, for the SDK."""
        return HistogramDataPoint(
            attributes=self._said,
            start_time_unix_nano=self._since,
            time_unix_nano=now,
            count=sum(self._counts),
            sum=self._sum,
            bucket_counts=tuple(self._counts),
            explicit_bounds=self._bounds,
            min=self._least,
            max=self._largest,
        )


class Points:
    """Counts requests in buckets. Totals since the start or, for `DELTA`, since it last told of them."""

    def __init__(self, resource: Resource, scope: InstrumentationScope, temporality: AggregationTemporality) -> None:
        self._resource, self._scope, self._temporality = resource, scope, temporality
        self._lock = threading.Lock()
        self._told_at = 0
        self._forget()

    def _forget(self) -> None:
        self._points: dict[str, dict[tuple[Any, ...], Point]] = {name: {} for name in conventions.METRICS}
        self._places: dict[tuple[str, ...], list[Point | None]] = {}

    def add(self, outcome: Outcome) -> None:
        """Count a request."""
        kind, values = (outcome.provider, outcome.model, conventions.error(outcome)), conventions.values(outcome)
        with self._lock:
            places = self._places.get(kind)
            if places is None:
                if len(self._places) >= MOST:
                    self._places.clear()
                places = self._places[kind] = [None] * len(values)
            for number, value in enumerate(values):
                if value is not None:
                    place = places[number]
                    if place is None:
                        place = places[number] = self._point(*conventions.series(outcome)[number])
                    place.add(value)

    def _point(self, metric: str, said: dict[str, Any]) -> Point:
        points, key = self._points[metric], tuple(said.items())
        if key not in points and len(points) >= MOST:
            said, key = _OTHERS, tuple(_OTHERS.items())
        if (point := points.get(key)) is None:
            bounds = conventions.METRICS[metric]["bounds"]
            point = points[key] = Point(said, bounds, self._told_at or time.time_ns())
        return point

    def data(self) -> MetricsData | None:
        """What is to be sent now. None: nothing."""
        now = time.time_ns()
        with self._lock:
            metrics = [
                Metric(
                    *(name, told["tells"], told["unit"]),
                    Histogram([point.told(now) for point in self._points[name].values()], self._temporality),
                )
                for name, told in conventions.METRICS.items()
                if self._points[name]
            ]
            if self._temporality is AggregationTemporality.DELTA:
                self._told_at = now
                self._forget()
        if not metrics:
            return None
        scopes = [ScopeMetrics(self._scope, metrics, self._scope.schema_url or "")]
        return MetricsData([ResourceMetrics(self._resource, scopes, self._resource.schema_url)])


class Instruments:
    """The SDK's own histograms, for those that its variables want other buckets in. They cost ten times as much."""

    def __init__(self, reader: MetricReader, resource: Resource, scope: InstrumentationScope) -> None:
        meter = MeterProvider([reader], resource=resource, shutdown_on_exit=False).get_meter(scope.name, scope.version)
        self._instruments = {
            name: meter.create_histogram(
                *(name, told["unit"], told["tells"]), explicit_bucket_boundaries_advisory=told["bounds"]
            )
            for name, told in conventions.METRICS.items()
        }

    def add(self, outcome: Outcome) -> None:
        """Record a request."""
        for (name, said), value in zip(conventions.series(outcome), conventions.values(outcome), strict=True):
            if value is not None:
                self._instruments[name].record(value, said)


class Reader(PeriodicExportingMetricReader):
    """Counts requests, and sends what they came to each time that the SDK's variables say."""

    def __init__(self, resource: Resource, scope: InstrumentationScope, complaints: Complaints) -> None:
        exporter = PointExporter(complaints)
        super().__init__(exporter, cardinality_limits={Instrument: MOST})
        if exporter.wants_buckets:
            points = Points(resource, scope, exporter.temporality)
            self._set_collect_callback(lambda *_, **__: cast("Any", points.data()))
            self.add = points.add
        else:
            self.add = Instruments(self, resource, scope).add


class PointExporter(OTLPMetricExporter):
    """Tells whether points are taken, and how the SDK's variables want them."""

    def __init__(self, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints
        self.temporality = (self._preferred_temporality or {})[Instrument]
        self.wants_buckets = isinstance(
            (self._preferred_aggregation or {})[Instrument], ExplicitBucketHistogramAggregation
        )

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **more)
        self._complaints.sent(METRICS, taken=result is MetricExportResult.SUCCESS)
        return result
