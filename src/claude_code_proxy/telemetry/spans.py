"""Spans of requests that are over, as OTLP's bytes.

The SDK encodes one of each kind. Of all others only what is their own is written into that message, for a fifth of
the cost, and they say what they would say by the SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Decision
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from claude_code_proxy.telemetry import TRACES, conventions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from claude_code_proxy.metrics import Outcome
    from claude_code_proxy.telemetry.complaints import Complaints

RENEWED: Final = 512
"""Spans after which the messages are made anew: one keeps the memory of every text that it ever held."""

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SOME: Final = SpanContext(1, 1, is_remote=False, trace_flags=_SAMPLED)
_NOWHERE: Final = Context()
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_trace_context = TraceContextTextMapPropagator()

# Protocol Buffers' wire format: https://protobuf.dev/programming-guides/encoding
_DELIMITED: Final = 2
_RESOURCE_SPANS: Final = 1  # of ExportTraceServiceRequest
_SCOPE_SPANS: Final = 2  # of ResourceSpans


class Spans:
    """Makes the span of a request that is over, and has it sent with others."""

    def __init__(self, resource: Resource, scope: InstrumentationScope, complaints: Complaints) -> None:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sampler, self._ids = provider.sampler, provider.id_generator
        self._takes_all = self._sampler in {ALWAYS_ON, DEFAULT_ON}  # of those that begin a trace
        self._resource, self._scope = resource, scope
        frame = _encoded(ReadableSpan("", _SOME, resource=resource, instrumentation_scope=scope))
        self._processor = BatchSpanProcessor(SpanExporter(frame, complaints))
        self._forms: dict[tuple[Any, ...], Form] = {}
        self._written = 0
        self.shutdown: Callable[[], None] = self._processor.shutdown

    def add(self, outcome: Outcome) -> None:
        """The span of a request, in its client's trace if it names one, unless the sampler leaves it out."""
        context, parent = _NOWHERE, INVALID_SPAN_CONTEXT
        if outcome.trace:
            context = _trace_context.extract({"traceparent": outcome.trace})
            parent = get_current_span(context).get_span_context()
        has_parent = parent.is_valid
        trace = parent.trace_id if has_parent else self._ids.generate_trace_id()
        if has_parent or not self._takes_all:
            verdict = self._sampler.should_sample(context, trace, conventions.name(outcome), SpanKind.CLIENT)
            if verdict.decision is not Decision.RECORD_AND_SAMPLE:
                return
        own = conventions.own(outcome)
        kind = (*conventions.alike(outcome), has_parent, *own)
        if self._written % RENEWED == 0:
            self._forms.clear()
        self._written += 1
        form = self._forms.get(kind) or self._form(kind, outcome, parent, own)
        began = int(outcome.began * 1e9)
        ids = trace, self._ids.generate_span_id(), parent.span_id if has_parent else None
        self._processor.on_end(Written(form.filled(ids, (began, began + int(outcome.seconds * 1e9)), own)))

    def _form(self, kind: tuple[Any, ...], outcome: Outcome, parent: SpanContext, own: dict[str, Any]) -> Form:
        span = ReadableSpan(
            conventions.name(outcome),
            _SOME,
            parent if parent.is_valid else None,
            self._resource,
            conventions.shared(outcome) | own,
            kind=SpanKind.CLIENT,
            status=_FAILED if outcome.error else _UNSET,
            start_time=1,
            end_time=1,
            instrumentation_scope=self._scope,
        )
        form = self._forms[kind] = Form(span, own)
        return form


class Form:
    """The message of a span, in which those `own` attributes, the ids and the times are still to be written."""

    def __init__(self, span: ReadableSpan, own: Collection[str]) -> None:
        [self._scope] = _encoded(span).scope_spans
        self._scope.ClearField("scope")
        self._scope.ClearField("schema_url")
        [self._span] = self._scope.spans
        held = {one.key: one.value for one in self._span.attributes}
        self._values = [(held[name], str(held[name].WhichOneof("value"))) for name in own]

    def filled(self, ids: tuple[int, int, int | None], times: tuple[int, int], own: dict[str, Any]) -> bytes:
        """A span among others of its scope. `ids`: of its trace, its own, its parent's. `times`: since 1970, in ns."""
        span = self._span
        trace, itself, parent = ids
        span.trace_id, span.span_id = trace.to_bytes(16, "big"), itself.to_bytes(8, "big")
        if parent is not None:
            span.parent_span_id = parent.to_bytes(8, "big")
        span.start_time_unix_nano, span.end_time_unix_nano = times
        for (value, field), told in zip(self._values, own.values(), strict=True):
            setattr(value, field, told)
        return bytes(self._scope.SerializeToString())


class Written(ReadableSpan):
    """A span that is encoded, in the queue of the SDK's batches."""

    def __init__(self, wire: bytes) -> None:
        self.wire = wire

    @property
    def context(self) -> SpanContext:
        return _SOME


class SpanExporter(OTLPSpanExporter):
    """Sends spans that are encoded, framed as the SDK frames one, and tells whether they are taken."""

    def __init__(self, frame: ResourceSpans, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints
        [scope] = frame.scope_spans
        del scope.spans[:]
        self._scope = scope.SerializeToString()
        del frame.scope_spans[:]
        self._resource = frame.SerializeToString()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        wires = [span.wire for span in spans if isinstance(span, Written)]
        scope = _field(_SCOPE_SPANS, self._scope, *wires)
        taken = not self._shutdown and self._client.export(_field(_RESOURCE_SPANS, self._resource, scope)).success
        self._complaints.sent(TRACES, taken=taken)
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE


def _encoded(span: ReadableSpan) -> ResourceSpans:
    place: ResourceSpans
    [place] = encode_spans([span]).resource_spans
    return place


def _field(number: int, *parts: bytes) -> bytes:
    """A field that holds a message: its parts one after the other, which is how messages are merged."""
    size = sum(map(len, parts))
    head = bytearray([number << 3 | _DELIMITED])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return b"".join((head, *parts))
