"""Traces of a gateway that keeps some: from its requests to the collector."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from aicp.core.clock import Clock
from aicp.gateway.config import TraceRules
from aicp.gateway.tracing import Tracer
from aicp.telemetry.spans import SpanQueue

_LAST_SECONDS = 2.0


class SpanExport:
    """`tracer` makes spans, `queue` sends them. OpenTelemetry is loaded here, and nowhere where no traces are kept."""

    def __init__(self, rules: TraceRules, gateway_id: str, clock: Clock) -> None:
        from aicp.telemetry.otlp import OtlpSender  # noqa: PLC0415 costs memory and time that others need not pay

        self._sender = OtlpSender(rules.endpoint, rules.service, gateway_id)
        self.queue = SpanQueue(self._sender.send)
        self.tracer = Tracer(rules.ratio, self.queue.add, random.getrandbits, clock)

    async def close(self) -> None:
        """Sends what waits, as far as that is quick."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self.queue.flush()
        self._sender.close()
