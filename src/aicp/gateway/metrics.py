"""Counts of this process. Nothing is rendered here: see `exposition.py` for names, `present.py` for what goes on."""

from __future__ import annotations

from bisect import bisect_left

from aicp.gateway.record import Record

FIRST_TOKEN_SECONDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.15,
    0.25,
    0.375,
    0.5,
    0.75,
    1.0,
    1.5,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
)
"""Bounds as engines have them (vLLM, OpenTelemetry's gen_ai.server.time_to_first_token), and some between."""
BETWEEN_TOKENS_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0)
WHOLE_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 655.36)
"""OpenTelemetry's for gen_ai.client.operation.duration, and two more."""


_FINE = ("ok", "canceled")


class Histogram:
    """How many values lie up to each of its bounds."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """All values."""
        return sum(self.buckets)

    def add(self, seconds: float) -> None:
        """One more value."""
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Series:
    """Sums of one service and priority class, and its requests that have begun and not ended."""

    __slots__ = (
        "between",
        "cached_tokens",
        "completion_tokens",
        "ended",
        "open",
        "prompt_tokens",
        "queued",
        "ttft",
        "whole",
    )

    def __init__(self) -> None:
        self.open = 0
        self.ended: dict[tuple[str, str], int] = {}
        """By endpoint and outcome."""
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0
        self.ttft = Histogram(FIRST_TOKEN_SECONDS)
        self.between = Histogram(BETWEEN_TOKENS_SECONDS)
        self.whole = Histogram(WHOLE_SECONDS)
        self.queued = Histogram(FIRST_TOKEN_SECONDS)

    @property
    def requests(self) -> int:
        """All that have ended."""
        return sum(self.ended.values())

    @property
    def errors(self) -> int:
        """Those that neither were answered nor left by their client."""
        return sum([number for (_, outcome), number in self.ended.items() if outcome not in _FINE])

    def count(self, record: Record) -> None:
        """Adds a request that has ended. A stream's time between tokens is the mean of its answer."""
        kind = (record.endpoint, record.outcome)
        self.ended[kind] = self.ended.get(kind, 0) + 1
        tokens = record.completion_tokens or 0
        self.completion_tokens += tokens
        if record.prompt_tokens:
            self.prompt_tokens += record.prompt_tokens
        if record.cached_tokens:
            self.cached_tokens += record.cached_tokens
        if record.queue_ms is not None:
            self.queued.add(record.queue_ms / 1000)
        duration, ttft = record.duration_ms, record.ttft_ms
        if duration is None:
            return
        self.whole.add(duration / 1000)
        if ttft is not None:
            self.ttft.add(ttft / 1000)
            if tokens > 1:
                self.between.add((duration - ttft) / 1000 / (tokens - 1))


class Waits:
    """What became of requests that found no place free, by priority class."""

    def __init__(self) -> None:
        self.shed: dict[tuple[str, str], int] = {}
        """Refused, by class and reason."""
        self.preempted: dict[str, int] = {}

    def refused(self, name: str, reason: str) -> None:
        """One gets no place."""
        self.shed[name, reason] = self.shed.get((name, reason), 0) + 1

    def withdrawn(self, name: str) -> None:
        """One had a place and gave it to a higher class."""
        self.preempted[name] = self.preempted.get(name, 0) + 1


class Metrics:
    """What happened since the start. Services and classes are few, and so are the series."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, str], Series] = {}
        """By service and priority class."""
        self.wrong_keys = 0
        self.retries = 0
        self.prefix_blocks = self.prefix_hits = self.spills = self.fallbacks = self.continuations = 0
        self.waits = Waits()

    def series(self, service: str, priority: str) -> Series:
        """Where requests of a service and class are counted."""
        found = self.all.get((service, priority))
        if found is None:
            found = self.all[service, priority] = Series()
        return found
