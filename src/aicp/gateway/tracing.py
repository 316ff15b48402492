"""Traces of requests: one span for each, and below it one for its wait and one for every replica that it was sent to.

Nothing is built while a request is under way: times and names are noted, spans are made of them when it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aicp.core.clock import Clock
from aicp.gateway.record import Record
from aicp.gateway.traces import PARENT, Context, Passed, Trace, context_lines, passed_on, read_context
from aicp.telemetry.spans import Kind, Span

_LONGEST_NAME = 200
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
"""OpenTelemetry's words; other endpoints are called by their last part."""
_ANSWERED = 200
_FAILED = 400
_UNANSWERED = "connection_lost"


@dataclass(slots=True)
class _Try:
    """One replica that the request was sent to. Times are monotonic; `error` None: it answered."""

    span_id: int
    replica: str
    began: float
    ended: float | None = None
    error: str | None = None


class Tracer:
    """Begins traces: what a caller's context says of sampling is done, and `ratio` of the others is sampled.

    `bits` gives random numbers of so many bits; `keep` takes what is to be exported.
    """

    def __init__(
        self,
        ratio: float,
        keep: Callable[[Sequence[Span]], None],
        bits: Callable[[int], int],
        clock: Clock,
    ) -> None:
        self._bound = round(ratio * 2**64)
        self._keep, self._bits, self._clock = keep, bits, clock

    def begin(self, headers: Mapping[bytes, bytes]) -> Trace:
        """The trace of a request that has come."""
        context = read_context(headers) if PARENT in headers else None
        if context is not None and not context.sampled:
            return passed_on(headers) or Passed(b"")
        trace_id = context.trace_id if context is not None else self._id(128)
        if context is None and trace_id & (2**64 - 1) >= self._bound:
            # told on, so that the engine does not begin a trace of its own
            return Passed(context_lines(Context(trace_id, self._id(64), sampled=False)))
        return _Traced(context, trace_id, self._id, self._keep, self._clock)

    def _id(self, bits: int) -> int:
        """Zero is no id."""
        return self._bits(bits) or 1


class _Traced:
    """A request whose spans are kept."""

    __slots__ = ("_clock", "_id", "_keep", "_model", "_parent", "_span_id", "_state", "_trace_id", "_tries", "_waits")

    def __init__(
        self,
        parent: Context | None,
        trace_id: int,
        new_id: Callable[[int], int],
        keep: Callable[[Sequence[Span]], None],
        clock: Clock,
    ) -> None:
        self._parent = None if parent is None else parent.span_id
        self._state = b"" if parent is None else parent.state
        self._trace_id, self._span_id = trace_id, new_id(64)
        self._id, self._keep, self._clock = new_id, keep, clock
        self._model = ""
        self._tries: list[_Try] = []
        self._waits: list[tuple[float, float]] = []

    def lines(self) -> bytes:
        """The engine's spans are below that of its try."""
        span_id = self._tries[-1].span_id if self._tries else self._span_id
        return context_lines(Context(self._trace_id, span_id, sampled=True, state=self._state))

    def named(self, model: str) -> None:
        """What its client calls the model."""
        self._model = model[:_LONGEST_NAME]

    def waited(self, now: float, seconds: float) -> None:
        """It has stood in a queue; if it had been at a replica before, that has ended when it came there."""
        self._end_try(now - seconds, 0)
        self._waits.append((now - seconds, now))

    def tried(self, replica: str, now: float, status: int) -> None:
        """It goes to a replica, maybe after another one."""
        self._end_try(now, status)
        self._tries.append(_Try(self._id(64), replica, now))

    def closed(self, record: Record, now: float) -> None:
        """Makes the spans and hands them on."""
        answered = record.status == _ANSWERED and record.outcome == "ok"
        if self._tries and self._tries[-1].ended is None:
            last = self._tries[-1]
            last.ended, last.error = now, None if answered else _error(record)
        offset = self._clock.now().timestamp() - now
        common = {"gen_ai.request.model": self._model} if self._model else {}
        spans = [self._request(record, now + offset, common)]
        for began, ended in self._waits:
            spans.append(self._child("queue", "internal", began + offset, ended + offset, {}))
        for one in self._tries:
            attributes = {"aicp.replica": one.replica, **common}
            began, ended = one.began + offset, (one.ended or now) + offset
            spans.append(self._child("upstream", "client", began, ended, attributes, one.error, one.span_id))
        self._keep(spans)

    def _end_try(self, now: float, status: int) -> None:
        if self._tries and self._tries[-1].ended is None:
            last = self._tries[-1]
            last.ended, last.error = now, str(status) if status >= _FAILED else _UNANSWERED

    def _request(self, record: Record, ended: float, common: Mapping[str, str]) -> Span:
        operation = _OPERATIONS.get(record.endpoint) or record.endpoint.rpartition("/")[2]
        known: dict[str, str | int | float | bool | None] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "aicp",
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
            "gen_ai.latency.time_to_first_token": _seconds(record.ttft_ms),
            "gen_ai.latency.time_in_queue": _seconds(record.queue_ms),
            "http.request.method": "POST",
            "http.route": record.endpoint,
            "http.response.status_code": record.status,
            "aicp.request_id": record.request_id,
            "aicp.project": record.project,
            "aicp.api_key_id": record.api_key_id,
            "aicp.service": record.service or None,
            "aicp.replica": record.replica_id,
            "aicp.outcome": record.outcome,
            "aicp.stream": record.stream,
            "aicp.cost_micros": record.cost_micros,
            **common,
        }
        return Span(
            name=f"{operation} {self._model}".strip(),
            kind="server",
            trace_id=self._trace_id,
            span_id=self._span_id,
            parent_id=self._parent,
            began=record.started_at.timestamp(),
            ended=ended,
            attributes={name: value for name, value in known.items() if value is not None},
            error=None if record.outcome == "ok" else _error(record),
            state=self._state,
        )

    def _child(
        self,
        name: str,
        kind: Kind,
        began: float,
        ended: float,
        attributes: Mapping[str, str],
        error: str | None = None,
        span_id: int = 0,
    ) -> Span:
        span_id = span_id or self._id(64)
        return Span(
            name, kind, self._trace_id, span_id, self._span_id, began, ended, attributes, error=error, state=self._state
        )


def _error(record: Record) -> str:
    """What OpenTelemetry calls `error.type`: few values, and the same for the same."""
    if record.outcome in ("canceled", "interrupted"):
        return record.outcome
    return str(record.status) if record.status is not None and record.status >= _FAILED else record.outcome


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
