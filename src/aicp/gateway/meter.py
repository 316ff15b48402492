"""The usage record of one request: opened before its engine is called, closed once."""

from __future__ import annotations

from aicp.core.clock import Clock
from aicp.core.route import PriceEntry
from aicp.gateway.accounts import Grant
from aicp.gateway.answer import Witness
from aicp.gateway.budgets import Purchase
from aicp.gateway.metrics import Metrics, Series
from aicp.gateway.prices import cost_of
from aicp.gateway.record import Record
from aicp.gateway.reports import Usage
from aicp.gateway.tokens import Tokens
from aicp.gateway.traces import Trace
from aicp.gateway.usage import UsageLog


class Meter:
    """Counts one request. `began` is the monotonic time at which the request was complete."""

    __slots__ = (
        "_clock",
        "_log",
        "_metrics",
        "_record",
        "_series",
        "began",
        "closed",
        "grant",
        "price",
        "priority",
        "purchase",
        "request_id",
        "tokens",
        "trace",
        "witnesses",
    )

    def __init__(self, record: Record, log: UsageLog, metrics: Metrics, clock: Clock, began: float) -> None:
        self._record, self._log, self._metrics, self._clock = record, log, metrics, clock
        self.began = began
        self.request_id = record.request_id
        self.tokens = Tokens()
        self._series: Series | None = None
        """Where it is counted as begun."""
        self.priority = ""
        """Its class."""
        self.closed = False
        self.grant: Grant | None = None
        """What the request has reserved of its limits."""
        self.price: PriceEntry | None = None
        """That of its model when it began."""
        self.purchase: Purchase | None = None
        """What it has reserved of its budgets."""
        self.witnesses: tuple[Witness, ...] = ()
        """Who is told of its end; those of its answer."""
        self.trace: Trace | None = None
        """What follows it from process to process."""

    def more(self) -> bytes:
        """Lines of the head that an engine gets."""
        return b"" if self.trace is None else self.trace.lines()

    def open(self) -> None:
        """Writes that the request begins. Raises OSError when that is not possible."""
        self._log.begin(self._record)
        self._series = series = self._metrics.series(self._record.service, self.priority)
        series.open += 1

    def turn(self, service: str, price: PriceEntry | None, purchase: Purchase | None) -> None:
        """Another service answers than the one that was to, at its price, for which `purchase` is reserved instead."""
        self._record.service, self.price, self.purchase = service, price, purchase
        if self._series is not None:
            self._series.open -= 1
            self._series = series = self._metrics.series(service, self.priority)
            series.open += 1

    def waited(self, seconds: float) -> None:
        """The request has waited for a place, maybe not for the first time."""
        self._record.queue_ms = _ms((self._record.queue_ms or 0.0) / 1000 + seconds)
        if self.trace is not None:
            self.trace.waited(self._clock.monotonic(), seconds)

    def first_token(self) -> None:
        """The first piece of a streamed answer has come."""
        self._record.ttft_ms = _ms(self._clock.monotonic() - self.began)

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
        now = self._clock.monotonic()
        record.duration_ms = _ms(now - self.began)
        record.outcome, record.status, record.replica_id = outcome, status, replica_id
        record.prompt_tokens, record.completion_tokens = tokens.prompt, tokens.completion
        record.cached_tokens = tokens.cached
        if self.price is not None:
            record.cost_micros = cost_of(self.price, tokens.prompt or 0, tokens.cached or 0, tokens.completion or 0)
        segment = self._log.number  # a write may begin the next one
        self._log.end(record)
        if self.grant is not None:
            self.grant.close(record, now, segment)
        if self.purchase is not None:
            self.purchase.close(record, segment)
        series = self._series
        if series is None:
            series = self._metrics.series(record.service, self.priority)
        else:
            series.open -= 1
        series.count(record)
        if self.trace is not None:
            self.trace.closed(record, now)
        for witness in self.witnesses:
            witness.closed(record)


def _ms(seconds: float) -> float:
    """Milliseconds, to a thousandth; `round` works with decimals and takes far longer."""
    return int(seconds * 1e6 + 0.5) / 1000
