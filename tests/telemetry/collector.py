"""An OpenTelemetry collector: takes OTLP over HTTP, keeps what comes, and fails on request."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

LONGEST = 20.0


def plain(value: AnyValue) -> Any:
    """A value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return getattr(value, str(kind))


def told(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes."""
    return {pair.key: plain(pair.value) for pair in pairs}


@dataclass
class Collector:
    """What it was sent. `status` is what it answers; `hangs`: it never does."""

    url: str = ""
    status: int = 200
    hangs: bool = False
    spans: list[tuple[Span, dict[str, Any]]] = field(default_factory=list)
    points: dict[str, list[HistogramDataPoint]] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    raw: bytes = b""
    headers: list[str] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, path: str, body: bytes) -> None:
        with self.news:
            self.paths.append(path)
            self.raw += body
            if self.status == 200 and not self.hangs:
                self._spans(body) if path.endswith("/v1/traces") else self._points(body)
            self.news.notify_all()

    def _spans(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(told(group.resource.attributes))
            self.spans += [(span, told(span.attributes)) for scope in group.scope_spans for span in scope.spans]

    def _points(self, body: bytes) -> None:
        for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.resources.append(told(group.resource.attributes))
            for scope in group.scope_metrics:
                for metric in scope.metrics:  # totals since the start: the newest are all there is to know
                    self.points[metric.name] = list(metric.histogram.data_points)

    def until(self, there: Callable[[], Any]) -> Any:
        """Wait until this is true; it is given."""
        by = time.monotonic() + LONGEST
        with self.news:
            while not (found := there()):
                assert self.news.wait(by - time.monotonic()), (self.paths, self.spans)
            return found

    def sums(self, metric: str) -> dict[tuple[Any, ...], tuple[int, float]]:
        """How many values there are and their sum, by provider, model and what else tells them apart."""
        found: dict[tuple[Any, ...], tuple[int, float]] = {}
        for point in self.points.get(metric, []):
            said = told(point.attributes)
            names = ("gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type", "error.type")
            found[tuple(said[name] for name in names if name in said)] = (point.count, point.sum)
        return found


@contextmanager
def collecting(**how: Any) -> Iterator[Collector]:
    """A collector that listens until the block ends."""
    collector, over = Collector(**how), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.headers += [f"{name}: {value}" for name, value in self.headers.items()]
            collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            if collector.hangs:
                over.wait()
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield collector
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
