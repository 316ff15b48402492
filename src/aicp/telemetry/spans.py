"""Finished spans on their way to a collector: a bounded queue that a background task empties in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

log = logging.getLogger(__name__)

Kind = Literal["server", "client", "internal"]
_PAUSE_SECONDS = 1.0
_BATCH = 512
_MOST = 8192


@dataclass(frozen=True, slots=True)
class Span:
    """One finished piece of work. Times are Unix seconds; `error` is OpenTelemetry's `error.type`."""

    name: str
    kind: Kind
    trace_id: int
    span_id: int
    parent_id: int | None
    began: float
    ended: float
    attributes: Mapping[str, str | int | float | bool]
    error: str | None = None
    state: bytes = b""
    """W3C `tracestate`."""


class SpanQueue:
    """Spans that wait. `send` blocks, is called in a thread, and says whether the collector has taken a batch.

    What does not fit is dropped and counted: nobody waits for a collector.
    """

    def __init__(self, send: Callable[[Sequence[Span]], bool], most: int = _MOST) -> None:
        self._send, self._most = send, most
        self._waiting: deque[Span] = deque()
        self._failing = False
        self.exported = self.dropped = 0

    def add(self, spans: Sequence[Span]) -> None:
        """The spans of one trace, all or none."""
        if len(self._waiting) + len(spans) > self._most:
            self.dropped += len(spans)
        else:
            self._waiting.extend(spans)

    async def run(self) -> None:
        """Sends what comes until it is canceled."""
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Sends all that waits."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
            taken = await asyncio.to_thread(self._send, batch)
            self._say(failing=not taken)
            if taken:
                self.exported += len(batch)
            else:
                self.dropped += len(batch)

    def _say(self, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            if failing:
                log.warning("the collector of traces does not take spans; they are dropped until it does")
            else:
                log.info("the collector of traces takes spans again")
