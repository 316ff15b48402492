"""The usage record of one request: opened before its engine is called, closed once."""

from __future__ import annotations

from aicp.core.clock import Clock
from aicp.gateway.accounts import Grant
from aicp.gateway.metrics import Metrics
from aicp.gateway.tokens import Tokens, Usage
from aicp.gateway.usage import Record, UsageLog


class Meter:
    """Counts one request. `began` is the monotonic time at which the request was complete."""

    __slots__ = ("_clock", "_log", "_metrics", "_record", "began", "closed", "grant", "request_id", "tokens")

    def __init__(self, record: Record, log: UsageLog, metrics: Metrics, clock: Clock, began: float) -> None:
        self._record, self._log, self._metrics, self._clock = record, log, metrics, clock
        self.began = began
        self.request_id = record.request_id
        self.tokens = Tokens()
        self.closed = False
        self.grant: Grant | None = None
        """What the request has reserved of its limits."""

    def open(self) -> None:
        """Writes that the request begins. Raises OSError when that is not possible."""
        self._log.begin(self._record)

    def turn(self, service: str) -> None:
        """Another service answers than the one that was to."""
        self._record.service = service

    def waited(self, seconds: float) -> None:
        """The request has waited for a place, maybe not for the first time."""
        self._record.queue_ms = round((self._record.queue_ms or 0.0) + seconds * 1000, 3)

    def first_token(self) -> None:
        """The first piece of a streamed answer has come."""
        self._record.ttft_ms = round((self._clock.monotonic() - self.began) * 1000, 3)

    def count(self, usage: Usage | None) -> None:
        """Takes the engine's counts."""
        if usage is not None:
            self.tokens.update(usage)

    def close(self, outcome: str, status: int, replica_id: str | None = None) -> None:
        """Writes how the request ended; the first word counts."""
        if self.closed:
            return
        self.closed = True
        record, tokens = self._record, self.tokens
        record.duration_ms = round((self._clock.monotonic() - self.began) * 1000, 3)
        record.outcome, record.status, record.replica_id = outcome, status, replica_id
        record.prompt_tokens, record.completion_tokens = tokens.prompt, tokens.completion
        record.cached_tokens = tokens.cached
        segment = self._log.number  # a write may begin the next one
        self._log.end(record)
        if self.grant is not None:
            self.grant.close(record, self._clock.monotonic(), segment)
        self._metrics.count(record)
