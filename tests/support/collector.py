"""An OpenTelemetry collector as far as tests need it: takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.http_wire import read_request


@dataclass
class Collected:
    """One span, with the resource that it is of."""

    span: Any
    resource: dict[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        """By name."""
        return _values(self.span.attributes)


@dataclass
class Collector:
    """A running one. `status` is what it answers; `spans` holds what it took."""

    port: int = 0
    status: int = 200
    spans: list[Collected] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Collected]:
        """Spans of that name, as they came."""
        return [one for one in self.spans if one.span.name == name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while (asked := await read_request(reader)) is not None:
                self.paths.append(asked.path)
                if self.status == 200:
                    packed = asked.headers.get("content-encoding") == "gzip"
                    self._take(gzip.decompress(asked.body) if packed else asked.body)
                head = f"HTTP/1.1 {self.status} X\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
                writer.write(head.encode())
                await writer.drain()
        finally:
            writer.close()

    def _take(self, body: bytes) -> None:
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(part.resource.attributes)
            self.spans += [Collected(span, resource) for scope in part.scope_spans for span in scope.spans]


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@asynccontextmanager
async def run_collector() -> AsyncIterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    collector.port = int(server.sockets[0].getsockname()[1])
    try:
        yield collector
    finally:
        server.close()
