"""Spans to a collector by OTLP over HTTP, with OpenTelemetry's own library. Imported only where traces are kept."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from aicp import __version__
from aicp.telemetry.spans import Kind, Span

_KINDS: dict[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NANOSECONDS = 1_000_000_000


class OtlpSender:
    """Sends to `endpoint`, the base address of a collector, as `service`. Other OTEL_* variables hold as ever: headers,
    timeout, certificate, compression, resource attributes."""

    def __init__(self, endpoint: str, service: str, instance: str) -> None:
        attributes = {"service.name": service, "service.instance.id": instance, "service.version": __version__}
        self._resource = Resource.create(attributes)
        self._scope = InstrumentationScope("aicp.gateway", __version__)
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether the collector has taken them. Blocks."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Ends a sending that is being tried again."""
        self._exporter.shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        state = TraceState.from_header([span.state.decode("latin-1")]) if span.state else TraceState()
        parent = None
        if span.parent_id is not None:
            # that of the request itself is another process's
            parent = SpanContext(span.trace_id, span.parent_id, span.kind == "server", _SAMPLED, state)
        attributes = dict(span.attributes)
        if span.error is not None:
            attributes["error.type"] = span.error
        return ReadableSpan(
            name=span.name,
            context=SpanContext(span.trace_id, span.span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=state),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR),
            start_time=int(span.began * _NANOSECONDS),
            end_time=int(span.ended * _NANOSECONDS),
            instrumentation_scope=self._scope,
        )
