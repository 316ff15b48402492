"""Counts of this process in Prometheus' text format. Labels are route names, paths, outcomes: all of them few."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from aicp.gateway.record import Record

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class _Histogram:
    __slots__ = ("buckets", "count", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(_BOUNDS, seconds)] += 1
        self.count += 1
        self.total += seconds

    def lines(self, name: str, labels: str) -> Iterable[str]:
        running = 0
        for bound, number in zip((*map(str, _BOUNDS), "+Inf"), self.buckets, strict=True):
            running += number
            yield f'{name}_bucket{{{labels},le="{bound}"}} {running}'
        yield f"{name}_sum{{{labels}}} {self.total:.6f}"
        yield f"{name}_count{{{labels}}} {self.count}"


class _Service:
    """Sums of one service."""

    __slots__ = ("completion_tokens", "duration", "prompt_tokens", "requests", "ttft")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        """By endpoint and outcome."""
        self.prompt_tokens = self.completion_tokens = 0
        self.ttft, self.duration = _Histogram(), _Histogram()


class Waits:
    """What became of requests that found no place free, by priority class. Times are seconds."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.shed: dict[tuple[str, str], int] = {}
        """Refused, by class and reason."""
        self.preempted: dict[str, int] = {}
        self._seconds: dict[str, _Histogram] = {}

    def join(self, name: str) -> None:
        """One more of class `name` waits."""
        self.waiting[name] = self.waiting.get(name, 0) + 1

    def part(self, name: str) -> None:
        """One fewer."""
        self.waiting[name] -= 1

    def served(self, name: str, seconds: float) -> None:
        """One has waited for so long and got a place."""
        if name not in self._seconds:
            self._seconds[name] = _Histogram()
        self._seconds[name].add(seconds)

    def refused(self, name: str, reason: str) -> None:
        """One gets no place."""
        self.shed[name, reason] = self.shed.get((name, reason), 0) + 1

    def withdrawn(self, name: str) -> None:
        """One had a place and gave it to a higher class."""
        self.preempted[name] = self.preempted.get(name, 0) + 1

    def lines(self) -> Iterable[str]:
        """As Prometheus reads it."""
        yield "# TYPE aicp_gateway_queue_requests gauge"
        for name, n in sorted(self.waiting.items()):
            yield f'aicp_gateway_queue_requests{{class="{name}"}} {n}'
        yield "# TYPE aicp_gateway_queue_seconds histogram"
        for name, histogram in sorted(self._seconds.items()):
            yield from histogram.lines("aicp_gateway_queue_seconds", f'class="{name}"')
        yield "# TYPE aicp_gateway_shed_total counter"
        for (name, reason), n in sorted(self.shed.items()):
            yield f'aicp_gateway_shed_total{{class="{name}",reason="{reason}"}} {n}'
        yield "# TYPE aicp_gateway_preemptions_total counter"
        yield from (
            f'aicp_gateway_preemptions_total{{class="{name}"}} {n}' for name, n in sorted(self.preempted.items())
        )


class Metrics:
    """What happened since the start."""

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}
        self.wrong_keys = 0
        self.retries = 0
        self.prefix_blocks = self.prefix_hits = self.spills = self.fallbacks = 0
        self.bodies_dropped = 0
        self.waits = Waits()

    def count(self, record: Record) -> None:
        """Adds a request that has ended."""
        service = self._services.get(record.service)
        if service is None:
            service = self._services[record.service] = _Service()
        kind = (record.endpoint, record.outcome)
        service.requests[kind] = service.requests.get(kind, 0) + 1
        if record.prompt_tokens:
            service.prompt_tokens += record.prompt_tokens
        if record.completion_tokens:
            service.completion_tokens += record.completion_tokens
        if record.ttft_ms is not None:
            service.ttft.add(record.ttft_ms / 1000)
        if record.duration_ms is not None:
            service.duration.add(record.duration_ms / 1000)

    def text(self, inflight: Mapping[str, int], gauges: Mapping[str, float]) -> bytes:
        """Everything, with the requests in flight by replica and other present values by name."""
        services = sorted(self._services.items())
        lines = ["# TYPE aicp_gateway_requests_total counter"]
        for name, service in services:
            for (endpoint, outcome), number in sorted(service.requests.items()):
                labels = f'service="{name}",endpoint="{endpoint}",outcome="{outcome}"'
                lines.append(f"aicp_gateway_requests_total{{{labels}}} {number}")
        lines.append("# TYPE aicp_gateway_tokens_total counter")
        for name, service in services:
            lines.append(f'aicp_gateway_tokens_total{{service="{name}",kind="prompt"}} {service.prompt_tokens}')
            lines.append(f'aicp_gateway_tokens_total{{service="{name}",kind="completion"}} {service.completion_tokens}')
        lines.append("# TYPE aicp_gateway_ttft_seconds histogram")
        for name, service in services:
            lines.extend(service.ttft.lines("aicp_gateway_ttft_seconds", f'service="{name}"'))
        lines.append("# TYPE aicp_gateway_duration_seconds histogram")
        for name, service in services:
            lines.extend(service.duration.lines("aicp_gateway_duration_seconds", f'service="{name}"'))
        lines.append("# TYPE aicp_gateway_inflight gauge")
        lines.extend(f'aicp_gateway_inflight{{replica="{name}"}} {number}' for name, number in sorted(inflight.items()))
        lines.extend(self.waits.lines())
        counters = {
            "wrong_keys_total": self.wrong_keys,
            "retries_total": self.retries,
            "prefix_blocks_total": self.prefix_blocks,
            "prefix_blocks_hit_total": self.prefix_hits,
            "spills_total": self.spills,
            "fallbacks_total": self.fallbacks,
            "request_bodies_dropped_total": self.bodies_dropped,
        }
        lines.extend(f"# TYPE aicp_gateway_{name} counter\naicp_gateway_{name} {n}" for name, n in counters.items())
        lines.extend(f"# TYPE aicp_gateway_{name} gauge\naicp_gateway_{name} {n:g}" for name, n in gauges.items())
        return "\n".join(lines).encode() + b"\n"
